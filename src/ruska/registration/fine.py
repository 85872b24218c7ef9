"""Sub-pixel refinement: Gauss-Newton on what is left of the fixed image after the displaced moving one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ruska.registration.filters import binned

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from ruska.registration.motion import Motion

_ITERATIONS = 20
_SETTLED = 0.003  # pixels of the view that the last step may still move anything
_LONGEST_STEP = 2.0  # pixels of the view
_SOFT = 0.3  # of the median block residual, added to each: a block without noise does not outweigh all others
_OUTLIER = 3.0  # standard deviations of the residual
_STIFFNESS = 10.0  # per pixel squared: a drift's coefficients bend by about 0.3 pixels from knot to knot, at first
_STIFFEST, _LIMBEREST = 1e6, 1e-3
_SETTLING = 3  # steps before the stiffness is first judged: a constant drift would call for endless stiffness


@dataclass(frozen=True, eq=False)
class View:
    """Two images as they are compared: filtered, and binned ``factor`` times.

    fixed : (Y, X) float32. moving : the same of the other image, and ``splines`` its cubic spline coefficients.
    valid_fixed, valid_moving : where the comparison may look.
    """

    fixed: NDArray[np.float32]
    moving: NDArray[np.float32]
    splines: NDArray[np.float32]
    valid_fixed: NDArray[np.bool_]
    valid_moving: NDArray[np.float32]
    factor: int

    @property
    def rows(self) -> NDArray[np.float64]:
        """Where the rows lie in pixels of the unbinned image."""
        return _centres(self.fixed.shape[0], self.factor)

    @property
    def columns(self) -> NDArray[np.float64]:
        """Where the columns lie in pixels of the unbinned image."""
        return _centres(self.fixed.shape[1], self.factor)

    @property
    def block(self) -> int:
        """Edge of the blocks over which residuals are gathered, in pixels of the view."""
        return int(np.clip(min(self.fixed.shape) // 12, 12, 48))

    def warped(self, field: NDArray[np.float64]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """The moving image displaced by ``field`` (2, Y, X; unbinned pixels), and where both images are valid."""
        from scipy.ndimage import map_coordinates

        places = [
            (where - d + 0.5) / self.factor - 0.5
            for where, d in zip((self.rows[:, None], self.columns[None, :]), field, strict=True)
        ]
        image = map_coordinates(self.splines, places, order=3, prefilter=False, mode="nearest", output=np.float32)
        inside = map_coordinates(self.valid_moving, places, order=0, mode="constant", cval=0, output=np.float32) > 0.5
        return image, inside & self.valid_fixed


@dataclass(frozen=True, eq=False)
class Fit:
    """Where the refinement ended.

    parameters : of the motion. covariance : of their errors, from how residuals vary from block to block.
    correlation : of the fixed with the displaced moving image. gain : fixed grey levels per moving one.
    warped, valid : the displaced moving image, and where the two were compared.
    products : per block, the correlation summed over it (all together are ``correlation``).
    freedom : parameters that the data settled (those that smoothness settled do not count).
    """

    parameters: NDArray[np.float64]
    covariance: NDArray[np.float64]
    correlation: float
    gain: float
    warped: NDArray[np.float32]
    valid: NDArray[np.bool_]
    products: NDArray[np.float64]
    freedom: float


def make_view(
    images: tuple[NDArray[np.float32], NDArray[np.float32]],
    valid: tuple[NDArray[np.bool_], NDArray[np.bool_]],
    factor: int,
    smooth: Callable[[NDArray[np.float32]], NDArray[np.float32]],
    margin: int,
) -> View:
    """Bin the fixed and the moving image ``factor`` times, ``smooth`` both, and leave out ``margin`` pixels.

    The margin (of the view) is left out along the edges and around invalid pixels: what a filter makes of an edge
    lies at the same place in both images and would hold them together.
    """
    fixed, moving = (smooth(binned(image, factor)) for image in images)
    whole = [binned(mask.astype(np.float32), factor) > 0.999 for mask in valid]
    return as_view((fixed, moving), (whole[0], whole[1]), factor, margin)


def as_view(
    images: tuple[NDArray[np.float32], NDArray[np.float32]],
    valid: tuple[NDArray[np.bool_], NDArray[np.bool_]],
    factor: int,
    margin: int,
) -> View:
    """The view of a fixed and a moving image that are binned and filtered already; see `make_view`."""
    from scipy.ndimage import binary_erosion, spline_filter

    reliable = []
    for mask in valid:
        framed = np.zeros_like(mask)
        framed[margin:-margin, margin:-margin] = True
        around = mask if mask.all() else binary_erosion(mask, np.ones((3, 3)), iterations=margin, border_value=1)
        reliable.append(framed & around)
    splines = spline_filter(images[1], order=3, output=np.float32, mode="mirror")
    return View(images[0], images[1], splines, reliable[0], reliable[1].astype(np.float32), factor)


def refine(view: View, motion: Motion, start: NDArray[np.float64], iterations: int = _ITERATIONS) -> Fit | None:
    """Improve ``start`` until the displaced moving image, times a gain plus an offset, fits the fixed one best.

    Blocks count by the inverse of their residual, so that places where the noise is strong, or where something else
    is seen (a data bar, dust), count little. Of a drift, the smoothness is chosen by the data as well.
    None where the images hardly overlap or have nothing to compare.

    Source: Lucas & Kanade (1981), with the gain of Evangelidis & Psarakis (2008), IEEE Trans. PAMI 30, eq. 10, as a
    parameter of the fit; smoothness by the update of Wood & Fasiolo (2017), Biometrics 73, eq. 6. The covariance is
    that of Liang & Zeger (1986) with blocks as clusters, so that correlated noise is paid for.
    """
    parameters = np.array(start, dtype=np.float64)
    penalty = _Penalty(motion)
    weights: NDArray[np.float64] | None = None
    for iteration in range(iterations):
        seen = _look(view, motion, parameters, weights)
        if seen is None:
            return None
        weights = seen.weights
        scaled, score = seen.information()
        if iteration >= _SETTLING:
            penalty.update(scaled, parameters)
        precision = scaled + penalty.matrix
        step = np.linalg.solve(precision + _ridge(precision), score - penalty.matrix @ parameters)
        longest = float(np.abs(motion.field(parameters + step, view.rows, view.columns) - seen.field).max())
        step *= min(1.0, _LONGEST_STEP * view.factor / max(longest, 1e-12))
        parameters = parameters + step
        if longest < _SETTLED * view.factor and (iteration > _SETTLING or not penalty.parts):
            break
    seen = _look(view, motion, parameters, weights)
    if seen is None:
        return None
    scaled, _ = seen.information()
    precision = scaled + penalty.matrix
    covariance = np.asarray(np.linalg.inv(precision + _ridge(precision)), dtype=np.float64)
    freedom = float(np.trace(covariance @ scaled))
    return Fit(parameters, covariance, seen.correlation, seen.gain, seen.warped, seen.valid, seen.products, freedom)


@dataclass(frozen=True, eq=False)
class _Seen:
    """The images compared at one displacement: normal equations and what is left, block by block."""

    field: NDArray[np.float64]
    warped: NDArray[np.float32]
    valid: NDArray[np.bool_]
    gain: float
    correlation: float
    products: NDArray[np.float64]
    weights: NDArray[np.float64]
    normal: NDArray[np.float64]
    scores: NDArray[np.float64]

    def information(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Information matrix of the parameters and the score, both over the variance of the score."""
        n = len(self.normal) - 2
        nuisance = np.linalg.solve(self.normal[n:, n:] + _ridge(self.normal[n:, n:]), self.normal[n:, :n])
        matrix = self.normal[:n, :n] - self.normal[:n, n:] @ nuisance
        scores = self.scores[:, :n] - self.scores[:, n:] @ nuisance
        variance = _variance(matrix, scores)
        scale = 1 / np.sqrt(variance)
        return matrix * np.outer(scale, scale), scores.sum(0) / variance


def _variance(matrix: NDArray[np.float64], scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """By how much the scores vary between blocks over what ``matrix`` says, one value for each parameter.

    Pooled over each half of many parameters (a drift has those of dy first, then those of dx).
    """
    varied = (scores**2).sum(0)
    expected = np.maximum(np.diag(matrix), 1e-30)
    if len(varied) <= 6:
        return np.maximum(varied / expected, 1e-12)
    halves = np.split(varied, 2), np.split(expected, 2)
    return np.concatenate([np.full(v.size, max(v.sum() / e.sum(), 1e-12)) for v, e in zip(*halves, strict=True)])


class _Penalty:
    """The smoothness term of a drift: one strength for dy and one for dx."""

    def __init__(self, motion: Motion) -> None:
        n = motion.size // 2 if motion.model == "drift" else 0
        self.parts: list[NDArray[Any]] = []
        whole = motion.roughness()
        for axis in range(2 if n else 0):
            part = np.zeros_like(whole)
            half = np.s_[axis * n : (axis + 1) * n]
            part[half, half] = whole[half, half]
            self.parts.append(part)
        self.rank = n - 2
        self.strengths = [_STIFFNESS] * len(self.parts)
        self.matrix = _STIFFNESS * sum(self.parts, np.zeros_like(whole))

    def update(self, information: NDArray[np.float64], parameters: NDArray[np.float64]) -> None:
        """Set the strengths to what parameters as rough as these have most likely."""
        if not self.parts:
            return
        precision = information + self.matrix
        inverse = np.linalg.inv(precision + _ridge(precision))
        for k, part in enumerate(self.parts):
            rough = float(parameters @ part @ parameters)
            spare = max(self.rank - self.strengths[k] * float(np.trace(inverse @ part)), 1e-3)
            wanted = spare / max(rough, 1e-9)
            near = np.clip(wanted, self.strengths[k] / 5, self.strengths[k] * 5)
            self.strengths[k] = float(np.clip(near, _LIMBEREST, _STIFFEST))
        self.matrix = sum((s * p for s, p in zip(self.strengths, self.parts, strict=True)), np.zeros_like(self.matrix))


def _look(
    view: View, motion: Motion, parameters: NDArray[np.float64], weights: NDArray[np.float64] | None
) -> _Seen | None:
    """Normal equations at ``parameters``; columns are the parameters, then gain and offset."""
    rows, columns, edge = view.rows, view.columns, view.block
    field = motion.field(parameters, rows, columns)
    warped, valid = view.warped(field)
    if valid.mean() < 0.05:
        return None
    height, width = valid.shape
    tops, lefts = range(0, height, edge), range(0, width, edge)
    if weights is None:
        weights = np.ones((len(tops), len(lefts)))
    weight = np.repeat(np.repeat(weights, edge, 0)[:height], edge, 1)[:, :width] * valid
    gain, offset, correlation, products = _gain(view.fixed, warped, weight)
    if gain is None:
        return None
    gradient = -gain / view.factor * np.stack([np.gradient(warped, axis=axis) for axis in (0, 1)])
    residual = (view.fixed - gain * warped - offset) * valid
    weight *= _huber(residual, valid)
    n = motion.size
    normal = np.zeros((n + 2, n + 2))
    scores = np.zeros((len(tops), len(lefts), n + 2))
    for i, top in enumerate(tops):
        strip = np.s_[top : top + edge]
        parts = motion.basis(parameters, rows[strip], columns)
        active = [k for k, part in enumerate(parts) if part.any()]
        design = [(np.broadcast_to(parts[k], (2, len(rows[strip]), width)) * gradient[:, strip]).sum(0) for k in active]
        table = np.stack([*design, warped[strip], np.ones_like(warped[strip])])
        chosen = [*active, n, n + 1]
        weighted = table * weight[strip]
        flat = table.reshape(len(table), -1)
        normal[np.ix_(chosen, chosen)] += weighted.reshape(flat.shape) @ flat.T
        scores[i][:, chosen] += np.add.reduceat((weighted * residual[strip]).sum(1), list(lefts), axis=1).T
    energy = np.add.reduceat(np.add.reduceat(residual**2, list(tops), 0), list(lefts), 1)
    count = np.add.reduceat(np.add.reduceat(valid, list(tops), 0, dtype=np.float64), list(lefts), 1)
    mean = energy / np.maximum(count, 1)
    typical = max(float(np.median(mean[count > 0])), 1e-30)
    new = np.where(count > 0, (1 + _SOFT) / (mean / typical + _SOFT), 0)
    blocks = np.add.reduceat(np.add.reduceat(products, list(tops), 0), list(lefts), 1)
    return _Seen(field, warped, valid, gain, correlation, blocks, new, normal, scores.reshape(-1, n + 2))


def _huber(residual: NDArray[Any], valid: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Weights of pixels: less than 1 beyond three standard deviations (of most pixels), where specks and spikes are."""
    size = np.abs(residual)
    typical = float(np.median(size[::2, ::2][valid[::2, ::2]])) * 1.4826
    return (_OUTLIER * max(typical, 1e-12)) / np.maximum(size, _OUTLIER * max(typical, 1e-12))


def _gain(
    fixed: NDArray[np.float32], warped: NDArray[np.float32], weight: NDArray[np.float64]
) -> tuple[float | None, float, float, NDArray[np.float64]]:
    """Gain and offset that fit ``fixed`` best, the correlation, and what each pixel adds to it."""
    total = weight.sum()
    f, m = (a - (weight * a).sum() / total for a in (fixed, warped))
    ff, mm, fm = ((weight * a * b).sum() / total for a, b in ((f, f), (m, m), (f, m)))
    if min(ff, mm) < 1e-14:
        return None, 0.0, 0.0, np.zeros(fixed.shape)
    # a gain of nothing would leave no slope to follow
    gain = float(max(fm / mm, 0.02 * np.sqrt(ff / mm)))
    offset = float((weight * (fixed - gain * warped)).sum() / total)
    return gain, offset, float(fm / np.sqrt(ff * mm)), weight * f * m / (total * np.sqrt(ff * mm))


def _ridge(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Hardly anything, on the diagonal: a parameter that nothing bears on stays where it is."""
    found: NDArray[np.float64] = np.zeros(matrix.shape)
    np.fill_diagonal(found, 1e-9 * np.diag(matrix) + 1e-12 * max(float(np.trace(matrix)), 1e-12))
    return found


def _centres(size: int, factor: int) -> NDArray[np.float64]:
    return (np.arange(size, dtype=np.float64) + 0.5) * factor - 0.5
