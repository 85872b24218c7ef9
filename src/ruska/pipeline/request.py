"""`Request`: everything that Ruska is asked to do, as one frozen record that converts to JSON and back.

The command line, Python, a server and a plugin all make a `Request`; `pipeline.run` takes nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from math import prod
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, field_validator, model_validator

from ruska.errors import SettingsError, did_you_mean
from ruska.methods.settings import FileRef, Settings, refused

FEWEST_SAMPLES, MOST_SAMPLES = 2, 100
DTypes = Literal["auto", "same", "float32"]
Executors = Literal["threads", "processes"]
Outliers = Literal["mend", "keep"]
Interferences = Literal["keep", "remove"]
_LARGEST_BLANK = 1 << 40  # voxels
_STEP = re.compile(r"@[A-Za-z][A-Za-z0-9_-]*\.[a-z][a-z0-9_]*\Z")


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Blank(_Record):
    """An image of zeros, which only tells a method the shape of its result."""

    shape: tuple[int, ...] = Field(min_length=2, max_length=6)
    axes: str = "YX"

    @model_validator(mode="after")
    def _fit(self) -> Self:
        if len(self.axes) != len(self.shape) or min(self.shape) < 1:
            raise ValueError(f"shape {self.shape} does not fit axes {self.axes}")
        if prod(self.shape) > _LARGEST_BLANK:
            raise ValueError(f"shape {self.shape} has more than {_LARGEST_BLANK} voxels")
        return self


class Input(_Record):
    """Where an image comes from: exactly one of a path, a step of a workflow, an array, or a blank.

    path : anything `ruska.read` takes, such as ``file.h5:/inner`` or an address. step : ``@NAME.OUTPUT``, an output of
    an earlier step of the workflow. array : its name among the arrays passed along with the request, in this process.
    axes, voxel_size : override the file. dark, gain, defects : references of the detector; dark_as, gain_as,
    defects_as : what is done to them first, such as ``rot90`` (see `image.reference.steps_of`).
    """

    path: FileRef | None = None
    step: str | None = None
    array: str | None = None
    blank: Blank | None = None
    axes: str | None = None
    voxel_size: str | None = None
    dark: FileRef | None = None
    gain: FileRef | None = None
    defects: FileRef | None = None
    dark_as: str | None = None
    gain_as: str | None = None
    defects_as: str | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        given = [name for name in ("path", "step", "array", "blank") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"names {' and '.join(given) or 'nothing'}, expected one of path, step, array, blank")
        if "" in (self.path, self.array):
            raise ValueError(f"{given[0]} is empty, expected the name of a file or of an array")
        if self.step is not None and not _STEP.match(self.step):
            raise ValueError(f"step is {self.step!r}, expected @NAME.OUTPUT, such as @restore.mean")
        return self


class RunOptions(Settings):
    """How a job is run; none of these changes the method."""

    basic = ("dtype", "overwrite", "report", "samples")

    dtype: DTypes = Field("auto", description="auto: as the input, but float32 where rounding to few grey levels would "
                          "degrade the result; same: as the input (rounded and clipped; clipped voxels are counted); "
                          "or float32.")  # fmt: skip
    outliers: Outliers = Field("mend", description="Keep hot pixels, X-ray hits and dead pixels; by default they are "
                               "mended before restoring.")  # fmt: skip
    interference: Interferences = Field("keep", description="Remove periodic interference (mains hum, scan pickup) "
                                        "from each slice before restoring; by default it is kept.")  # fmt: skip
    samples: int = Field(0, ge=0, le=MOST_SAMPLES, description="How many posterior samples to write beside the result, "
                         "with their standard deviation: 2 to 100; 0: none.")  # fmt: skip
    seed: int = Field(0, description="Random seed of the samples.")
    memory: str | None = Field(None, description="Memory limit of the whole process, e.g. 2GB. Default: half of the "
                               "free memory.")  # fmt: skip
    workers: int | None = Field(None, ge=1, description="Blocks processed in parallel. Default: one per core.")
    executor: Executors = Field("threads", description="Compute the blocks in threads, or in separate processes.")
    roi: dict[str, tuple[int, int]] | None = Field(None, description="Region, e.g. 100:612,0:512 (Y,X) or Z=3:9,"
                                                   "Y=0:512; statistics are those of the whole image.")  # fmt: skip
    repeated_frames: bool = Field(False, description="The slices are repeated frames of one place: measure the noise "
                                  "from their differences.")  # fmt: skip
    overwrite: bool = Field(False, description="Replace the output if it exists.")
    report: bool = Field(True, description="Write an HTML and PNG report beside the output.")
    whole_names: bool = Field(False, description="Name files beside the output after its full name, suffix included.")

    @field_validator("samples")
    @classmethod
    def _enough(cls, samples: int) -> int:
        if samples and samples < FEWEST_SAMPLES:
            raise ValueError(f"must be 0 (none) or {FEWEST_SAMPLES} to {MOST_SAMPLES}")
        return samples

    @field_validator("roi", mode="before")
    @classmethod
    def _slices(cls, roi: Any) -> Any:
        """Accept slices too, which JSON lacks."""
        if not isinstance(roi, Mapping):
            return roi
        return {axis: (part.start, part.stop) if isinstance(part, slice) else part for axis, part in roi.items()}

    @property
    def region(self) -> dict[str, slice] | None:
        """``roi`` as slices."""
        return {axis: slice(*part) for axis, part in self.roi.items()} if self.roi else None


FLAGS = {"outliers": "keep", "interference": "remove"}
"""Run options that are a flag on the command line, such as ``--keep-outliers``, and the value the flag sets."""
PASSING = ("workers", "executor", "overwrite", "report", "whole_names")
"""Run options that leave every byte of a result unchanged: the ledger keeps the block plan."""


class Request(_Record):
    """One task, with everything it needs.

    task : denoise, deblur, superres, isotropic, register, train, ... method : for that task, or ``auto``.
    settings : of the method, by the fields of its record (numbers, text, lists). inputs : by role, "image" first; a
        role with several inputs, such as the "data" of a training, has a list.
    output : file, store or folder to write; the result stays in memory when None.
    """

    task: str
    method: str = "auto"
    settings: dict[str, JsonValue] = Field(default_factory=dict)
    inputs: dict[str, Input | tuple[Input, ...]] = Field(default_factory=dict)
    output: FileRef | None = None
    run: RunOptions = RunOptions()

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Request:
        """Read a request from JSON-like ``given``; SettingsError names the fault and the nearest valid name."""
        return checked(cls, given, "request")

    def to_json(self) -> dict[str, Any]:
        """JSON-like, without defaults; `of` reads it back."""
        return self.model_dump(mode="json", exclude_defaults=True) | {"task": self.task, "method": self.method}

    def decides(self) -> dict[str, Any]:
        """The part that decides the bytes of a result, apart from the contents of files: JSON-like."""
        whole = self.model_dump(mode="json", exclude={"output": True, "run": set(PASSING)})
        roles = {role: many if isinstance(many, list) else [many] for role, many in whole["inputs"].items()}
        return {**whole, "inputs": {role: [_place_free(one) for one in many] for role, many in roles.items()}}

    def each(self, role: str) -> tuple[Input, ...]:
        """The inputs of a role: one, several or none."""
        found = self.inputs.get(role, ())
        return (found,) if isinstance(found, Input) else found


def _place_free(one: dict[str, Any]) -> dict[str, Any]:
    """An input without its location: only the contents of the file count, and its digest covers them."""
    return {k: v for k, v in one.items() if k not in ("path", "array", "dark", "gain", "defects", "step")}


def checked(record: type[Any], given: Mapping[str, Any], subject: str) -> Any:
    """Make ``record`` from ``given``; a pydantic error becomes a one-line SettingsError."""
    try:
        return record.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        place = [str(part) for part in first["loc"] if str(part).isidentifier() or isinstance(part, int)]
        name = ".".join([subject, *place])
        if first["type"] == "extra_forbidden":
            near = did_you_mean(place[-1], _fields(record, place[:-1]))
            raise SettingsError(name, "is not a setting", near) from error
        raise refused(name, first) from error


def _fields(record: type[BaseModel], path: Sequence[str]) -> list[str]:
    """Names of the fields at ``path`` inside ``record``."""
    here: Any = record
    for part in path:
        info = getattr(here, "model_fields", {}).get(part)
        kind = info.annotation if info is not None else here
        here = kind if hasattr(kind, "model_fields") else Input if part == "inputs" else here
    return list(here.model_fields)
