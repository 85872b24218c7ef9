"""The coordinates in which a prior's network sees a noisy image and predicts the clean one: a path and a prediction.

Priors and samplers use levels only, ``y = x + sigma eps`` (see `path`). A network that was trained on another path
receives ``alpha y``, and its prediction is converted to the clean image.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from ruska.diffusion.path import (
    EM_GENERALIST,
    FlowPath,
    cosine_path,
    ddpm_path,
    level_at,
    precise,
    zero_terminal_snr,
)
from ruska.diffusion.prediction import Prediction, check_prediction, convert
from ruska.errors import SettingsError, did_you_mean

if TYPE_CHECKING:
    from torch import Tensor

    from ruska.diffusion.path import Path

PathName = Literal["exploding", "flow", "ddpm", "cosine", "zero-terminal-snr"]


@dataclass(frozen=True)
class Coordinates:
    """path : None if the network sees the image at unit variance, ``alpha = 1 / sqrt(1 + sigma^2)``, at any level."""

    path: Path | None
    prediction: Prediction

    def seen(self, y: Tensor, sigma: Tensor) -> Tensor:
        """The network's input for y (b, 1, *spatial) with noise ``sigma``, broadcastable to it."""
        return self._scales(sigma, y)[0] * y

    def clean(self, said: Tensor, y: Tensor, sigma: Tensor) -> Tensor:
        """Convert a prediction to the image."""
        alpha, std = self._scales(sigma, y)
        return convert(said, alpha * y, alpha, std, self.prediction, "x0")

    def wanted(self, x: Tensor, y: Tensor, sigma: Tensor) -> Tensor:
        """The prediction the network should make for ``y`` if ``x`` is the image."""
        alpha, std = self._scales(sigma, y)
        return convert(x, alpha * y, alpha, std, "x0", self.prediction)

    def _scales(self, sigma: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        """alpha, and the noise of the network's input. Their ratio is exactly ``sigma``, even beyond the path's end."""
        level = precise(sigma)
        alpha = (1 + level**2) ** -0.5 if self.path is None else self.path.alpha(self.path.time(level))
        return alpha.to(like), (alpha * level).to(like)


def coordinates(path: str, prediction: str) -> Coordinates | None:
    """None for a `Denoiser`'s own coordinates: levels of any size, and x0 as preconditioned in EDM.

    Raises SettingsError for an unknown name.
    """
    check_prediction(prediction)
    if path not in get_args(PathName):
        raise SettingsError("path", f"is '{path}'", did_you_mean(path, get_args(PathName)))
    if (path, prediction) == ("exploding", "x0"):
        return None
    return Coordinates(path_of(path), prediction)  # type: ignore[arg-type]  # checked


def path_of(name: str) -> Path | None:
    """The path of a name; None for the exploding one, which has no end."""
    if name == "flow":
        return FlowPath()
    if name == "cosine":
        return cosine_path()
    if name in ("ddpm", "zero-terminal-snr"):
        ddpm = ddpm_path(EM_GENERALIST)
        return ddpm if name == "ddpm" else zero_terminal_snr(ddpm)
    return None


def levels_on(path: Path, part: Tensor) -> Tensor:
    """Levels at uniformly drawn times ``part``, 0 to 1, as in training on a path; may be infinite at its end."""
    return level_at(path, part).to(part)
