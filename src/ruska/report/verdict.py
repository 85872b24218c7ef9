"""The plain verdict: what one micrograph and its restoration allow to be said, in words and numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ruska.errors import GeometryError
from ruska.metrics import radial_spectrum, residual_whiteness
from ruska.physics import NoiseEstimate, estimate_noise, noise_level
from ruska.physics.noise_level import few_values
from ruska.report.improvement import Improvement, improvement
from ruska.report.interference import interference_left

if TYPE_CHECKING:
    from numpy.typing import NDArray

Level = Literal["good", "caution", "warning"]
LEVELS: tuple[Level, ...] = ("good", "caution", "warning")  # from the best on

_PROBE = 1.5  # px; standard deviation of the Gaussian that sets structure apart from noise in the residual
_WINDOW = 24  # px; neighbourhood in which removed structure is looked for
_HARDLY = 0.3  # share of the noise removed below which more might be
_NARROW = 0.9  # break-even noise over estimated noise above which "better" hangs on the estimate


@dataclass(frozen=True)
class Measures:
    """The numbers behind a verdict. Levels are in grey levels of the input.

    noise_before, noise_after : estimated noise. residual_std : of before minus after.
    residual_lag1 : correlation of neighbours in the residual along (Y, X).
    coarse_ratio : strength of the residual's coarser part (blurred by 1.5 px) over what the noise alone would have
        there; above 1 when structure was removed with the noise.
    removed_share : share of the picture where that ratio is far above 1.
    kept_power : share of the structure's power that the result still has at the spatial frequency where it lost most,
        among those where structure is stronger than noise; None when there is no such frequency.
    bias : mean of after minus mean of before. contrast : grey range of the result (0.3 to 99.7 %).
    """

    noise_before: float
    noise_after: float
    residual_std: float
    residual_lag1: tuple[float, float]
    coarse_ratio: float
    removed_share: float
    kept_power: float | None
    bias: float
    contrast: float


@dataclass(frozen=True)
class Verdict:
    """A headline, the sentences that support it, and how much care is needed.

    better : whether the result is probably closer to the specimen than its input; None where that was not judged.
    numbers : behind the sentences, JSON-like; see `Measures` and `Improvement`.
    """

    headline: str
    lines: tuple[str, ...]
    level: Level
    better: bool | None = None
    numbers: Mapping[str, Any] = field(default_factory=dict)


def measure(before: NDArray[Any], after: NDArray[Any], noise: NoiseEstimate) -> Measures:
    """Compare two planes (Y, X) of one shape, at least 32 pixels each way, finite, in the same grey levels.

    Raises GeometryError when the shapes differ or are too small.
    """
    from scipy.ndimage import gaussian_filter, uniform_filter

    if before.shape != after.shape or before.ndim != 2 or min(before.shape) < 32:
        raise GeometryError("verdict", f"got planes of {before.shape} and {after.shape}, expected one 2D shape of at "
                            "least 32 pixels each way")  # fmt: skip
    b, a = np.asarray(before, dtype=np.float64), np.asarray(after, dtype=np.float64)
    residual = b - a - np.mean(b - a)
    coarse = gaussian_filter(residual, _PROBE)
    white = 2 * _PROBE * np.sqrt(np.pi)  # how much weaker that Gaussian makes white noise
    expected, around, floor = noise.coarse_std / white, noise.coarse_std / white, noise.coarse_std
    if (variance := _variance_of_counts(b)) is not None:  # far stronger where it is bright than in quiet parts
        expected, floor = np.sqrt(variance.mean()) / white, float(np.sqrt(_in_spectrum(variance)))
        around = np.sqrt(uniform_filter(variance, _WINDOW)[_WINDOW // 2 :: 6, _WINDOW // 2 :: 6]) / white
    local = np.sqrt(np.maximum(uniform_filter(coarse**2, _WINDOW), 0)[_WINDOW // 2 :: 6, _WINDOW // 2 :: 6])
    low, high = np.percentile(a, (0.3, 99.7))
    lag_y, lag_x = residual_whiteness(residual)
    return Measures(
        noise.std,
        estimate_noise(a).std,
        float(residual.std()),
        (lag_y, lag_x),
        float(coarse.std() / expected) if expected > 0 else 0.0,
        float(np.mean(local > 1.8 * around)) if expected > 0 else 0.0,
        _kept_power(b, a, floor),
        float(a.mean() - b.mean()),
        float(high - low),
    )


def _variance_of_counts(plane: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Variance of the noise (Y, X) where ``plane`` holds single counts, which is that of their mean; else None."""
    from scipy.ndimage import gaussian_filter

    if min(plane.shape) < 64 or not few_values(plane) or not (level := noise_level(plane)).counted:
        return None
    return level.std(gaussian_filter(plane, 2 * _PROBE)) ** 2


def _in_spectrum(variance: NDArray[np.float64]) -> float:
    """Mean of ``variance`` (Y, X) as the window of `radial_spectrum` weighs it."""
    weight = np.multiply.outer(*(np.hanning(n + 2)[1:-1] ** 2 for n in variance.shape))
    return float((variance * weight).sum() / weight.sum())


def _kept_power(before: NDArray[Any], after: NDArray[Any], coarse_std: float) -> float | None:
    """Compare the result's spectrum with what the noisy spectrum has above the noise's (tenth percentile of rings)."""
    frequency, power = radial_spectrum(before)
    _, left = radial_spectrum(after)
    power, left = (np.convolve(p, np.ones(3) / 3, mode="same") for p in (power, left))
    floor = coarse_std**2
    # the lowest rings hold shading and the window's own leakage; below 2x the floor the difference is uncertain
    sure = (power > 2 * floor) & (np.arange(frequency.size) >= 2)
    if sure.sum() < 3:
        return None
    return float(np.percentile(left[sure] / (power[sure] - floor), 10))


def judge(
    before: NDArray[Any],
    after: NDArray[Any],
    noise: NoiseEstimate | None = None,
    *,
    clipped: int = 0,
    warnings: Sequence[str] = (),
    denoised: bool = True,
) -> Verdict:
    """Say in plain words how far the result can be trusted.

    before, after : planes (Y, X) of one shape, at least 32 pixels each way, finite, on one intensity scale.
    noise : of ``before``; estimated when not given.
    clipped : voxels of the whole result that did not fit the output's range.
    warnings : what the run itself warned of; repeated here.
    denoised : only noise was to be removed, so both planes show the same thing and can be compared.

    ``good`` means that no objection was found, not that the result is right: one image has no truth.
    The limits were set on phantoms and real micrographs at three doses: truth and BM3D pass, a Gaussian blur of
    4 pixels does not.
    """
    noise = noise or estimate_noise(np.asarray(before, dtype=np.float64))
    m = measure(before, after, noise)
    gain = improvement(before, after, noise) if denoised else None
    numbers = asdict(m) | ({} if gain is None else gain.as_dict())
    quiet = [f"The run warns: {w}." for w in (w.rstrip(". ") for w in warnings)]
    if clipped:
        what = (
            "1 voxel did not fit the output's range and was"
            if clipped == 1
            else (f"{clipped} voxels did not fit the output's range and were")
        )
        quiet.append(f"{what} clipped; write float32 to keep {'it' if clipped == 1 else 'them'}.")
    if (hum := interference_left(before, after)) is not None:
        quiet.append(hum)
    if m.residual_std <= 0.1 * m.noise_before or m.residual_std == 0:
        return _nothing_removed(m, quiet, (gain is not None and gain.better) if denoised else None, numbers)
    loss, structure_line = _structure(m)
    bias_line, biased = _bias(m)
    nearer, nearer_line = _nearer(gain)
    lines = [*nearer_line, _removed(m), structure_line, _residual(m, noise), bias_line, *quiet]
    lines.append(
        "What one image cannot tell: whether fine detail in the result is real. Before you interpret detail near the "
        "noise, compare a second exposure of the same field, or a longer one of a part of it."
    )
    level = _worst(loss, nearer, "warning" if biased else "good", "caution" if quiet else "good")
    headline = _headline(m, loss, biased=biased, remarked=level == "caution", gain=gain)
    return Verdict(headline, tuple(lines), level, None if gain is None else gain.better, numbers)


def _worst(*levels: Level) -> Level:
    return max(levels, key=LEVELS.index)


def _headline(m: Measures, loss: Level, *, biased: bool, remarked: bool, gain: Improvement | None) -> str:
    lost = "Real structure was probably removed together with the noise"
    if gain is not None and not gain.better:
        poor = f"he result is probably {'worse' if gain.worse else 'no better'} than its input."
        return f"{lost}: t{poor}" if loss == "warning" else f"T{poor}"
    if loss == "warning":
        return f"{lost}."
    if biased:
        return "The brightness of the image changed."
    if loss == "caution":
        return "Noise was removed, and probably some fine structure with it."
    if remarked:
        return "Noise was removed and no lost structure was found, but see the remarks."
    if m.noise_after > 0.5 * m.noise_before:
        return "Part of the noise was removed; no lost structure was found."
    return "Noise was removed; no lost structure was found."


def _nearer(gain: Improvement | None) -> tuple[Level, list[str]]:
    """Whether the result is closer to the specimen than its input, in words; nothing where that was not judged."""
    if gain is None:
        return "good", []
    facts = (
        f"What was removed has {gain.removed:.2g} times the variance of the noise (about {gain.noise_std:.3g} grey "
        f"levels); {gain.taken:.0%} of the noise's variance is gone"
    )
    if not gain.better:
        where = "further from" if gain.worse else "no closer to"
        advice = "Use a stronger setting" if gain.taken < _HARDLY and not gain.worse else "Use a weaker setting"
        return "warning" if gain.worse else "caution", [
            f"Result against input: the result is probably {where} the specimen than its input. {facts}. {advice}, "
            "or keep the input."
        ]
    sure = f"if the noise is above {gain.break_even:.3g} grey levels"
    if gain.break_even > _NARROW * gain.noise_std:
        return "caution", [f"Result against input: the result is closer to the specimen only {sure}. {facts}. A weaker "
                           "setting would be safer."]  # fmt: skip
    return "good", [f"Result against input: the result is probably closer to the specimen {sure}. {facts}."]


def _nothing_removed(m: Measures, quiet: list[str], better: bool | None, numbers: Mapping[str, Any]) -> Verdict:
    line = (
        f"The result differs from the input by {m.residual_std:.3g} grey levels, the noise is about "
        f"{m.noise_before:.3g}. Choose a stronger setting if you expected more."
    )
    if m.noise_before <= 0.005 * m.contrast:
        line += " The input has hardly any noise, so there may be nothing to do."
    headline = (
        "Hardly any noise was removed." if better else "Nothing was removed: the result is practically the input."
    )
    return Verdict(headline, (line, *quiet), "caution", better, numbers)


def _removed(m: Measures) -> str:
    share = 1 - min(m.noise_after / m.noise_before, 1) if m.noise_before > 0 else 0.0
    return (
        f"Noise: about {m.noise_before:.3g} grey levels before, {m.noise_after:.3g} after ({share:.0%} less at the "
        f"finest scale); what was removed has a standard deviation of {m.residual_std:.3g}."
    )


def _structure(m: Measures) -> tuple[Level, str]:
    """How strong the signs of removed structure are, and the sentence that says so."""
    kept = 1.0 if m.kept_power is None else m.kept_power
    level: Level = "good"
    if m.coarse_ratio > 1.25 or m.removed_share > 0.05 or kept < 0.35:
        level = "caution"
    if m.coarse_ratio > 1.6 or m.removed_share > 0.3 or kept < 0.15:
        level = "warning"
    facts = f"The coarser part of what was removed is {m.coarse_ratio:.1f} times as strong as noise would be"
    facts += f", and clearly too strong in {m.removed_share:.0%} of the area." if m.removed_share >= 0.01 else "."
    if m.kept_power is not None:
        facts += (
            f" Where structure stands above the noise, {min(m.kept_power, 1):.0%} of its power is left at the spatial "
            "frequencies that lost most."
        )
    opening = {
        "good": "Structure: no sign of lost structure",
        "caution": "Structure: some was probably smoothed away; look for outlines in the residual",
        "warning": "Structure: the result is smoother than the data allow; use a weaker setting",
    }[level]
    return level, f"{opening}. {facts}"


def _residual(m: Measures, noise: NoiseEstimate) -> str:
    y, x = m.residual_lag1
    alike = max(y - noise.lag1[0], x - noise.lag1[1]) < 0.15
    look = (
        "does not look smoother than the noise" if alike else "is smoother than noise, so it contains more than noise"
    )
    return (
        f"Residual: it {look} (neighbours correlate {y:+.2f} down the columns and {x:+.2f} along the rows, the "
        f"noise {noise.lag1[0]:+.2f} and {noise.lag1[1]:+.2f}). {noise.reason}"
    )


def _bias(m: Measures) -> tuple[str, bool]:
    share = abs(m.bias) / m.contrast if m.contrast > 0 else 0.0
    biased = share > 0.02 and abs(m.bias) > 0.05 * m.noise_before
    verb = "changed" if biased else "was kept"
    return f"Brightness: the mean {verb} ({m.bias:+.2g} grey levels, {share:.1%} of the grey range).", biased
