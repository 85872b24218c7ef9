"""A packed corpus in memory, and batches of patches from it, on the device of the network."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from ruska.errors import InputError

MANIFEST = "manifest.json"
_EVENNESS = 0.5  # a group is drawn in proportion to its pixels to this power
_DETAIL = 0.25  # and a plane to that of its fine detail; more makes it worse for what is sampled finer than it is sharp
_FINEST, _COARSEST = 1.0, 1.45  # range of the random zoom out


@dataclass(frozen=True)
class Packed:
    """All planes of a corpus in one long vector.

    pixels : (n,), float16. start, height, width, noise, share : one number a plane; ``noise`` is the standard
    deviation of the plane's own noise where its signal has 1, ``share`` how often it is drawn.
    """

    pixels: Tensor
    start: Tensor
    height: Tensor
    width: Tensor
    noise: Tensor
    share: Tensor

    @classmethod
    def load(cls, folder: Path, device: torch.device | str = "cpu") -> Packed:
        """Read the parts in ``folder``; InputError when it holds no corpus, or not all of it."""
        from safetensors.torch import load_file

        try:
            manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
            parts = [load_file(folder / name) for name in manifest["parts"]]
            planes = manifest["planes"]
            flat = [parts[p["part"]].get(p["key"]) for p in planes]
        except FileNotFoundError as error:
            raise InputError(folder, f"holds no {Path(error.filename or MANIFEST).name}", "Give a folder that "
                             "`ruska corpus build` wrote, with all its parts.") from error  # fmt: skip
        except (KeyError, ValueError, TypeError, IndexError) as error:
            raise InputError(folder, f"is not a corpus ({error})", "Build it again.") from error
        sizes = torch.tensor([p["shape"][0] * p["shape"][1] for p in planes], dtype=torch.int64)
        if any(f is None or f.numel() != n for f, n in zip(flat, sizes.tolist(), strict=True)):
            raise InputError(folder, "its manifest lists planes that its parts do not hold", "Build it again.")
        columns = {
            "start": torch.cumsum(sizes, 0) - sizes,
            "height": torch.tensor([p["shape"][0] for p in planes]),
            "width": torch.tensor([p["shape"][1] for p in planes]),
            "noise": torch.tensor([p["noise"] for p in planes], dtype=torch.float32),
            "share": _shares(planes, sizes),
        }
        pixels = torch.cat([f.reshape(-1) for f in flat if f is not None]).to(torch.float16)
        return cls(pixels.to(device), **{name: value.to(device) for name, value in columns.items()})

    def draw(
        self, count: int, edge: int, random: torch.Generator, choices: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """Patches (count, 1, edge, edge), float32, and the most noise there can be in each of them, (count,).

        Turned and mirrored at random, and zoomed out by up to 1.45 (the same for the whole batch), which divides noise
        by the zoom at least: interpolation leaves two thirds of that. Planes that are too small are
        mirrored at their borders. choices : draws the zoom, which the processor has to know; ``random`` where None.
        """
        device = self.pixels.device
        which = torch.multinomial(self.share, count, replacement=True, generator=random)
        zoom = _FINEST + (_COARSEST - _FINEST) * max(0.0, 2 * _uniform(1, choices or random).item() - 1)
        wide = round(edge * zoom)
        steps = torch.arange(wide, device=device)
        turned = _uniform(count, random) < 0.5
        rows, columns = (
            _window(steps, size[which], _uniform(count, random), _uniform(count, random) < 0.5)
            for size in (self.height, self.width)
        )
        index = (self.start[which] + 0)[:, None, None] + rows[:, :, None] * self.width[which][:, None, None]
        patch = self.pixels[index + columns[:, None, :]].float()
        patch = torch.where(turned[:, None, None], patch.transpose(1, 2), patch)[:, None]
        if wide != edge:
            patch = functional.interpolate(patch, (edge, edge), mode="bilinear", antialias=True)
        return patch, self.noise[which] / (wide / edge)


def _window(steps: Tensor, size: Tensor, place: Tensor, mirrored: Tensor) -> Tensor:
    """Indices (count, len(steps)) of a window at ``place`` (0 to 1), reflected where it leaves the plane."""
    room = (size - len(steps) + 1).clamp(min=1)
    at = (place * room).long()[:, None] + torch.where(mirrored[:, None], steps.flip(0), steps)
    period = (2 * size - 2)[:, None]
    at = at % period
    return torch.minimum(at, period - at)


def _uniform(count: int, random: torch.Generator) -> Tensor:
    return torch.rand(count, generator=random, device=random.device)


def _shares(planes: list[dict[str, Any]], sizes: Tensor) -> Tensor:
    """A plane's share: its pixels within its group, times its group's pixels and its detail to powers below 1."""
    groups: dict[str, float] = {}
    for plane, size in zip(planes, sizes.tolist(), strict=True):
        groups[plane["group"]] = groups.get(plane["group"], 0.0) + size
    share = torch.tensor(
        [
            s * groups[p["group"]] ** (_EVENNESS - 1) * p.get("detail", 1.0) ** _DETAIL
            for p, s in zip(planes, sizes.tolist(), strict=True)
        ]
    )
    return share / share.sum()
