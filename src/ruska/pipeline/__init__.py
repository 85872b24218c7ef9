"""Joins source, recipe, method, engine and sinks. Every user interface makes a `Request` and calls `run`.

Everything is imported on first use, so that the help of a command is immediate. A user interface gets what it needs
from the packages below here: the registry of ``methods``, and the text form of memory sizes and JSON.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ruska import methods
    from ruska.engine.memory import format_bytes
    from ruska.pipeline.calls import deblur, denoise, evaluate, isotropic, register, superres, train
    from ruska.pipeline.context import Context, Here, progress_of
    from ruska.pipeline.detector import correct_detector
    from ruska.pipeline.door import TOOLS, Tool, record_of, run
    from ruska.pipeline.evaluating import Evaluation
    from ruska.pipeline.inspect import describe, foresee, predict_job
    from ruska.pipeline.opening import as_image, open_input, open_inputs
    from ruska.pipeline.prepare import Prepared
    from ruska.pipeline.request import Blank, Input, Request, RunOptions
    from ruska.pipeline.restore import Result
    from ruska.report import json_text

_HOMES = {
    "Blank": "request",
    "Context": "context",
    "Evaluation": "evaluating",
    "Here": "context",
    "Input": "request",
    "Prepared": "prepare",
    "Request": "request",
    "Result": "restore",
    "RunOptions": "request",
    "TOOLS": "door",
    "Tool": "door",
    "as_image": "opening",
    "correct_detector": "detector",
    "deblur": "calls",
    "denoise": "calls",
    "describe": "inspect",
    "evaluate": "calls",
    "foresee": "inspect",
    "isotropic": "calls",
    "open_input": "opening",
    "open_inputs": "opening",
    "predict_job": "inspect",
    "progress_of": "context",
    "record_of": "door",
    "register": "calls",
    "run": "door",
    "superres": "calls",
    "train": "calls",
}

_BELOW = {"format_bytes": "engine.memory", "json_text": "report"}

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
    "format_bytes",
    "isotropic",
    "json_text",
    "methods",
    "open_input",
    "open_inputs",
    "predict_job",
    "progress_of",
    "record_of",
    "register",
    "run",
    "superres",
    "train",
]


def __getattr__(name: str) -> Any:
    if name == "methods":
        return import_module("ruska.methods")
    if name in _HOMES:
        return getattr(import_module(f"ruska.pipeline.{_HOMES[name]}"), name)
    if name in _BELOW:
        return getattr(import_module(f"ruska.{_BELOW[name]}"), name)
    raise AttributeError(f"module 'ruska.pipeline' has no attribute {name!r}")
