"""Joins source, recipe, method, engine and sink. Every user interface calls these functions and nothing below them."""

from ruska.pipeline.evaluating import Evaluation, evaluate
from ruska.pipeline.inspect import describe, predict_job
from ruska.pipeline.prepare import Options, Prepared, correct_detector, prepare
from ruska.pipeline.registering import register
from ruska.pipeline.restore import Result, denoise, run_job
from ruska.pipeline.restoring import deblur, isotropic, superres
from ruska.pipeline.training import train

__all__ = [
    "Evaluation",
    "Options",
    "Prepared",
    "Result",
    "correct_detector",
    "deblur",
    "denoise",
    "describe",
    "evaluate",
    "isotropic",
    "predict_job",
    "prepare",
    "register",
    "run_job",
    "superres",
    "train",
]
