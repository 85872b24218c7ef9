"""Whether a denoised plane is closer to the specimen than its input, judged from the two alone.

The squared error of a result x is known up to one number: with the residual r = y - x and the noise n of the input y,
|x - truth|^2 = |n|^2 + |r|^2 - 2 <n, r>. How much of the noise is in the residual, <n, r> / |n|^2, is seen from how
much of each spatial frequency the result keeps in each small window: noise goes the way of everything else there.
Source: Stein (1981), Annals of Statistics 9, 1135 (the identity; <n, r> through the divergence). Differs: the
divergence is read off the result, so that nothing has to be computed again and any method can be judged.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ruska.evaluation import noise_spectrum
from ruska.physics import noise_level

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ruska.physics import NoiseEstimate

_SIDE = 32  # px of a window
_MOST_WINDOWS = 1024
_NO_BETTER = -0.023  # change of the squared error, over that of the input, from which a result is no better: 0.1 dB
_DOUBT = 0.03  # of that change, where all the noise was removed
_WORSE = 0.1
_SMALLEST = 64  # px each way of a plane that a line over the grey level can be fitted to
_SMOOTH = 2.0  # px; standard deviation of the Gaussian that gives the grey level


@dataclass(frozen=True)
class Improvement:
    """How the squared error changed, as far as the noise is known.

    noise_std : that was reckoned with, in grey levels: the largest of what the input and the residual say.
    taken : share of the noise's variance that is in the residual, 0 to 1.
    removed : variance of the residual over that of the noise.
    break_even : noise, in grey levels, below which the result would be no closer to the specimen than its input.
    """

    noise_std: float
    taken: float
    removed: float

    @property
    def change(self) -> float:
        """Squared error of the result less that of the input, over that of the input: -1 perfect, above 0 worse."""
        return self.removed - 2 * self.taken

    @property
    def gain_db(self) -> float:
        """The same in dB of PSNR; more than about 10 cannot be measured."""
        return float(-10 * np.log10(max(1 + self.change, 0.1)))

    @property
    def break_even(self) -> float:
        return self.noise_std * float(np.sqrt(self.removed / (2 * self.taken))) if self.taken > 0 else float("inf")

    @property
    def better(self) -> bool:
        return self.change <= _NO_BETTER - _DOUBT * min(self.removed, 1.0)

    @property
    def worse(self) -> bool:
        return self.change > _WORSE

    def as_dict(self) -> dict[str, float]:
        """JSON-like, for a record."""
        return {"noise_reckoned": self.noise_std, "noise_taken": self.taken, "variance_removed": self.removed,
                "break_even_noise": self.break_even, "gain_db": self.gain_db}  # fmt: skip


def improvement(before: NDArray[Any], after: NDArray[Any], noise: NoiseEstimate) -> Improvement | None:
    """Of planes (Y, X) of one shape, at least 32 pixels each way, finite, in one grey scale; None without any noise.

    Where the noise is taken too strong, as where fine texture passes for it, the result seems better than it is: the
    larger of the estimates is used, so that little is called worse that is not.
    """
    b, a = np.asarray(before, dtype=np.float64), np.asarray(after, dtype=np.float64)
    residual = b - a
    std = float(max(noise.std, _along_the_line(b), _at_the_finest(residual)))
    if std <= 0:
        return None
    return Improvement(std, _taken(b, a, noise), float(residual.var()) / std**2)


def _along_the_line(plane: NDArray[np.float64]) -> float:
    """Noise of the whole plane where it depends on the grey level: bright parts have more than quiet, dark ones."""
    from scipy.ndimage import gaussian_filter

    if min(plane.shape) < _SMALLEST:
        return 0.0
    level = noise_level(plane, falling=True)
    return float(np.sqrt(np.mean(level.std(gaussian_filter(plane, _SMOOTH)) ** 2)))


def _at_the_finest(residual: NDArray[np.float64]) -> float:
    """Standard deviation of the white noise that is as strong at the finest scale: noise that was there, and went."""
    high = residual
    for axis in (0, 1):
        high = np.diff(high, 4, axis) / np.sqrt(70.0)
    return float(high.std())


def _taken(before: NDArray[np.float64], after: NDArray[np.float64], noise: NoiseEstimate) -> float:
    """Share of the noise that is not in the result, over windows and rings of spatial frequency."""
    rings, frequency = _rings()
    weight = rings.sum(0) * noise_spectrum(noise, frequency)
    taken, count = 0.0, 0
    for y, x in zip(_rows_of_spectra(before), _rows_of_spectra(after), strict=True):
        power = (y.real**2 + y.imag**2) @ rings
        common = (y.real * x.real + y.imag * x.imag) @ rings
        kept = np.clip(np.divide(common, power, out=np.zeros_like(common), where=power > 0), 0, 1)
        seen = (power > 0).any(1)  # windows without any variation say nothing
        taken += float(((1 - kept[seen]) @ weight).sum())
        count += int(seen.sum())
    return taken / float(count * weight.sum()) if count and weight.sum() > 0 else 0.0


def _rows_of_spectra(plane: NDArray[np.float64]) -> Iterator[NDArray[np.complex128]]:
    """Of windows with soft edges that overlap by half, or less where there are very many: (windows, coefficients)."""
    step = _SIDE // 2
    while np.prod([(n - _SIDE) // step + 1 for n in plane.shape]) > _MOST_WINDOWS:
        step += _SIDE // 4
    hann = np.hanning(_SIDE + 2)[1:-1]
    soft = hann[:, None] * hann
    for row in np.lib.stride_tricks.sliding_window_view(plane, (_SIDE, _SIDE))[::step, ::step]:
        spectra = np.fft.rfft2((row - row.mean((1, 2), keepdims=True)) * soft)
        yield spectra.reshape(len(row), -1)


def _rings() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weight of each coefficient of a window in each ring, (coefficients, rings), and the rings' cycles per pixel."""
    fy, fx = np.fft.fftfreq(_SIDE)[:, None], np.fft.rfftfreq(_SIDE)
    ring = np.rint(np.hypot(fy, fx) * _SIDE / 2).astype(np.intp)
    twice = np.full(ring.shape, 2.0)  # the half transform leaves their mirror images out
    twice[:, 0] = twice[:, -1] = 1
    rings = np.zeros((ring.size, ring.max() + 1))
    rings[np.arange(ring.size), ring.ravel()] = twice.ravel()
    return rings, np.minimum(np.arange(ring.max() + 1) * 2 / _SIDE, 0.5)
