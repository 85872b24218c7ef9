"""Noise models, noise statistics and phantoms. Knows no network and reads no files."""

from ruska.physics.anscombe import anscombe, inverse_anscombe
from ruska.physics.bad_pixels import BadPixels
from ruska.physics.curtains import Curtains
from ruska.physics.defects import Defects, clipped_shares, find_defects, repair_defects
from ruska.physics.digitiser import Digitiser
from ruska.physics.gain_reference import gain_reference
from ruska.physics.interference import Interference, Wave, find_interference
from ruska.physics.noise import STANDARD_DOSES, PoissonGaussian
from ruska.physics.noise_level import NoiseLevel, noise_level, noise_level_of_frames
from ruska.physics.noise_statistics import NoiseEstimate, estimate_noise, estimate_noise_std
from ruska.physics.phantom import cell_phantom, particle_phantom, simulate_micrograph
from ruska.physics.row_offsets import RowOffsets
from ruska.physics.stripes import Stripes, measure_stripes

__all__ = [
    "STANDARD_DOSES",
    "BadPixels",
    "Curtains",
    "Defects",
    "Digitiser",
    "Interference",
    "NoiseEstimate",
    "NoiseLevel",
    "PoissonGaussian",
    "RowOffsets",
    "Stripes",
    "Wave",
    "anscombe",
    "cell_phantom",
    "clipped_shares",
    "estimate_noise",
    "estimate_noise_std",
    "find_defects",
    "find_interference",
    "gain_reference",
    "inverse_anscombe",
    "measure_stripes",
    "noise_level",
    "noise_level_of_frames",
    "particle_phantom",
    "repair_defects",
    "simulate_micrograph",
]
