"""How close a result is to the truth."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ruska.errors import GeometryError, SettingsError

if TYPE_CHECKING:
    from numpy.typing import NDArray


def psnr(result: NDArray[Any], truth: NDArray[Any], data_range: float) -> float:
    """Peak signal-to-noise ratio in dB: 10 log10(data_range^2 / mean squared error); inf for equal arrays.

    result, truth : same shape, any real dtype. data_range : the grey-level span that counts as peak, > 0.
    """
    a, b = _pair(result, truth)
    if not data_range > 0:
        raise SettingsError("data_range", f"is {data_range}, expected a positive span of grey levels",
                            "A truth that is the same everywhere has no range: give one.")  # fmt: skip
    error = float(np.mean((a - b) ** 2))
    return float("inf") if error == 0 else float(10 * np.log10(data_range**2 / error))


def ssim(result: NDArray[Any], truth: NDArray[Any], data_range: float) -> float:
    """Structural similarity of two 2D images, scikit-image's default 7-pixel uniform window.

    Raises GeometryError for different shapes, for other than 2D, or for a side below 7 pixels.
    Source: Wang et al. (2004), IEEE Transactions on Image Processing 13, 600.
    """
    from skimage.metrics import structural_similarity

    a, b = _pair(result, truth)
    if a.ndim != 2 or min(a.shape) < 7:
        raise GeometryError("SSIM", f"got shape {a.shape}, expected 2D with at least 7 pixels each way")
    return float(structural_similarity(a, b, data_range=data_range))


def gmsd(result: NDArray[Any], truth: NDArray[Any], data_range: float) -> float:
    """Gradient magnitude similarity deviation of two 2D images: 0 for equal ones, larger for visible differences.

    Agrees with human ratings about as well as distances between network features, and needs no weights.
    Source: Xue, Zhang, Mou & Bovik (2014), IEEE Trans. Image Process. 23, 684, eq. 1-6. Differs: data range as given
    instead of 255; no 2 x 2 averaging before, because micrographs are viewed pixel by pixel.
    """
    from scipy.ndimage import prewitt

    a, b = _pair(result, truth)
    if a.ndim != 2 or min(a.shape) < 7:
        raise GeometryError("GMSD", f"got shape {a.shape}, expected 2D with at least 7 pixels each way")
    slopes = [np.hypot(prewitt(i / data_range, 0), prewitt(i / data_range, 1)) / 3 for i in (a, b)]
    c = 170 / 255**2
    similarity = (2 * slopes[0] * slopes[1] + c) / (slopes[0] ** 2 + slopes[1] ** 2 + c)
    return float(similarity.std())


def fit_gain_offset(result: NDArray[Any], truth: NDArray[Any]) -> tuple[float, float]:
    """Gain and offset for which ``gain * result + offset`` is nearest to ``truth`` (least squares).

    A result that is the same everywhere has gain 0.
    """
    a, b = _pair(result, truth)
    spread = float(np.mean((a - a.mean()) ** 2))
    gain = float(np.mean((a - a.mean()) * (b - b.mean()))) / spread if spread > 0 else 0.0
    return gain, float(b.mean() - gain * a.mean())


def _pair(result: NDArray[Any], truth: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    a, b = np.asarray(result, dtype=np.float64), np.asarray(truth, dtype=np.float64)
    if a.shape != b.shape:
        raise GeometryError("score", f"the result has shape {a.shape}, the truth {b.shape}", "Crop them alike.")
    return a, b
