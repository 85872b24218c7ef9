"""Joins source, recipe, method, engine and sinks. Every user interface makes a `Request` and calls `run`."""

from ruska.pipeline.calls import deblur, denoise, evaluate, isotropic, register, superres, train
from ruska.pipeline.context import Context, Here, progress_of
from ruska.pipeline.evaluating import Evaluation
from ruska.pipeline.inspect import describe, foresee, predict_job
from ruska.pipeline.opening import as_image, correct_detector, open_input, open_inputs
from ruska.pipeline.prepare import Prepared, prepare
from ruska.pipeline.request import Blank, Input, Request, RunOptions
from ruska.pipeline.restore import Result
from ruska.pipeline.run import TOOLS, Tool, record_of, run

__all__ = [
    "TOOLS",
    "Blank",
    "Context",
    "Evaluation",
    "Here",
    "Input",
    "Prepared",
    "Request",
    "Result",
    "RunOptions",
    "Tool",
    "as_image",
    "correct_detector",
    "deblur",
    "denoise",
    "describe",
    "evaluate",
    "foresee",
    "isotropic",
    "open_input",
    "open_inputs",
    "predict_job",
    "prepare",
    "progress_of",
    "record_of",
    "register",
    "run",
    "superres",
    "train",
]
