"""Noise models, noise statistics and phantoms. Knows no network and reads no files."""

from ruska.physics.noise import STANDARD_DOSES, PoissonGaussian
from ruska.physics.noise_level import NoiseLevel, noise_level, noise_level_of_frames
from ruska.physics.noise_statistics import NoiseEstimate, estimate_noise, estimate_noise_std
from ruska.physics.phantom import cell_phantom, particle_phantom, simulate_micrograph

__all__ = [
    "STANDARD_DOSES",
    "NoiseEstimate",
    "NoiseLevel",
    "PoissonGaussian",
    "cell_phantom",
    "estimate_noise",
    "estimate_noise_std",
    "noise_level",
    "noise_level_of_frames",
    "particle_phantom",
    "simulate_micrograph",
]
