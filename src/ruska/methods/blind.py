"""Finding an unknown blur: the one with which the method predicts the measurement best.

Alternating between image and kernel drifts to no blur, because the restored image lacks the same detail that the kernel
would have to explain. So kernels are compared by what the prior says of the measurement with each of them: noise is
added, the noisier image is restored, the estimate is blurred again and held against the measurement itself. If the
prior is right, the right kernel predicts best: the mean of all answers under the true model has the least error.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ruska.errors import GeometryError
from ruska.methods.slices import SliceMethod, as_it_is
from ruska.physics.blur_spectrum import blur_of_spectrum, stretched
from ruska.physics.operators.families import FAMILIES, WIDEST, BlurShape, Family, free_shape

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from ruska.methods.posterior import PosteriorMethod

_EDGE = 256  # pixels of the plane that the kernels are compared on, each way
_SMALLEST = 48
_ADDED = 2.0  # noise that is added, in noise levels; 1 and 4 say the same
_TRUSTS = (0.07, 0.1, 0.14, 0.2)  # weights of the prior: what predicts best is nearest to the mean of all answers
_PASSES = 6
_SIZES = (0.72, 0.85, 1.0, 1.18, 1.4)  # of what the spectrum says, which is within 25 % on micrographs
_RATIOS = (0.6, 0.77, 1.0, 1.3, 1.7)
_OWN = 0.45  # pixels: width that both estimates see in sharp micrographs, measured on six
_SHARP = 0.75  # pixels: no wider than this is as sharp as micrographs are
_ERROR = 0.08  # of the width, at least: root mean square over six micrographs and three widths
_ROUNDS = 3
_TRIALS = {"gaussian": 20, "defocus": 20, "astigmatic": 40, "free": 93}  # restorations to compare, at least
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Found:
    """A blur that was found, or that none was.

    shape : None where the image is as sharp as micrographs are. error : of the width, as a fraction.
    """

    shape: BlurShape | None
    error: float = 0.0

    def __str__(self) -> str:
        if self.shape is None:
            return "No blur was found, and the image was left as it is; `ruska denoise` removes its noise."
        lines = f"The blur was estimated: {self.shape}, its width known to about ± {100 * self.error:.0f} %."
        if self.shape.family == "free":
            middle = self.shape.psf()[self.shape.psf().shape[0] // 2]
            lines += " Weights along its middle row: " + " ".join(f"{v:.3f}" for v in middle) + "."
        return lines


def find_blur(plane: NDArray[Any], method: PosteriorMethod, family: Family, progress: Progress | None = None) -> Found:
    """The blur of ``plane`` (Y, X), normalised; ``method`` restores, its operator is not used.

    progress : told after each restoration that is compared, with how many there will be.
    Raises GeometryError where the plane is less than 48 pixels wide or high.
    """
    if min(plane.shape) < _SMALLEST:
        raise GeometryError("blur", f"cannot be found on {plane.shape[1]} x {plane.shape[0]} pixels, at least "
                            f"{_SMALLEST} are needed", "Give --sigma or --psf.")  # fmt: skip
    trial = Trial(_busiest(plane), method, progress=_Counted(progress, _TRIALS[family]))
    return _of_any(trial) if family == "free" else _of_family(trial, family)


def _of_family(trial: Trial, family: Family) -> Found:
    first = blur_of_spectrum(trial.plane, trial.method.told.std, family)
    if first.width < _SHARP:
        return Found(None)
    size = _lowest(trial, first.scaled, _SIZES)
    if family == "astigmatic":
        first = stretched(first, _lowest(trial, partial(stretched, first.scaled(size)), _RATIOS))
    # two estimates with little in common but the plane: between them, and as sure as they agree
    shape = first.scaled(size**0.5)
    if shape.width < _SHARP:
        return Found(None)
    shape = shape.scaled(float(np.sqrt(1 - (_OWN / shape.width) ** 2)))
    return Found(shape, max(_ERROR, abs(float(np.log(size))) / 2))


def _of_any(trial: Trial) -> Found:
    """A free kernel, from the family that predicts best."""
    best, least = Found(None), float("inf")
    for family in FAMILIES[:-1]:
        found = _of_family(trial, family)
        if found.shape is None:
            return found
        misfits = [trial.misfit(found.shape, trust) for trust in _TRUSTS]
        if min(misfits) < least:
            best, least, trust = found, min(misfits), _TRUSTS[int(np.argmin(misfits))]
    assert best.shape is not None
    trial.trust = trust
    return Found(_freed(trial, best.shape), best.error)


def _busiest(plane: NDArray[Any]) -> NDArray[Any]:
    """The part with the most contrast, up to `_EDGE` pixels each way."""
    height, width = (min(n, _EDGE) for n in plane.shape)
    places = [(top, left)
              for top in np.unique(np.linspace(0, plane.shape[0] - height, 3).astype(int))
              for left in np.unique(np.linspace(0, plane.shape[1] - width, 3).astype(int))]  # fmt: skip
    parts = [plane[top : top + height, left : left + width] for top, left in places]
    return max(parts, key=lambda part: float(part.var()))


@dataclass
class _Counted:
    """Counts what is done, up to a number that is at least ``total``."""

    told: Progress | None
    total: int
    done: int = 0

    def another(self) -> None:
        self.done += 1
        if self.told is not None:
            self.told("finding the blur", self.done, max(self.done, self.total))


@dataclass
class Trial:
    """Compares kernels with one plane.

    trust : weight of the prior with which the plane was predicted best so far.
    """

    plane: NDArray[Any]
    method: PosteriorMethod
    trust: float = _TRUSTS[2]
    progress: _Counted = field(default_factory=lambda: _Counted(None, 0))

    def misfit(self, shape: BlurShape, trust: float | None = None) -> float:
        """What is unexplained of the plane when noise was added, in units of the noise's variance, times pixels.

        Integrated over levels of added noise it is the negative logarithm of the marginal likelihood of ``shape``, up
        to a constant, if the method returns the posterior mean; one level was measured to be enough.
        Source: Guo, Shamai & Verdu (2005), IEEE Trans. Inf. Theory 51, 1261, eq. 1: what a denoiser misses, integrated
        over noise levels, is information. Differs: the signal is the blurred image with its noise.
        """
        import torch

        std = self.method.told.std
        # the same noise for every kernel, so that they differ by the kernel alone
        added = np.random.default_rng(0).normal(0, _ADDED * std, self.plane.shape).astype(np.float32)
        y = _tensor(self.plane)
        noisier = y + torch.from_numpy(added)
        seen = shape.operator().forward(self.restored(noisier, shape, std * float(np.hypot(1, _ADDED)), trust))
        self.progress.another()
        expected = seen + (noisier - seen) / (1 + _ADDED**2)  # the measurement's own share of the noise
        return float(((y - expected) ** 2).sum()) / (_ADDED * std) ** 2

    def restored(self, y: Tensor, shape: BlurShape, std: float, trust: float | None = None) -> Tensor:
        """(1, 1, Y, X), as the method would."""
        import torch

        told = replace(self.method.told, std=std)
        own = self.method.own.model_copy(update={"steps": min(_PASSES, self.method.own.steps)})
        method = replace(self.method, operator=shape.operator(), told=told, trust=trust or self.trust, own=own)
        with torch.inference_mode():
            return method.restore(y)


def _tensor(plane: NDArray[Any]) -> Tensor:
    import torch

    return torch.from_numpy(np.asarray(plane, dtype=np.float32))[None, None]


def _lowest(trial: Trial, make: Callable[[float], BlurShape], factors: Sequence[float]) -> float:
    """The factor of least misfit, with the weight of the prior that goes with it."""
    misfits = np.array([[trial.misfit(make(f), trust) for f in factors] for trust in _TRUSTS])
    best = int(misfits.min(1).argmin())
    trial.trust = _TRUSTS[best]
    return float(np.exp(_bottom(np.log(factors), misfits[best])))


def _bottom(x: NDArray[Any], y: NDArray[Any]) -> float:
    """Where a parabola through the lowest point and its neighbours is lowest; an end where that is lowest."""
    k = int(np.argmin(y))
    if k in (0, len(x) - 1):
        return float(x[k])
    a, b, _ = np.polyfit(x[k - 1 : k + 2], y[k - 1 : k + 2], 2)
    return float(np.clip(-b / (2 * a), x[k - 1], x[k + 1])) if a > 0 else float(x[k])


def _freed(trial: Trial, shape: BlurShape) -> BlurShape:
    """From a shape with a name to any kernel, as long as the measurement is predicted better."""
    best = free_shape(shape.psf())
    least = trial.misfit(best)
    for _ in range(_ROUNDS):
        changed = _fitted(trial, best)
        misfit = trial.misfit(changed)
        if misfit >= least:
            break
        best, least = changed, misfit
    return best


def _fitted(trial: Trial, shape: BlurShape) -> BlurShape:
    """Least squares for the kernel that turns the clean estimate into the measurement, near ``shape``.

    What the estimate lacks would make the kernel narrower; so the change is taken that is left when the same is done
    with a measurement simulated from the estimate with ``shape``.
    """
    import torch

    y = _tensor(trial.plane)
    std = trial.method.told.std
    clean = trial.restored(y, shape, std)
    noise = np.random.default_rng(1).normal(0, std, trial.plane.shape).astype(np.float32)
    simulated = shape.operator().forward(clean) + torch.from_numpy(noise)[None, None]
    again = trial.restored(simulated, shape, std)
    change = _least_squares(clean, y, std) - _least_squares(again, simulated, std)
    half = (WIDEST - 1) // 2
    old = np.pad(shape.psf(), half - shape.psf().shape[0] // 2)
    radius = np.hypot(*(np.indices(old.shape) - half))
    near = np.clip(2 - radius / max(2.0, 2 * shape.width), 0, 1)  # far out there is little but noise
    return free_shape(old + change * near, smooth=True)


def _least_squares(clean: Tensor, y: Tensor, std: float) -> NDArray[Any]:
    """Kernel (33, 33) of least squares from ``clean`` to ``y``, in Fourier space; faint frequencies count little."""
    x, z = (np.asarray(t[0, 0].double()) for t in (clean, y))
    window = np.hanning(x.shape[0])[:, None] * np.hanning(x.shape[1])
    a, b = (np.fft.fft2((t - t.mean()) * window) for t in (x, z))
    power = np.abs(a) ** 2
    kernel = np.fft.fftshift(np.fft.ifft2(b * a.conj() / (power + 4 * std**2 * (window**2).sum())).real)
    middle, half = (n // 2 for n in kernel.shape), (WIDEST - 1) // 2
    return kernel[tuple(slice(m - half, m + half + 1) for m in middle)]


def unchanged(method: PosteriorMethod, notes: tuple[str, ...]) -> SliceMethod:
    """Returns its input."""
    return SliceMethod(as_it_is, (0, 0), 4.0, method.settings, domain="raw", notes=notes)
