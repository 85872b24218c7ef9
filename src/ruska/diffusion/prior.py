"""What a restoration asks of a prior: one denoiser, whatever network is behind it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from ruska.diffusion.path import level_at, precise
from ruska.diffusion.prediction import Prediction, check_prediction, convert
from ruska.errors import GeometryError, SettingsError

if TYPE_CHECKING:
    from torch import Tensor

    from ruska.diffusion.path import Path


class Prior(Protocol):
    def denoise(self, x_t: Tensor, sigma: Tensor | float, condition: Tensor | None = None) -> Tensor:
        """Expected clean image, given ``x_t = x0 + sigma * eps`` (variance exploding: the image keeps its scale).

        x_t : (b, c, *spatial). sigma : a number, one per image (b,), or a map (b, 1, *spatial).
        condition : (b, k, *spatial) images that the prior was trained to look at, too.
        """
        ...


Clock = Callable[["Tensor"], "Tensor"]


@dataclass(frozen=True, eq=False)
class NetworkPrior:
    """A network that predicts any of the four parametrisations on any path, as a `Prior`.

    network : called with (x_t, time) or (x_t, time, condition) on ITS path, ``x_t = alpha x0 + sigma eps``; returns
        the shape of x_t.
    clock : turns t in [0, 1] into what the network takes as time, e.g. ``lambda t: 1000 * t - 1`` for steps counted
        from 0, or ``lambda t: path.alpha(t) ** 2`` for one conditioned on the signal's share; t itself when None.
    sigma_maps : the network takes time as a map (b, 1, *spatial), too; always (b,) otherwise.
    """

    network: Callable[..., Tensor]
    path: Path
    prediction: Prediction = "velocity"
    clock: Clock | None = None
    sigma_maps: bool = False

    def __post_init__(self) -> None:
        check_prediction(self.prediction)

    def denoise(self, x_t: Tensor, sigma: Tensor | float, condition: Tensor | None = None) -> Tensor:
        """Raises SettingsError when a level lies beyond the path, or is a map and the network takes none."""
        level = broadcast_level(precise(sigma), x_t)
        if level.numel() > level.shape[0] and not self.sigma_maps:
            raise SettingsError("sigma", "is a map, and this prior was trained with one level per image",
                                "Give one number, or a prior trained with sigma maps.")  # fmt: skip
        self._check_range(level)
        t = self.path.time(level)
        alpha, std = self.path.alpha(t).to(x_t), self.path.sigma(t).to(x_t)
        scaled = alpha * x_t
        time = t if self.clock is None else self.clock(t)
        time = time.to(x_t) if level.numel() > level.shape[0] else time.to(x_t).reshape(-1).expand(len(x_t))
        given = () if condition is None else (condition,)
        clean = convert(self.network(scaled, time, *given), scaled, alpha, std, self.prediction, "x0")
        return x_t.where((level == 0).to(x_t.device), clean)  # without noise nothing is to be guessed

    def _check_range(self, level: Tensor) -> None:
        end, highest = float(level_at(self.path, 1.0)), float(level.max())
        if highest > end * (1 + 1e-6) or float(level.min()) < 0:
            raise SettingsError("sigma", f"is {highest:g}, the prior was trained with 0 to {end:g}",
                                "Start at the level where its path ends.")  # fmt: skip


def broadcast_level(sigma: Tensor, x: Tensor) -> Tensor:
    """A number, one per image, or a map, with the axes of ``x``: (1 or b, 1, *(1s or spatial)).

    Raises GeometryError when it is none of these.
    """
    if sigma.dim() == 0:
        return sigma.reshape((1,) * x.dim())
    if sigma.dim() == 1 and len(sigma) == len(x):
        return sigma.reshape(-1, *(1,) * (x.dim() - 1))
    fits = sigma.dim() == x.dim() and all(n in (1, m) for n, m in zip(sigma.shape, x.shape, strict=True))
    if not fits:
        raise GeometryError("sigma", f"has shape {tuple(sigma.shape)}, expected a number, ({len(x)},) or "
                                     f"{(len(x), 1, *x.shape[2:])}")  # fmt: skip
    return sigma
