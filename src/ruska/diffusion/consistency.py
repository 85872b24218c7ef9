"""How a measurement corrects a prior's guess. The weight follows from the noise and the guess's error, not by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import hypot, prod, sqrt
from typing import TYPE_CHECKING

from ruska.diffusion.levels import flow_time
from ruska.diffusion.linear import conjugate_gradients
from ruska.diffusion.path import precise
from ruska.diffusion.prior import broadcast_level
from ruska.errors import SettingsError
from ruska.physics.operators import Decimation, Identity, Mask

if TYPE_CHECKING:
    from torch import Tensor

    from ruska.physics.operators import Operator


@dataclass(frozen=True, eq=False)
class DataTerm:
    """``y = A x + n`` with Gaussian noise that is independent from pixel to pixel.

    operator : A. noise_std : of n, > 0; a number, one per image (b,), or a map that fits y: (b, 1, *coarse).
    iterations, tolerance : of the conjugate gradients, where the operator has no closed form.
    gain : largest eigenvalue of A A'; computed when None. Pass it where blocks must agree on it.
    """

    operator: Operator
    noise_std: Tensor | float
    iterations: int = 20
    tolerance: float = 1e-5
    gain: float | None = None

    def __post_init__(self) -> None:
        if float(precise(self.noise_std).min()) <= 0:
            raise SettingsError("noise_std", f"is {float(precise(self.noise_std).min()):g}, expected more than 0")

    def variance(self, y: Tensor) -> Tensor:
        """Variance of the noise, with the axes of ``y``."""
        return (broadcast_level(precise(self.noise_std), y) ** 2).to(y)

    def nearest(self, y: Tensor, guess: Tensor, guess_std: Tensor | float) -> Tensor:
        """Minimise ``|A x - y|^2 / (2 noise_std^2) + |x - guess|^2 / (2 guess_std^2)`` over x.

        guess : (b, c, *spatial). guess_std : of its error; a number, one per image, or a map that fits ``guess``.

        That is ``guess + C A' (A C A' + noise_std^2)^-1 (y - A guess)`` with ``C = guess_std^2``: a division without
        operator, for a mask, and for decimation by whole factors; conjugate gradients otherwise, on the grid of y and
        for each image by itself (`physics.operators.data_step` ends a batch together). Source: Zhu et al. (2023),
        "Denoising diffusion models for plug-and-play image restoration" (DiffPIR), alg. 1.
        """
        operator, shape = self.operator, tuple(guess.shape[2:])
        power = (broadcast_level(precise(guess_std), guess) ** 2).to(guess)
        noise, rows = self.variance(y), self._rows(guess)
        short = y - operator.forward(guess)
        if rows is not None and (power.numel() == power.shape[0] or y.shape == guess.shape):
            dual = short / (power * rows + noise)
        else:
            dual = conjugate_gradients(
                lambda u: operator.forward(power * operator.adjoint(u, shape)) + noise * u,
                short, self.iterations, self.tolerance,
            )  # fmt: skip
        return guess + power * operator.adjoint(dual, shape)

    def _rows(self, like: Tensor) -> Tensor | float | None:
        """Diagonal of A A' if it is diagonal, so that its inverse is a division; else None."""
        match self.operator:
            case Identity():
                return 1.0
            case Mask(recorded):
                return recorded.to(like) ** 2
            case Decimation(factors) if all(f == int(f) for f in factors):
                return 1 / prod(int(f) for f in factors)
        return None

    def gain_on(self, x: Tensor) -> float:
        """Largest eigenvalue of A A' over images like ``x``, by power iteration from a flat one."""
        if self.gain is not None:
            return self.gain
        rows = self._rows(x)
        if rows is not None:
            return float(rows) if isinstance(rows, float) else float(rows.max())
        flat = x.new_ones((1, *x.shape[1:]))
        for _ in range(8):
            image = self.operator.adjoint(self.operator.forward(flat), tuple(x.shape[2:]))
            gain, flat = float(image.norm() / flat.norm()), image / image.norm().clamp(min=1e-30)
        return gain

    def back_projection(self, y: Tensor, shape: tuple[int, ...] | None = None) -> Tensor:
        """A first image: ``A' y``, on the scale of the specimen; 0 where nothing was recorded."""
        found = self.operator.adjoint(y, shape)
        share = self.operator.adjoint(self.operator.forward(found.new_ones(found.shape)), tuple(found.shape[2:]))
        return (found / share.clamp(min=1e-6)).where(share > 1e-6, found.new_zeros(()))


GuessError = Callable[[float], float]
"""Standard deviation of the error of the prior's guess at a level."""


def guess_error(noise_std: float, signal_std: float = 1.0, step_size: float = 0.0) -> GuessError:
    """The automatic rule (step_size 0), or a manual weight of the data with EM generalist's exponent."""
    if step_size < 0:
        raise SettingsError("step_size", f"is {step_size:g}, expected 0 (automatic) or more, e.g. 0.3")
    return manual_error(step_size, noise_std) if step_size else bounded_error(signal_std)


def bounded_error(signal_std: float = 1.0) -> GuessError:
    """Error of the guess if pixels were independent; exact for white images, otherwise too large, never too small.

    Source: Song, Vahdat, Mardani & Kautz (2023), "Pseudoinverse-guided diffusion models" (Pi-GDM); for images of
    ``signal_std`` instead of 1.
    """
    return lambda level: level * signal_std / hypot(level, signal_std)


def manual_error(step_size: float, noise_std: float) -> GuessError:
    """The error at which the data's share is ``(1 - t)^step_size``, t from 0 for noise to 1 for the image.

    That is EM generalist's step of flow plug-and-play, where 0.3 to 0.5 is advised: less stays closer to the data.
    """

    def error(level: float) -> float:
        share = (1 - flow_time(level)) ** step_size
        return noise_std * sqrt(share / max(1 - share, 1e-12))

    return error
