"""Joins source, recipe, method, engine and sink. Every user interface calls these functions and nothing below them."""

from ruska.pipeline.inspect import describe
from ruska.pipeline.prepare import Options, Prepared, prepare
from ruska.pipeline.restore import Result, denoise, run_job

__all__ = ["Options", "Prepared", "Result", "denoise", "describe", "prepare", "run_job"]
