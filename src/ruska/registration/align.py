"""Aligning two images of one place."""

from __future__ import annotations

from functools import partial
from math import ceil, erf, erfc, log2, sqrt
from typing import TYPE_CHECKING, Any

import numpy as np

from ruska.errors import GeometryError, SettingsError
from ruska.registration.alignment import Alignment
from ruska.registration.filters import band_pass, coherence_kernel, convolved, filled
from ruska.registration.fine import Fit, View, as_view, make_view, refine
from ruska.registration.motion import Model, Motion
from ruska.registration.pattern import pattern_kernel
from ruska.registration.search import block_agreement, chance_correlation, correlations, peaks

if TYPE_CHECKING:
    from numpy.typing import NDArray

LEAST_CONFIDENCE = 0.5
"""Below it, `align` refuses."""

_SMALLEST = 48  # pixels along the shorter edge
_SIGMA, _WIDE = 2.0, 16.0  # pixels of a view, of the band in which images are compared
_MARGIN = 6  # pixels of a view left out along edges
_SEARCHED = 384  # pixels along the longer edge of the view that is searched
_MOST_PIXELS = 4 << 20  # of the finest view: a larger image is measured binned
_CANDIDATES = 5
_STRUCTURED = 1.3  # unrelated micrographs correlate by this much more than noise with their spectra
_ROUNDS = 3  # of finding a fixed pattern and aligning without it
_GLANCES = 6  # iterations for each candidate of the search
_RIGHT = 0.5  # pixels: an alignment this good counts as right


def align(
    fixed: NDArray[Any],
    moving: NDArray[Any],
    model: Model = "shift",
    *,
    reach: float | None = None,
    knots: int | None = None,
    strict: bool = True,
    names: tuple[str, str] = ("fixed image", "moving image"),
) -> Alignment:
    """Find the displacement that puts ``moving``, the clean image, onto ``fixed``, the noisy one.

    Parameters
    ----------
    fixed, moving : (Y, X), any real dtype; the shapes may differ (both start at the upper left). NaN: not valid.
        Grey scales may differ by gain, offset and slow shading, not by an inversion.
    model : ``shift``, ``rigid`` (and a turn), ``affine`` (and stretch and shear) or ``drift`` (a shift that changes
        smoothly from row to row, as the probe drifts during the scan). Turns are found up to about 3 degrees.
    reach : the largest shift searched, in pixels; default: a quarter of the shorter edge.
    knots : polynomial pieces of a drift from the first row to the last; default: one for 32 rows, 3 to 32. How
        smooth the drift is within them, the images decide.
    strict : refuse an alignment that is not to be believed; else return it, with its ``doubts``.
    names : of the two images, for messages.

    The noisy image is never interpolated. Both are smoothed for the comparison only: coarsely to begin with, then by
    how much they share at each frequency. Frames and whatever filters make of them are left out, so edges that stand
    at one place in both do not hold the images together; a fixed pattern that both have can still pull shifts of less
    than two pixels towards zero.

    Raises GeometryError, naming the images, when they are not 2D, smaller than 48 pixels or flat, and (``strict``)
    when the confidence is below `LEAST_CONFIDENCE`. SettingsError for an unknown model.
    """
    images, valid = _checked(fixed, moving, names)
    shape = (int(fixed.shape[0]), int(fixed.shape[1]))
    if knots is not None and knots < 1:
        raise SettingsError("knots", f"is {knots}, expected 1 or more")
    motion = Motion(model, shape, knots or int(np.clip(round(shape[0] / 32), 3, 32)))
    small = min(*fixed.shape, *moving.shape)
    if reach is None:
        reach = small / 4
    elif not 0 < reach < small:
        raise SettingsError("reach", f"is {reach}, expected more than 0 and less than the image's {small} pixels")
    finest = 1 if fixed.size <= _MOST_PIXELS else 2 ** ceil(log2(sqrt(fixed.size / _MOST_PIXELS)))
    factors = [f for f in (4 * finest, 2 * finest, finest) if small / f >= 80 or f == finest]

    start, rival, inverted, lags = _search(images, valid, reach, motion, names)
    parameters, fit = motion.constant(start.parameters), start
    view: View | None = None
    for factor in factors:
        view = _band_view(images, valid, factor)
        better = refine(view, motion, parameters)
        if better is not None:
            parameters, fit = better.parameters, better
    assert view is not None
    evidence = _significance(view, fit, lags)
    final = _weighted(images, valid, view, motion, fit) or fit
    error = _error(motion, final)
    return _judged(motion, final, fit.correlation, error, evidence, rival, inverted, strict, names)


def _checked(
    fixed: NDArray[Any], moving: NDArray[Any], names: tuple[str, str]
) -> tuple[tuple[NDArray[np.float32], NDArray[np.float32]], tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
    images, valid = [], []
    for image, name in zip((fixed, moving), names, strict=True):
        if image.ndim != 2 or image.dtype.kind not in "uifb":
            raise GeometryError(name, f"has shape {image.shape} of type {image.dtype}, expected (Y, X) of numbers",
                                "Align plane by plane.")  # fmt: skip
        if min(image.shape) < _SMALLEST:
            raise GeometryError(name, f"is {image.shape[0]} x {image.shape[1]} pixels, at least "
                                f"{_SMALLEST} each way are needed to align it")  # fmt: skip
        values, mask = filled(image)
        if mask.mean() < 0.2 or values[mask].std() < 1e-6:
            raise GeometryError(name, "is flat: nothing in it can be aligned", "Check that it is the right image.")
        images.append(values)
        valid.append(mask)
    return (images[0], images[1]), (valid[0], valid[1])


def _band_view(images: Any, valid: Any, factor: int) -> View:
    return make_view(images, valid, factor, partial(band_pass, sigma=_SIGMA, wide=_WIDE), _MARGIN)


def _search(
    images: Any, valid: Any, reach: float, motion: Motion, names: tuple[str, str]
) -> tuple[Fit, float, bool, float]:
    """The best shift; the chance that it fits better than the next; whether an inversion fits better; shifts tried.

    Candidates are the peaks of the correlation. What decides is not their height but how many parts of the image
    agree: a data bar or a speck at one place in both gives a high peak in a few blocks.
    """
    longest = max(max(image.shape) for image in images)
    factor = 1
    while longest / factor > _SEARCHED and min(min(i.shape) for i in images) / factor >= 2 * _SMALLEST:
        factor *= 2
    view = _band_view(images, valid, factor)
    far = (max(1, ceil(reach / factor)),) * 2
    correlation = correlations(view.fixed, view.moving, view.valid_fixed, view.valid_moving > 0.5, far)
    candidates = peaks(correlation, apart=3, most=_CANDIDATES)
    tried = correlation.size / (2 * np.pi * (2 * _SIGMA**2))  # peaks are this wide
    shift = Motion("shift", motion.shape)
    fits: list[Fit] = []
    for peak in candidates:
        fit = refine(view, shift, np.array([peak.dy, peak.dx], dtype=float) * factor, _GLANCES)
        apart = 3.0 * factor
        if fit is None or np.abs(fit.parameters).max() > reach + factor:  # what lies beyond was not asked for
            continue
        if all(np.hypot(*(fit.parameters - other.parameters)) > apart for other in fits):
            fits.append(fit)
    if not fits:
        raise GeometryError(names[1], f"has nothing in common with {names[0]}",
                            "Check that both show the same place.")  # fmt: skip
    best = fits[0]
    for fit in fits[1:]:
        if _better(fit, best) > 0.5:
            best = fit
    rivals = [_better(best, fit) for fit in fits if fit is not best]
    inverted = -float(np.where(correlation > -1, correlation, 0).min()) > 1.5 * max(candidates[0].height, 0)
    return best, min(rivals, default=1.0), inverted, tried


def _better(one: Fit, other: Fit) -> float:
    """Chance that ``one`` fits better than ``other``: a paired test over blocks, each with the same say."""
    difference = (one.products - other.products).ravel()
    size = (np.abs(one.products) + np.abs(other.products)).ravel()
    used = size > 0
    if used.sum() < 4:
        return 0.5
    signs = difference[used] / (size[used] + np.median(size[used]))
    error = signs.std(ddof=1) / sqrt(used.sum())
    return _normal(float(signs.mean() / max(error, 1e-12)))


def _significance(view: View, fit: Fit, lags: float) -> float:
    """Chance that two unrelated images would not have correlated as well, at any shift tried.

    Two measures of how far the correlation is above chance, of which the smaller counts: over all, by the spectra, and
    by how well blocks agree, each with the same say (a few strong features may meet by chance).
    """
    rows, columns = (np.flatnonzero(fit.valid.any(axis)) for axis in (1, 0))
    box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    fixed, warped = (np.where(fit.valid, a, 0)[box] for a in (view.fixed, fit.warped))
    over_all = fit.correlation / chance_correlation(fixed, warped)
    z = min(over_all, block_agreement(fixed, warped, fit.valid[box])) / _STRUCTURED
    if z <= 0:
        return 0.0
    spare = sqrt(max(z**2 - fit.freedom, 0))  # a free parameter adds one to the expected square
    return 1 - min(1.0, lags * 0.5 * erfc(spare / sqrt(2)))


def _weighted(images: Any, valid: Any, view: View, motion: Motion, fit: Fit) -> Fit | None:
    """The last refinement: both images weighted by what they share at each frequency."""
    factor = view.factor
    raw = make_view(images, valid, factor, lambda image: image, 1)
    best, found = None, fit
    for _ in range(_ROUNDS):
        warped, both = raw.warped(motion.field(found.parameters, raw.rows, raw.columns))
        fixed, pattern = raw.fixed, None
        if raw.fixed.shape == raw.moving.shape:
            pattern = pattern_kernel(raw.fixed, raw.moving, warped, both & (raw.valid_moving > 0))
        if pattern is not None:
            fixed = fixed - convolved(raw.moving, pattern)
        kernel = coherence_kernel(fixed, warped, both)
        if kernel is None:
            return best
        filtered = convolved(fixed, kernel), convolved(raw.moving, kernel)
        better = refine(as_view(filtered, (raw.valid_fixed, raw.valid_moving > 0), factor, _MARGIN + 4), motion,
                        found.parameters)  # fmt: skip
        if better is None or pattern is None:
            return better or best
        best = found = better
    return best


def _error(motion: Motion, fit: Fit) -> float:
    """Standard error of the displacement along one axis, root mean square over the image."""
    rows, columns = (np.linspace(0, n - 1, 25) for n in motion.shape)
    basis = np.stack([np.broadcast_to(b, (2, 25, 25)).ravel() for b in motion.basis(fit.parameters, rows, columns)])
    variance = np.einsum("kp,kl,lp->p", basis, fit.covariance, basis)
    return float(np.sqrt(max(variance.mean(), 0)))


def _judged(
    motion: Motion, fit: Fit, correlation: float, error: float, significant: float, rival: float, inverted: bool,
    strict: bool, names: tuple[str, str],
) -> Alignment:  # fmt: skip
    precise = erf(_RIGHT / max(sqrt(2) * error, 1e-12)) ** 2
    doubts = []
    if significant < 0.9:
        doubts.append("unrelated images would correlate as well")
    if precise < 0.9:
        doubts.append(f"the displacement is known only to {error:.2g} pixels")
    if rival < 0.9:
        doubts.append("another shift fits about as well")
    if inverted:
        doubts.append("the contrast seems inverted")
    confidence = float(precise * significant * np.clip(2 * rival - 1, 0, 1))
    found = Alignment(motion, fit.parameters, fit.covariance, error, confidence, correlation, tuple(doubts))
    if strict and confidence < LEAST_CONFIDENCE:
        raise GeometryError(
            f"{names[1]} and {names[0]}",
            f"cannot be aligned: {', '.join(doubts)} (confidence {confidence:.2f}, "
            f"at least {LEAST_CONFIDENCE} is needed)",
            "Check that both show the same place with the same contrast"
            + ("; invert one of them." if inverted else "."),
        )  # fmt: skip
    return found


def _normal(z: float) -> float:
    return 0.5 * erfc(-z / sqrt(2))
