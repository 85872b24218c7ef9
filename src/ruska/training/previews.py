"""Pictures and scores of what a prior makes of a few patches during its training: the eye sees what a loss hides."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LEVELS = (0.1, 0.3, 1.0, 3.0)  # standard deviations of the noise, where the signal's is 1
_MOST_COST = 0.005  # share of the time that drawing may take
_SPACING = 0.05  # of the time so far, between later drawings: a week of training leaves no thousand pictures
_SHOWN = 2.5  # standard deviations of the signal from black to mid-grey
_HEAD = 14  # pixels of the line of text above the pictures


class Previews:
    """Draws ``folder/step-0001500.png`` and writes the same numbers for TensorBoard, each where its package is there.

    One row a patch, and one of nothing: pure noise in, what is made of it out. Columns: the clean patch, then noisy and
    denoised at each of four levels. Numbers: ``error_0.3``, the root mean squared error at noise 0.3, and
    ``invented_0.3``, what is made of noise of that strength alone, both in standard deviations of the signal.

    clean : (n, 1, Y, X), signal with mean near 0 and standard deviation near 1. minutes : between drawings; later ones
    are further apart, as are those of a network that is slow to ask.
    """

    def __init__(self, folder: Path, clean: Tensor, minutes: float) -> None:
        self.folder, self.minutes = folder, minutes
        self.clean = torch.cat([clean, torch.zeros_like(clean[:1])])
        random = torch.Generator().manual_seed(0)
        self.noise = torch.randn(self.clean.shape, generator=random).to(clean)
        self._begun = time.perf_counter()
        self._next = self._begun

    def __call__(self, network: nn.Module, step: int) -> None:
        """Draw, when it is time to."""
        now = time.perf_counter()
        if now >= self._next:
            self.draw(network, step)
            done = time.perf_counter()
            wait = max(60 * self.minutes, (done - now) / _MOST_COST, _SPACING * (done - self._begun))
            self._next = done + wait

    def draw(self, network: nn.Module, step: int) -> dict[str, float]:
        """Draw now; returns the numbers."""
        noisy = [self.clean + level * self.noise for level in LEVELS]
        denoised = [self._ask(network, y, level) for y, level in zip(noisy, LEVELS, strict=True)]
        numbers = {}
        for level, found in zip(LEVELS, denoised, strict=True):
            error = (found - self.clean).square().flatten(1).mean(1)
            numbers[f"error_{level:g}"] = error[:-1].mean().sqrt().item()
            numbers[f"invented_{level:g}"] = error[-1].sqrt().item()
        self.folder.mkdir(parents=True, exist_ok=True)
        self._write_numbers(numbers, step)
        self._write_picture(noisy, denoised, numbers, step)
        return numbers

    @staticmethod
    def _ask(network: nn.Module, y: Tensor, level: float) -> Tensor:
        with torch.inference_mode(), torch.autocast(y.device.type, enabled=False):
            return network(y, y.new_full((len(y), 1, 1, 1), level))

    def _write_numbers(self, numbers: dict[str, float], step: int) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            return
        # a folder of its own: TensorBoard reads one file of a folder at a time
        with SummaryWriter(str(self.folder)) as board:
            for name, value in numbers.items():
                board.add_scalar(name, value, step)

    def _write_picture(
        self, noisy: Sequence[Tensor], denoised: Sequence[Tensor], numbers: dict[str, float], step: int
    ) -> None:
        try:
            from PIL import Image, ImageDraw
        except ImportError:
            return
        columns = [self.clean]
        words = [f"step {step}: clean"]
        for level, y, found in zip(LEVELS, noisy, denoised, strict=True):
            columns += [y / (1 + level**2) ** 0.5, found]
            error, invented = numbers[f"error_{level:g}"], numbers[f"invented_{level:g}"]
            words += [f"noise {level:g}", f"off {error:.2g}, invented {invented:.2g}"]
        picture = Image.fromarray(_grey(columns))
        whole = Image.new("L", (picture.width, picture.height + _HEAD), 255)
        whole.paste(picture, (0, _HEAD))
        pen = ImageDraw.Draw(whole)
        for number, text in enumerate(words):
            pen.text((2 + number * self.clean.shape[-1], 1), text, fill=0)
        part = self.folder / "drawing.part"
        whole.save(part, "PNG")
        part.replace(self.folder / f"step-{step:07d}.png")


def _grey(columns: Sequence[Tensor]) -> NDArray[np.uint8]:
    """Columns of (n, 1, Y, X) side by side, their patches one below the other."""
    sheet: Any = torch.cat([column.float().reshape(-1, column.shape[-1]) for column in columns], 1)
    return ((sheet / (2 * _SHOWN) + 0.5).clamp(0, 1) * 255).to(torch.uint8).cpu().numpy()
