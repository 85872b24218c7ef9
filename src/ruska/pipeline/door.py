"""The one entry point: a request in, a result out. Every user interface goes through here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from ruska import methods
from ruska.errors import SettingsError
from ruska.methods.settings import Settings, parse
from ruska.pipeline.context import Context, Here, progress_of
from ruska.pipeline.opening import open_inputs
from ruska.pipeline.request import Request
from ruska.pipeline.restore import Result, restore
from ruska.registration import Model, Trend

if TYPE_CHECKING:
    from ruska.image import Image

Opened = Mapping[str, "Image"]


@dataclass(frozen=True)
class Tool:
    """A task other than running a method over blocks. roles : the inputs it takes."""

    task: str
    summary: str
    record: type[Settings]
    roles: frozenset[str]
    run: Callable[[Request, Opened, Any, Context], Any]

    def schema(self) -> dict[str, Any]:
        """As of `methods.About`."""
        return {"name": self.task, "task": self.task, "summary": self.summary, "roles": sorted(self.roles),
                "learns": False, "settings": self.record.model_json_schema()}  # fmt: skip


def run(request: Request, context: Context | None = None, *, given: Opened | None = None) -> Any:
    """Run a request.

    given : arrays of this process that inputs name.

    Returns the `Result` of a restoration or registration, an `Evaluation`, a dict about the noise, or the `ModelCard`
    of a training; `record_of` makes the record of each. Raises a RuskaError, such as JobCancelledError.
    """
    context = context or Here()
    if request.task == methods.TRAIN:
        from ruska.pipeline.training import run_training

        return run_training(request, context, given)
    if request.task not in TOOLS:
        return restore(request, open_inputs(request, given), context)
    tool = TOOLS[request.task]
    for role in request.inputs:
        if role not in tool.roles:
            raise SettingsError(f"inputs.{role}", f"is not an input of {tool.task}",
                                f"Valid: {', '.join(sorted(tool.roles))}.")  # fmt: skip
    if "image" not in request.inputs:
        raise SettingsError("inputs.image", "is missing", "Give the image.")
    own = parse(tool.record, request.task, request.settings)
    return tool.run(request, open_inputs(request, given), own, context)


def record_of(result: Any) -> dict[str, Any]:
    """The record of a run, JSON-like."""
    if isinstance(result, Result):
        return dict(result.record)
    if isinstance(result, Mapping):
        return dict(result)
    if hasattr(result, "scores"):
        return {**result.record, "scores": result.scores.as_dict()}
    return {} if result is None else {"task": methods.TRAIN, "card": result.model_dump(mode="json")}


class RegisterSettings(Settings):
    """Settings of `register`."""

    basic = ("transform", "reach")

    transform: Model = Field("shift", description="How the image may move: shift, rigid, affine or drift (a shift "
                             "varying along Y).")  # fmt: skip
    reach: float | None = Field(
        None, gt=0, description="Largest shift, pixels. Default: a quarter of the shorter edge."
    )
    neighbours: int = Field(3, ge=1, description="For a stack: compare slices up to this many apart.")
    trend: Trend = Field("correct", description="For a stack: correct a steady drift, or keep it.")
    crop: bool = Field(False, description="For a stack: keep only the area that all slices show.")
    whole_pixels: bool = Field(False, description="Stack: do not interpolate.")


class EvaluateSettings(Settings):
    """Settings of `evaluate`."""

    basic = ("transform",)

    transform: Model | None = Field(None, description="Align the truth first by shift, rigid, affine or drift. "
                                    "Default: it is aligned already.")  # fmt: skip
    frames: bool = Field(False, description="The image is a stack of repeated frames, to be compared with each other.")
    apart: int | None = Field(None, ge=1, description="Frames: distance of those compared. "
                              "Default: so far apart that they share no input.")  # fmt: skip


class NoSettings(Settings):
    """Nothing to set."""


def _register(request: Request, images: Opened, own: RegisterSettings, context: Context) -> Result:
    from ruska.pipeline.registering import register

    dtype = "same" if request.run.dtype == "auto" else request.run.dtype  # moving pixels restores nothing
    return register(images["image"], images.get("fixed"), request.output, dtype=dtype,
                    overwrite=request.run.overwrite, progress=progress_of(context),
                    tell=lambda said: context.event("checking the output", 0, 0, said), **own.model_dump())  # fmt: skip


def _evaluate(request: Request, images: Opened, own: EvaluateSettings, context: Context) -> Any:
    from ruska.pipeline.evaluating import evaluate

    return evaluate(images["image"], images.get("truth"), images.get("noisy"), request.output,
                    register=own.transform, frames=own.frames, apart=own.apart,
                    overwrite=request.run.overwrite)  # fmt: skip


def _noise(request: Request, images: Opened, own: NoSettings, context: Context) -> dict[str, Any]:
    from ruska.pipeline.inspect import noise_report

    folder = None if request.output is None else Path(request.output)
    return noise_report(images["image"], folder, overwrite=request.run.overwrite, progress=progress_of(context))


TOOLS = {
    tool.task: tool
    for tool in (
        Tool("register", "Align an image to another of the same place, or the slices of a stack to each other.",
             RegisterSettings, frozenset({"image", "fixed"}), _register),
        Tool("evaluate", "Score a result against a clean image or its noisy input, or on its own.",
             EvaluateSettings, frozenset({"image", "truth", "noisy"}), _evaluate),
        Tool("noise", "Measure the noise: its level, how it grows with the signal, its correlation.",
             NoSettings, frozenset({"image"}), _noise),
    )
}  # fmt: skip
