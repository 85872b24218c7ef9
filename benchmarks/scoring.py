"""What is measured on a restored image."""

from __future__ import annotations

import statistics
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.cases import Case, kriss, score_pairs
from ruska.evaluation import find_faults, noise_spectrum, spectrum_distance
from ruska.metrics import fit_gain_offset, frc, gmsd, psnr, radial_spectrum, ssim
from ruska.physics import estimate_noise

SCORES_VERSION = 3  # counts up when what is measured changes
_BANDS = (1 / 16, 1 / 4)  # cycles per pixel between coarse, middle and fine error
_FRAME = 10  # pixels that the data folder's scorer drops along each edge
_LEVELS = 255.0


def score(restored: NDArray[Any], case: Case) -> dict[str, Any]:
    """Against the truth as it is, with a data range of 1; a real pair as the data folder's own script does it."""
    if case.clean is not None:
        return _real(restored, case)
    assert case.truth is not None
    planes = list(zip(restored, case.truth, strict=True)) if restored.ndim == 3 else [(restored, case.truth)]
    pairs = [(r.astype(np.float64), t.astype(np.float64)) for r, t in planes]
    gain, offset = fit_gain_offset(case.truth, restored)
    scores = {
        "psnr": psnr(restored, case.truth, 1.0),
        "ssim": statistics.mean(ssim(r, t, 1.0) for r, t in pairs),
        "gmsd": statistics.mean(gmsd(r, t, 1.0) for r, t in pairs),
        "resolution_px": statistics.mean(frc(r, t, 0.5).resolution_px or 2.0 for r, t in pairs),
        "gain": gain,
        "offset": offset,
        "residual_db": _residual_db(restored, case),
    }
    across = restored[:, :, restored.shape[2] // 2] if restored.ndim == 3 else restored
    truth = case.truth[:, :, case.truth.shape[2] // 2] if restored.ndim == 3 else case.truth
    frequency, power = radial_spectrum(across.astype(np.float64) - truth)
    edges = (0.0, *_BANDS, 0.51)
    bands = [float(power[(frequency >= a) & (frequency < b)].mean()) for a, b in pairwise(edges)]
    faults = find_faults(across, truth).said if min(across.shape) >= 64 else ()
    return {**scores, "error_spectrum": bands, "faults": list(faults)}


def _residual_db(restored: NDArray[Any], case: Case) -> float:
    """How far the spectrum of ``y - A x`` is from that of the noise that is in ``y``, in dB."""
    import torch

    def residual(x: NDArray[Any]) -> NDArray[np.float64]:
        seen = case.operator.forward(torch.from_numpy(x.astype(np.float64))[None, None])[0, 0].numpy()
        left = case.measurement - seen
        return left[left.shape[0] // 2] if left.ndim == 3 else left

    assert case.truth is not None
    expected = radial_spectrum(residual(case.truth))[1]
    return spectrum_distance(residual(restored), expected)


def _real(restored: NDArray[Any], case: Case) -> dict[str, Any]:
    """Fitted as the data folder's script does; and as it is, on the same pixels with the same registration."""
    assert case.clean is not None
    fitted_psnr, fitted_ssim = score_pairs().score(restored, case.measurement, case.clean)
    truth = _placed(int(case.setting.split()[-1]))
    inner = np.s_[_FRAME:-_FRAME, _FRAME:-_FRAME]
    result, truth = restored[inner].astype(np.float64), truth[inner]
    gain, offset = fit_gain_offset(result, truth)
    slope, level = fit_gain_offset(truth, result)
    noise = estimate_noise(case.measurement)
    residual = case.measurement.astype(np.float64) - restored
    return {
        "psnr": float(fitted_psnr), "ssim": float(fitted_ssim),
        "psnr_as_is": psnr(result, truth, _LEVELS), "ssim_as_is": ssim(result, truth, _LEVELS),
        "gmsd": gmsd(gain * result + offset, truth, _LEVELS),
        "resolution_px": frc(result, truth, 0.5).resolution_px or 2.0, "gain": slope, "offset": level,
        "residual_db": spectrum_distance(residual, noise_spectrum(noise, radial_spectrum(residual)[0])),
    }  # fmt: skip


@cache
def _placed(number: int) -> NDArray[np.float64]:
    """The clean side of a pair on the noisy one, by the data folder's own registration."""
    from scipy.ndimage import shift

    noisy, clean = kriss(number)
    moved = shift(clean.astype(float), score_pairs().drift(noisy, clean), order=3, mode="nearest")
    return np.asarray(moved, dtype=np.float64)
