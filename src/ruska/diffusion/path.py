"""One Gaussian path from an image to noise, ``x_t = alpha(t) x0 + sigma(t) eps`` with t from 0 (image) to 1 (noise).

Flow matching and diffusion are two clocks on it, and what a network predicts (epsilon, v, velocity, x0) is a choice of
coordinates. At the same ratio sigma / alpha, the *level*, two paths hold the same image up to its scale, so priors and
solvers use levels only, and only `Coordinates` know which path a network was trained on.

Source: Kingma & Gao (2023), "Understanding diffusion objectives as the ELBO with simple data augmentation", sec. 2;
Karras, Aittala, Aila & Laine (2022), "Elucidating the design space of diffusion-based generative models", sec. 2.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import pi
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from ruska.errors import SettingsError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor


class Path(Protocol):
    """alpha and sigma for any t in [0, 1], as tensors of the shape of ``t`` in double precision."""

    def alpha(self, t: Tensor | float) -> Tensor: ...
    def sigma(self, t: Tensor | float) -> Tensor: ...
    def time(self, level: Tensor | float) -> Tensor:
        """t at which sigma / alpha is ``level``; 1 for any level beyond the end of the path."""
        ...


class Betas(NamedTuple):
    """A linear variance schedule of ``steps`` steps, as written in configuration files."""

    first: float
    last: float
    steps: int


EM_GENERALIST = Betas(1e-4, 0.02, 1000)
EMDIFFUSE_TRAINING = Betas(1e-6, 0.01, 2000)
EMDIFFUSE_SAMPLING = Betas(1e-4, 0.09, 1000)


@dataclass(frozen=True)
class FlowPath:
    """Straight lines: alpha = 1 - t, sigma = t. Source: Lipman et al. (2023), "Flow matching", sec. 4.1."""

    def alpha(self, t: Tensor | float) -> Tensor:
        return 1 - precise(t)

    def sigma(self, t: Tensor | float) -> Tensor:
        return precise(t)

    def time(self, level: Tensor | float) -> Tensor:
        return 1 / (1 + 1 / precise(level))  # not level / (1 + level), which is not a number at infinity


@dataclass(frozen=True)
class VariancePreservingPath:
    """alpha = cos(phi), sigma = sin(phi), so alpha^2 + sigma^2 = 1; phi grows linearly between the steps of a table.

    angles : radians, one per training step and 0 before the first, increasing to pi / 2 at most. Step i of n, counted
        from 1, is t = i / n. The angle is kept rather than alpha because it is exact at both ends.
    """

    angles: tuple[float, ...]

    def __post_init__(self) -> None:
        values = np.asarray(self.angles)
        if len(values) < 2 or values[0] != 0 or not (np.diff(values) > 0).all() or values[-1] > pi / 2:
            raise SettingsError("angles", f"are {len(values)} values, expected them to rise from 0 to pi / 2 at most")

    @property
    def steps(self) -> int:
        return len(self.angles) - 1

    def alpha(self, t: Tensor | float) -> Tensor:
        angle = self._angle(t)
        return angle.cos().where(angle < pi / 2, angle.new_zeros(()))

    def sigma(self, t: Tensor | float) -> Tensor:
        return self._angle(t).sin()

    def time(self, level: Tensor | float) -> Tensor:
        import torch

        angle = precise(level).atan()
        table = self._table(angle)
        after = torch.searchsorted(table, angle.contiguous()).clamp(1, self.steps)
        part = (angle - table[after - 1]) / (table[after] - table[after - 1])
        return ((after - 1 + part) / self.steps).clamp(0, 1)

    def _angle(self, t: Tensor | float) -> Tensor:
        place = precise(t) * self.steps
        table = self._table(place)
        before = place.floor().clamp(0, self.steps - 1).long()
        return table[before].lerp(table[before + 1], (place - before).clamp(0, 1))

    def _table(self, like: Tensor) -> Tensor:
        return like.new_tensor(self.angles)


def ddpm_path(betas: Betas) -> VariancePreservingPath:
    """Noise added in small steps of variance beta, rising linearly.

    Source: Ho, Jain & Abbeel (2020), "Denoising diffusion probabilistic models", sec. 4.
    """
    return path_of_betas(np.linspace(betas.first, betas.last, betas.steps))


def cosine_path(steps: int = 1000, offset: float = 0.008, greatest_beta: float = 0.999) -> VariancePreservingPath:
    """Source: Nichol & Dhariwal (2021), "Improved denoising diffusion probabilistic models", eq. 17."""
    power = np.cos((np.arange(steps + 1) / steps + offset) / (1 + offset) * pi / 2) ** 2
    return path_of_betas(np.minimum(1 - power[1:] / power[:-1], greatest_beta))


def path_of_betas(betas: NDArray[np.floating]) -> VariancePreservingPath:
    """The path with ``alpha_i^2 = (1 - beta_1) ... (1 - beta_i)``."""
    if not ((betas > 0) & (betas < 1)).all():
        raise SettingsError("betas", f"go from {betas.min():g} to {betas.max():g}, expected between 0 and 1")
    log_power = np.concatenate([[0.0], np.cumsum(np.log1p(-betas))])
    return _from_alphas(np.exp(log_power / 2), np.sqrt(-np.expm1(log_power)))


def zero_terminal_snr(path: VariancePreservingPath) -> VariancePreservingPath:
    """The same path, rescaled so that nothing of the image is left at t = 1.

    Source: Lin, Liu, Li & Yang (2024), "Common diffusion noise schedules and sample steps are flawed", alg. 1.
    """
    alpha = np.cos(path.angles)
    alpha[1:] = (alpha[1:] - alpha[-1]) * alpha[1] / (alpha[1] - alpha[-1])
    return _from_alphas(alpha, np.sqrt(1 - alpha**2))


def _from_alphas(alpha: NDArray[np.floating], sigma: NDArray[np.floating]) -> VariancePreservingPath:
    return VariancePreservingPath(tuple(float(a) for a in np.arctan2(sigma, alpha)))


def level_at(path: Path, t: Tensor | float) -> Tensor:
    """sigma / alpha: standard deviation of the noise on the image's own scale; infinite where alpha is 0."""
    return path.sigma(t) / path.alpha(t)


def snr(path: Path, t: Tensor | float) -> Tensor:
    """alpha^2 / sigma^2; infinite at t = 0."""
    return (path.alpha(t) / path.sigma(t)) ** 2


def precise(value: Tensor | float) -> Tensor:
    """As a tensor in double precision, or single if the device has no double."""
    import torch

    if not isinstance(value, torch.Tensor):
        return torch.tensor(value, dtype=torch.double)
    return value.float() if value.device.type == "mps" else value.double()
