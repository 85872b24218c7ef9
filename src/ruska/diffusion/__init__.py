"""Generative priors as denoisers, guided by an operator and a measurement. Knows nothing about tiles or files."""

from ruska.diffusion.analytic import analytic, measure_spreads
from ruska.diffusion.baselines import FlowGuided, GradientGuided, dps, flow_plug_and_play
from ruska.diffusion.consistency import DataTerm, GuessError, bounded_error, guess_error
from ruska.diffusion.half_quadratic import enlarged, falling_levels, half_quadratic
from ruska.diffusion.levels import flow_time, rho_levels, start_level, trailing_levels, uniform_levels
from ruska.diffusion.path import (
    EM_GENERALIST,
    EMDIFFUSE_SAMPLING,
    EMDIFFUSE_TRAINING,
    Betas,
    FlowPath,
    Path,
    VariancePreservingPath,
    cosine_path,
    ddpm_path,
    level_at,
    snr,
    zero_terminal_snr,
)
from ruska.diffusion.posterior import (
    ProximalGuide,
    Sampler,
    restore,
)
from ruska.diffusion.prediction import Prediction, convert
from ruska.diffusion.prior import Prior
from ruska.diffusion.solvers import Noise, Step, ancestral, ddim, euler, heun, solve, start

__all__ = [
    "EMDIFFUSE_SAMPLING",
    "EMDIFFUSE_TRAINING",
    "EM_GENERALIST",
    "Betas",
    "DataTerm",
    "FlowGuided",
    "FlowPath",
    "GradientGuided",
    "GuessError",
    "Noise",
    "Path",
    "Prediction",
    "Prior",
    "ProximalGuide",
    "Sampler",
    "Step",
    "VariancePreservingPath",
    "analytic",
    "ancestral",
    "bounded_error",
    "convert",
    "cosine_path",
    "ddim",
    "ddpm_path",
    "dps",
    "enlarged",
    "euler",
    "falling_levels",
    "flow_plug_and_play",
    "flow_time",
    "guess_error",
    "half_quadratic",
    "heun",
    "level_at",
    "measure_spreads",
    "restore",
    "rho_levels",
    "snr",
    "solve",
    "start",
    "start_level",
    "trailing_levels",
    "uniform_levels",
    "zero_terminal_snr",
]
