"""Scores of one array against another, and spectra. Arrays in, numbers out."""

from ruska.metrics.fidelity import fit_gain_offset, gmsd, psnr, ssim
from ruska.metrics.spectrum import FourierRingCorrelation, crossing, frc, radial_spectrum, residual_whiteness

__all__ = [
    "FourierRingCorrelation",
    "crossing",
    "fit_gain_offset",
    "frc",
    "gmsd",
    "psnr",
    "radial_spectrum",
    "residual_whiteness",
    "ssim",
]
