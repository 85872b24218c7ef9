"""`score`: how good a result is, as far as what is at hand can tell."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ruska.errors import GeometryError, InputError
from ruska.evaluation.faults import INVERTED, OTHER_SCALE, coarse_correlation, find_faults, grey_scale, inverted_words
from ruska.evaluation.meaning import meanings
from ruska.evaluation.placing import Placement
from ruska.evaluation.spectra import noise_spectrum, spectrum_distance
from ruska.evaluation.summary import Place, Summary, scored_places
from ruska.image import Image
from ruska.metrics import fit_gain_offset, frc, gmsd, psnr, radial_spectrum, residual_whiteness, ssim
from ruska.physics import estimate_noise

if TYPE_CHECKING:
    from numpy.typing import NDArray


_ALIKE = 0.8  # coarse correlation of two images of one place


@dataclass(frozen=True)
class TruthScores:
    """Against the truth, per plane. Grey levels are the files' own.

    data_range : span of grey levels that counts as the peak: largest minus smallest value of the truth over the
        planes that were scored, so that 8-bit and 16-bit copies of one image score alike.
    psnr_db, ssim : of the result as it is.
    psnr_db_fitted, ssim_fitted : after the gain and offset that fit the result to the truth best.
    gmsd : visual distance of the fitted result, 0 for none (see `metrics.gmsd`).
    resolution_px : period down to which result and truth agree (Fourier ring correlation above 1/2); 2 is the pixel's
        own limit.
    correlation : of the grey levels; negative where the contrast is inverted.
    gain, offset : of that fit; 1 and 0 mean that the intensity scale was kept. ``offset`` is in grey levels.
    """

    data_range: float
    psnr_db: Summary
    ssim: Summary
    psnr_db_fitted: Summary
    ssim_fitted: Summary
    gmsd: Summary
    resolution_px: Summary
    correlation: Summary
    gain: Summary
    offset: Summary


@dataclass(frozen=True)
class ResidualScores:
    """Of the residual (noisy minus result), per plane.

    residual_std : its standard deviation, in grey levels.
    lag1_y, lag1_x : correlation of its neighbouring pixels; as in the noise itself when only noise was removed.
    structure_correlation : correlation of the residual with the result's fine structure (its Laplacian). 0 when
        only noise was removed; negative when blurring took peaks and edges away.
    removed_ratio : residual_std over the estimated noise; 1 when all noise and nothing else was removed.
    spectrum_db : how far the residual's spectrum is from the estimated noise's (see `spectrum_distance`); 0 when all
        noise and nothing else was removed.
    """

    residual_std: Summary
    lag1_y: Summary
    lag1_x: Summary
    structure_correlation: Summary
    removed_ratio: Summary
    spectrum_db: Summary


@dataclass(frozen=True)
class Scores:
    """What `score` found.

    planes, of_planes : how many planes were scored, evenly spaced, of how many.
    noise_after, noise_before : estimated noise (grey levels) of the result and, when given, of the noisy image.
    truth, residual : see `TruthScores` and `ResidualScores`; None without a truth or a noisy image.
    faults : what `find_faults` says about the middle plane, in words; None without a truth, or below 64 pixels.
    notes : how to read the figures.
    registration : how the truth was put in place before scoring (see `place_truth`); None when it was not.
    """

    planes: int
    of_planes: int
    noise_after: Summary
    noise_before: Summary | None
    truth: TruthScores | None
    residual: ResidualScores | None
    faults: tuple[str, ...] | None
    notes: tuple[str, ...]
    registration: Placement | None = None

    def as_dict(self) -> dict[str, Any]:
        """JSON-like nested dictionary without the parts that could not be scored; ``meaning`` explains each number."""
        found = {name: value for name, value in asdict(self).items() if value is not None}
        return {**found, "meaning": meanings(found)}


def score(result: Image, truth: Image | None = None, noisy: Image | None = None) -> Scores:
    """Score a restored image against the truth, against the noisy image it came from, or by itself.

    result, truth, noisy : same shape, any axes ending in YX, at least 16 pixels along Y and X.

    Stacks and volumes are scored plane by plane (at most 32, evenly spaced, one in memory at a time).

    Raises
    ------
    GeometryError : shapes differ, or planes are too small.
    InputError : NaN or infinite values in a plane that is scored.
    """
    for other in (truth, noisy):
        if other is not None and other.shape != result.shape:
            raise GeometryError(result.name, f"has shape {result.shape}, {other.name} has {other.shape}",
                                "Score images of one grid: crop or bin them first, or pass --register.")  # fmt: skip
    places = scored_places(result)
    of_planes = math.prod(result.shape[:-2])
    notes = []
    if len(places) < of_planes:
        notes.append(f"Scored {len(places)} of {of_planes} planes, evenly spaced.")
    if truth is None:
        notes.append("Without a clean truth, nothing here says how close the result is to the specimen.")
    after = Summary.of([estimate_noise(p).std for p in _planes(result, places)])
    before = Summary.of([estimate_noise(p).std for p in _planes(noisy, places)]) if noisy else None
    against_truth = _against_truth(result, truth, places) if truth else None
    faults = _faults(result, truth, places) if truth else None
    if faults is None and against_truth is not None and against_truth.correlation.median < -INVERTED:
        notes.append(inverted_words(against_truth.correlation.median))
    notes += _of_another_scale(result, noisy, places) if noisy else []
    return Scores(
        len(places), of_planes, after, before, against_truth,
        _against_noisy(result, noisy, places) if noisy else None, faults, tuple(notes),
    )  # fmt: skip


def structure_correlation(residual: NDArray[Any], result: NDArray[Any]) -> float:
    """Correlation of ``residual`` with the Laplacian of the slightly smoothed ``result`` (both (Y, X)), -1 to 1.

    Blurring an image f with a small kernel leaves f - blur(f), which is about minus the kernel's variance times
    half the Laplacian of f. So removed structure shows as a negative correlation, added sharpness as a positive.
    """
    from scipy.ndimage import gaussian_laplace

    detail = gaussian_laplace(np.asarray(result, dtype=np.float64), 1.5)
    return _correlation(detail, np.asarray(residual, dtype=np.float64))


def _against_truth(result: Image, truth: Image, places: list[Place]) -> TruthScores:
    low = min(float(p.min()) for p in _planes(truth, places))
    high = max(float(p.max()) for p in _planes(truth, places))
    if high <= low:
        raise InputError(truth.name, f"is {low:g} everywhere, so it has no range to measure against",
                         "Was the right file given as the truth?")  # fmt: skip
    columns: dict[str, list[float]] = {name: [] for name in TruthScores.__dataclass_fields__ if name != "data_range"}
    span = high - low
    for r, t in zip(_planes(result, places), _planes(truth, places), strict=True):
        gain, offset = fit_gain_offset(r, t)
        fitted = gain * r + offset
        resolution = frc(fitted, t, threshold=0.5).resolution_px or 2.0  # what is inverted is there, too
        values = (
            psnr(r, t, span),
            ssim(r, t, span),
            psnr(fitted, t, span),
            ssim(fitted, t, span),
            gmsd(fitted, t, span),
            resolution,
            _correlation(r, t),
            gain,
            offset,
        )
        for column, value in zip(columns.values(), values, strict=True):
            column.append(value)
    return TruthScores(span, **{name: Summary.of(values) for name, values in columns.items()})


def _correlation(a: NDArray[Any], b: NDArray[Any]) -> float:
    """Of two planes; 0 where one is the same everywhere."""
    a, b = a - a.mean(), b - b.mean()
    norm = float(np.sqrt(np.mean(a**2) * np.mean(b**2)))
    return float(np.mean(a * b)) / norm if norm > 0 else 0.0


def _faults(result: Image, truth: Image, places: list[Place]) -> tuple[str, ...] | None:
    if min(result.shape[-2:]) < 64:
        return None
    middle = [places[len(places) // 2]]
    return find_faults(next(_planes(result, middle)), next(_planes(truth, middle))).said


def _of_another_scale(result: Image, noisy: Image, places: list[Place]) -> list[str]:
    """Why what is left of noisy minus result means nothing; empty where it does."""
    r, n = (next(_planes(image, [places[len(places) // 2]])) for image in (result, noisy))
    correlation, (gain, _) = coarse_correlation(r, n), grey_scale(r, n)
    meaningless = "what was removed tells nothing"
    if correlation < -INVERTED:
        return [f"Against the noisy image {inverted_words(correlation)}. Until then {meaningless}."]
    if correlation > _ALIKE and not 1 / OTHER_SCALE < gain < OTHER_SCALE:
        return [f"The contrast of the result is {gain:.3g} times that of the noisy image: {meaningless} until both "
                "have one grey scale."]  # fmt: skip
    return []


def _against_noisy(result: Image, noisy: Image, places: list[Place]) -> ResidualScores:
    columns: dict[str, list[float]] = {name: [] for name in ResidualScores.__dataclass_fields__}
    for r, n in zip(_planes(result, places), _planes(noisy, places), strict=True):
        residual = n - r
        noise = estimate_noise(n)
        std = float(residual.std())
        ratio = std / noise.std if noise.std > 0 else 0.0
        distance = spectrum_distance(residual, noise_spectrum(noise, radial_spectrum(residual)[0]))
        values = (std, *residual_whiteness(residual), structure_correlation(residual, r), ratio, distance)
        for column, value in zip(columns.values(), values, strict=True):
            column.append(value)
    return ResidualScores(**{name: Summary.of(values) for name, values in columns.items()})


def _planes(image: Image, places: list[Place]) -> Iterator[NDArray[np.float64]]:
    h, w = image.shape[-2:]
    for place in places:
        box = (*(slice(i, i + 1) for i in place), slice(0, h), slice(0, w))
        plane = np.asarray(image.data[box], dtype=np.float64).reshape(h, w)
        if not np.isfinite(plane).all():
            where = f"plane {place}" if place else "the image"
            raise InputError(image.name, f"has NaN or infinite values in {where}",
                             "Scores need finite values: mask or crop them away.")  # fmt: skip
        yield plane
