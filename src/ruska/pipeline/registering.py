"""Aligns one image to another, or the slices of a stack to each other."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

import ruska
from ruska import io
from ruska.engine import Progress
from ruska.errors import GeometryError, SettingsError, did_you_mean
from ruska.image import Image, LazyArray
from ruska.io.digest import digest_image
from ruska.pipeline.foreseen import blank, kept_out
from ruska.pipeline.opening import as_image
from ruska.pipeline.request import DTypes
from ruska.pipeline.restore import Result, check_target, files_of
from ruska.pipeline.watch import Watch, watched
from ruska.plain_text import command_line, no_option
from ruska.registration import AlignedStack, Model, StackAlignment, Trend, align, align_stack, as_dtype, check_pixels
from ruska.report import beside, check_beside, json_text, place

if TYPE_CHECKING:
    from numpy.typing import NDArray


def register(
    moving: Image | str | os.PathLike[str],
    fixed: Image | str | os.PathLike[str] | None = None,
    output: str | os.PathLike[str] | None = None,
    *,
    transform: Model = "shift",
    dtype: DTypes = "same",
    reach: float | None = None,
    neighbours: int = 3,
    trend: Trend = "correct",
    crop: bool = False,
    whole_pixels: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
    tell: Callable[[str], None] | None = None,
) -> Result:
    """Resample ``moving`` onto the grid of ``fixed``; without ``fixed``, align the slices of a stack.

    Parameters
    ----------
    moving : an `Image`, a path, or a NumPy array: of one plane, or (without ``fixed``) a stack of them.
    fixed : of one plane. It is never interpolated, so choose the noisier of the two.
    output : file to write; the result stays in memory when None.
    transform, reach : how it may move, see `ruska.registration.align`; a stack is aligned by shifts.
    dtype : of the result: ``same`` as ``moving`` (also for ``auto``), or ``float32``.
    neighbours, trend : of a stack, see `ruska.registration.align_stack`.
    crop : of a stack: keep only the area that all slices show. Otherwise the field of view stays, and pixels that a
        slice does not cover are empty.
    whole_pixels : of a stack: shift slices by whole pixels, which leaves every value unchanged.
    tell : called before the work with a line on what the output cannot hold, if there is anything.

    Empty pixels are NaN in float images and 0 in others; the mask of the result (for formats that keep one) says where.
    The result has the pixel size, origin and header of ``fixed``, or of the stack.

    Raises
    ------
    GeometryError : the images cannot be aligned, are not single planes, or their pixel sizes differ.
    RuskaError : of another kind; it names the file or setting, what was found and the way out.
    """
    if dtype not in get_args(DTypes):
        raise SettingsError("dtype", f"is '{dtype}'", did_you_mean(str(dtype), get_args(DTypes)))
    task = _Task(as_image(moving), None if fixed is None else as_image(fixed), output, overwrite, dtype)
    if task.target is not None and tell is not None:
        said = io.losses_sentence(task.target, task.expected)
        if said is not None:
            tell(said)
    with watched(*(i for i in (task.moving, task.fixed) if i is not None), ours=task.target) as watch:
        image, record = _aligned(task, transform, reach, neighbours, trend, crop, whole_pixels, watch.over(progress))
        watch.check()
        if task.target is None:
            return Result(image, record)
        if progress is not None:
            progress(f"writing {task.target.name}", 0, 1)
        return _write(task.target, image, record, overwrite, watch)


def _aligned(
    task: _Task, transform: Model, reach: float | None, neighbours: int, trend: Trend, crop: bool, whole_pixels: bool,
    progress: Progress,
) -> tuple[Image, dict[str, Any]]:  # fmt: skip
    """The result, of a stack read when it is written, and the record."""
    started = time.perf_counter()
    if task.fixed is None:
        if transform != "shift":
            raise SettingsError("transform", f"is {transform}, but a stack is aligned by shifts alone", "Leave it out.")
        image, found, words = _stack(task, reach, neighbours, trend, crop, whole_pixels, progress)
    else:
        if crop or whole_pixels:
            raise SettingsError("crop" if crop else "whole_pixels", "works on a stack, not on a pair", "Leave it out.")
        image, found, words = _pair(task, task.fixed, transform, reach)
    record = _record(task, image, found, words, time.perf_counter() - started)
    return image.with_data(image.data, provenance=record), record


@dataclass(frozen=True)
class _Task:
    """What was asked for."""

    moving: Image
    fixed: Image | None
    output: str | os.PathLike[str] | None
    overwrite: bool
    dtype: DTypes

    def __post_init__(self) -> None:
        if self.target is not None:
            for image in (self.moving, self.fixed):
                if image is not None:
                    check_target(image, self.target, overwrite=self.overwrite)
                    names = beside(self.target)
                    files = [names.record, *io.files_beside(self.target, image)]
                    check_beside(names, files, overwrite=self.overwrite, inputs=files_of(image))
            made = self.expected
            io.check_holds(self.target, made.dtype, made.axes, made.shape)

    @property
    def expected(self) -> Image:
        """What will be written, without pixels and record: of a pair, the moving image as if it were the fixed one."""
        dtype = np.dtype(np.float32) if self.dtype == "float32" else self.moving.dtype
        if self.fixed is None:
            return self.moving.with_data(blank(self.moving.shape, dtype), provenance={}, mask=None)
        return self.fixed.with_data(blank(self.fixed.shape, dtype), provenance={}, mask=None,
                                    meaning=self.moving.meaning, channel_names=())  # fmt: skip

    @property
    def target(self) -> Path | None:
        return None if self.output is None else Path(self.output)


def _pair(task: _Task, fixed: Image, transform: Model, reach: float | None) -> tuple[Image, dict[str, Any], list[str]]:
    """The moving image on the grid of the fixed one, the alignment found, and the options that repeat it."""
    moving = task.moving
    check_pixels(fixed, moving)
    planes = [_valid_plane(image) for image in (fixed, moving)]
    found = align(planes[0], planes[1], transform, reach=reach, names=(fixed.name, moving.name))
    moved = found.apply(planes[1])
    wanted = np.dtype(np.float32) if task.dtype == "float32" else moving.dtype
    empty = ~np.isfinite(moved)
    values, clipped = as_dtype(moved, wanted)
    where = None if not empty.any() else ~empty.reshape(fixed.shape)
    image = fixed.with_data(
        values.reshape(fixed.shape), mask=where, meaning=moving.meaning, name=moving.name, path=None,
        notes=moving.notes, channel_names=(),
    )  # fmt: skip
    words = [no_option(str(fixed.path or fixed.name)), "--transform", transform]
    words += ["--reach", f"{reach:g}"] if reach is not None else []
    return image, {**found.as_dict(), "empty": float(empty.mean()), "clipped": clipped}, words


def _stack(
    task: _Task, reach: float | None, neighbours: int, trend: Trend, crop: bool, whole_pixels: bool,
    progress: Progress | None,
) -> tuple[Image, dict[str, Any], list[str]]:  # fmt: skip
    """The aligned stack, the alignment found, and the options that repeat it."""
    image = task.moving
    if image.meaning == "labels" and not whole_pixels:
        raise GeometryError(image.name, "holds labels, which cannot be interpolated", "Pass --whole-pixels.")
    axis = _stack_axis(image)
    slices = _Slices(image.data, axis, task.dtype)
    found = align_stack(slices, reach=reach, neighbours=neighbours, trend=trend, name=image.name, progress=progress)
    fill = np.nan if slices.dtype.kind == "f" else 0.0
    aligned = AlignedStack(slices, found, fill, whole_pixels)
    mask = _Covered(found, whole_pixels)
    placed = image.with_data(
        _Native(aligned, image.shape, axis), path=None, mask=None if crop else _Native(mask, image.shape, axis)
    )
    if crop:
        from ruska.image import crop as cropped

        rows, columns = found.common_region(whole_pixels=whole_pixels)
        placed = cropped(placed, {"Y": rows, "X": columns})
    words = ["--neighbours", str(neighbours), "--trend", trend]
    words += ["--reach", f"{reach:g}"] if reach is not None else []
    words += ["--crop"] * crop + ["--whole-pixels"] * whole_pixels
    return placed, _stack_facts(found, trend), words


def _stack_facts(found: StackAlignment, trend: Trend) -> dict[str, Any]:
    steps = np.hypot(*np.diff(found.shifts, axis=0).T)
    return {
        "model": "shift",
        "trend": trend,
        "slices": found.shape[0],
        "skipped": list(found.skipped),
        "pairs": len(found.pairs),
        "misfit_px": found.misfit_px,
        "error_px": float(np.nanmax(found.errors)),
        "largest_step_px": float(steps.max()),
        "largest_px": float(np.hypot(*found.shifts.T).max()),
        "shifts_px": [[round(float(v), 4) for v in row] for row in found.shifts],
    }


@dataclass(frozen=True)
class _Slices:
    """The planes of a lazy or loaded array as (n, Y, X)."""

    array: NDArray[Any] | LazyArray
    axis: int
    wanted: DTypes

    @property
    def shape(self) -> tuple[int, ...]:
        shape = self.array.shape
        return (shape[self.axis], *shape[-2:])

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(np.float32) if self.wanted == "float32" else np.dtype(self.array.dtype)

    def __getitem__(self, box: tuple[slice, ...]) -> NDArray[Any]:
        whole = [slice(0, 1)] * len(self.array.shape)
        whole[self.axis], whole[-2], whole[-1] = box
        part = np.asarray(self.array[tuple(whole)])
        return part.reshape(part.shape[self.axis], *part.shape[-2:]).astype(self.dtype, copy=False)


@dataclass(frozen=True)
class _Native:
    """Planes (n, Y, X) with the axes of length 1 that their image had."""

    planes: LazyArray
    shape: tuple[int, ...]
    axis: int

    @property
    def ndim(self) -> int:  # asked for of masks by the Zarr writer
        return len(self.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(self.planes.dtype)

    def __getitem__(self, box: tuple[slice, ...]) -> NDArray[Any]:
        part = self.planes[(box[self.axis], box[-2], box[-1])]
        return part.reshape(tuple(s.stop - (s.start or 0) for s in box))


@dataclass(frozen=True)
class _Covered:
    """Which pixels the slices of an aligned stack cover, (n, Y, X), computed on demand."""

    alignment: StackAlignment
    whole_pixels: bool

    @property
    def shape(self) -> tuple[int, ...]:
        return self.alignment.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(bool)

    def __getitem__(self, box: tuple[slice, ...]) -> NDArray[Any]:
        found = [
            self.alignment.alignment(k, whole_pixels=self.whole_pixels).valid((self.shape[1], self.shape[2]))
            for k in range(box[0].start or 0, box[0].stop)
        ]
        return np.stack([plane[box[1], box[2]] for plane in found])


def _stack_axis(image: Image) -> int:
    """The one axis besides Y and X that is longer than 1."""
    long = [k for k, n in enumerate(image.shape[:-2]) if n > 1]
    if len(long) != 1 or image.axes[long[0]] == "C":
        raise GeometryError(image.name, f"has axes {image.axes} of sizes {image.shape}, expected one stack of slices",
                            "For a single plane, give a FIXED image; align several stacks one by one.")  # fmt: skip
    return long[0]


def _valid_plane(image: Image) -> NDArray[Any]:
    """The one plane of ``image``, NaN where its mask says so."""
    if int(np.prod(image.shape[:-2])) != 1:
        raise GeometryError(image.name, f"has axes {image.axes} of sizes {image.shape}, expected one plane",
                            "Save the plane as its own file, or leave out FIXED to align a stack.")  # fmt: skip
    plane = np.asarray(image.numpy()).reshape(image.shape[-2:])
    if image.mask is None:
        return plane
    mask = (
        image.mask if isinstance(image.mask, np.ndarray) else image.mask[tuple(slice(0, n) for n in image.mask.shape)]
    )
    whole = np.broadcast_to(mask, image.shape).reshape(plane.shape)
    return plane if whole.all() else np.where(whole, plane, np.nan)


def _record(task: _Task, image: Image, found: Mapping[str, Any], words: list[str], seconds: float) -> dict[str, Any]:
    command = ["ruska", "register", no_option(str(task.moving.path or task.moving.name))]
    command += words[:1] if task.fixed is not None else []
    command += ["-o", no_option(str(task.target))] if task.target else []
    command += words[1:] if task.fixed is not None else words
    command += ["--axes", task.moving.axes] if task.fixed is None else []
    command += ["--dtype", task.dtype]
    return {
        "ruska": ruska.__version__,
        "task": "register",
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command_line(command),
        "moving": _about(task.moving),
        "fixed": None if task.fixed is None else _about(task.fixed),
        "alignment": dict(found),
        "output": {
            "path": str(task.target or "(in memory)"), "dtype": str(image.dtype), "shape": list(image.shape),
            "empty_pixels": "NaN" if image.dtype.kind == "f" else 0,
        },
        "times": {"align": seconds},
        "warnings": list(task.moving.notes),
        "versions": {"python": platform.python_version(), "numpy": version("numpy"), "scipy": version("scipy"),
                     "platform": platform.platform()},
    }  # fmt: skip


def _about(image: Image) -> dict[str, Any]:
    return {"path": str(image.path or image.name), "hash": digest_image(image), "shape": list(image.shape),
            "axes": image.axes, "dtype": str(image.dtype)}  # fmt: skip


def _write(target: Path, image: Image, record: dict[str, Any], overwrite: bool, watch: Watch) -> Result:
    def before_placing(lost: tuple[str, ...]) -> None:
        watch.check()  # the slices of a stack were read again
        record["output"]["not_kept"] = kept_out(lost)
        place(beside(target).record, json_text(record).encode())

    lost = io.write(target, image, overwrite=overwrite, overwrite_beside=True, before_placing=before_placing)
    return Result(io.read(target), record, None, lost)
