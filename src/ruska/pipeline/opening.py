"""Open the inputs of a request as images, in this process or again in another one."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ruska import io
from ruska.errors import InputError, SettingsError
from ruska.image import Image
from ruska.pipeline.detector import correct_detector, with_steps

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ruska.image import LazyArray
    from ruska.pipeline.request import Input, Request


def open_inputs(request: Request, given: Mapping[str, Image] | None = None) -> dict[str, Image]:
    """The image of every role, read lazily. ``given`` : arrays passed in this process, by the names that inputs use.

    With ``executor="processes"``, pixels of files can be sent to other processes, which open the file again.
    """
    images = {}
    for role, one in request.inputs.items():
        if isinstance(one, tuple):
            raise SettingsError(f"inputs.{role}", f"are {len(one)}, expected one", "Run them one by one.")
        region = request.run.region if role == "image" else None
        image = open_input(one, given, region)
        sent = request.run.executor == "processes" and one.path is not None
        images[role] = _sent(one, image, region) if sent else image
    return images


def open_input(
    one: Input, given: Mapping[str, Image] | None = None, region: Mapping[str, slice] | None = None
) -> Image:
    """Open a file with its overrides and detector references, an array that was passed, or a blank.

    region : the region of interest, which references may cover.
    """
    if one.step is not None:
        raise SettingsError("input", f"is {one.step}, a step of a workflow, but this is not a workflow",
                            "Run it as a workflow: `ruska.jobs.submit` with several requests.")  # fmt: skip
    if one.blank is not None:
        return Image(_Zeros(one.blank.shape), one.blank.axes, name="blank")
    if one.array is not None:
        if one.array not in (given or {}):
            raise InputError(one.array, "is an array in another process", "Write it to a file, and give its path.")
        assert given is not None
        return _corrected(given[one.array], one, region)
    assert one.path is not None
    return _corrected(io.read(one.path, axes=one.axes, voxel_size=one.voxel_size), one, region)


def _corrected(image: Image, one: Input, region: Mapping[str, slice] | None) -> Image:
    return correct_detector(image, one.dark, one.gain, defects=one.defects, dark_as=one.dark_as, gain_as=one.gain_as,
                            defects_as=one.defects_as, region=region)  # fmt: skip


def as_image(given: Any) -> Image:
    """Open a path, or wrap a NumPy array (the last two axes are Y and X, a third is a stack)."""
    if isinstance(given, Image):
        return given
    if isinstance(given, str | os.PathLike):
        return io.read(given)
    array = np.asarray(given)
    if array.ndim not in (2, 3) or array.dtype.kind not in "uifb":
        raise InputError("array", f"has {array.ndim} dimensions of type {array.dtype}, expected 2 or 3 of numbers",
                         "Wrap it: ruska.Image(array, axes='TCZYX').")  # fmt: skip
    if array.size == 0:
        raise InputError("array", f"holds no pixels (shape {array.shape})")
    return Image(array, "QYX"[-array.ndim :], name="array")


def _sent(one: Input, image: Image, region: Mapping[str, slice] | None) -> Image:
    again = partial(open_input, with_steps(one, image), None, region)
    mask = image.mask
    if mask is not None and not isinstance(mask, np.ndarray):
        mask = Again(again, "mask", mask)
    return replace(image, data=Again(again, "data", image.data), mask=mask)


class Again:
    """Pixels of a file, which another process opens again when it receives them."""

    def __init__(self, again: Callable[[], Image], what: str, array: NDArray[Any] | LazyArray) -> None:
        self.again, self.what, self.array = again, what, array
        self.shape, self.dtype = tuple(array.shape), np.dtype(array.dtype)

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def __getattr__(self, name: str) -> Any:
        """``chunks``, ``files``, ``held`` and other attributes of the pixels."""
        if name.startswith("__") or "array" not in self.__dict__:
            raise AttributeError(name)
        return getattr(self.array, name)

    def __getitem__(self, box: Any) -> NDArray[Any]:
        return np.asarray(self.array[box])

    def __getstate__(self) -> dict[str, Any]:
        return {"again": self.again, "what": self.what}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["again"], state["what"], getattr(state["again"](), state["what"]))  # type: ignore[misc]


class _Zeros:
    """A blank of any size that takes no memory."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape, self.dtype = tuple(shape), np.dtype(np.float32)

    def __getitem__(self, box: tuple[slice, ...]) -> NDArray[np.float32]:
        return np.zeros([len(range(*part.indices(n))) for part, n in zip(box, self.shape, strict=True)], np.float32)
