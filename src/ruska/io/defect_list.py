"""Lists of a camera's defects as text: by SerialEM, or rectangles as MotionCor reads them.

SerialEM's format: a name and whole numbers a line. Its rows are counted from the top of the picture.
Source: IMOD's manual of alignframes and the defect files that SerialEM writes; MotionCor2's manual, -DefectFile.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ruska.errors import GeometryError, InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LARGEST_FILE = 16 << 20
_LARGEST_CAMERA = 1 << 17  # pixels each way
_LEAST_VALUES = {
    "CameraSizeX": 1, "CameraSizeY": 1, "WasScaled": 1, "UsableArea": 4, "PartialBadColumn": 4, "PartialBadRow": 4,
    "BadPixels": 2, "BadColumns": 1, "BadRows": 1,
}  # fmt: skip
_OF_NO_USE = ("RotationAndFlip", "K2Type", "FalconType", "NumToAvgSuperRes")
Rectangle = tuple[int, int, int, int]


@dataclass(frozen=True)
class DefectList:
    """Rectangles of bad pixels.

    boxes : (top, bottom, left, right), ends excluded. camera : its (Y, X), None if not stated.
    from_the_top : rows are counted from the top of the picture; else as the file of the frames has them.
    """

    boxes: tuple[Rectangle, ...] = ()
    camera: tuple[int, int] | None = None
    from_the_top: bool = False

    def map(self, shape: tuple[int, int]) -> NDArray[np.bool_]:
        """True where a pixel of a camera of ``shape`` (Y, X) is bad."""
        found = np.zeros(shape, dtype=bool)
        for top, bottom, left, right in self.boxes:
            found[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)] = True
        return found


def is_defect_list(path: Path) -> bool:
    """Whether a file is text that may be such a list, rather than an image."""
    try:
        with path.open("rb") as file:
            head = file.read(512)
    except OSError:
        return False
    return path.is_file() and bool(head) and all(32 <= byte < 127 or byte in b"\t\r\n" for byte in head)


def read_defect_list(path: Path) -> DefectList:
    """Raises InputError for a file that is neither kind of list, naming the line."""
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise InputError(path, "is too large for a list of defects", "Give a list, or an image that is 1 at them.")
        lines = path.read_text("ascii").splitlines()
    except OSError as error:
        raise InputError(path, f"cannot be read ({error.strerror})", "Check its permissions.") from error
    except UnicodeDecodeError as error:
        raise InputError(path, "is not a list of defects", "Give one, or an image that is 1 at them.") from error
    lists = _Lists(path)
    for number, line in enumerate(lines, 1):
        words = line.split("#")[0].split()
        if words:
            lists.take(number, words)
    return lists.as_one()


@dataclass
class _Lists:
    """What was read so far, by name; of MotionCor's rectangles under an empty one."""

    path: Path
    rows: dict[str, list[list[int]]] = field(default_factory=dict)

    def take(self, number: int, words: list[str]) -> None:
        name = "" if words[0].lstrip("-").isdigit() else words[0]
        try:
            values = [int(word) for word in words[bool(name) :]]
        except ValueError:
            values = []
        least = 4 if not name else _LEAST_VALUES.get(name, 0)
        wrong = not least and name not in _OF_NO_USE
        empty = not name and min(values[2:], default=0) < 1
        if wrong or empty or len(values) < least or (not name and len(values) != 4):
            raise InputError(self.path, f"line {number} ('{' '.join(words)[:60]}') is not part of a list of defects",
                             "Give SerialEM's list, lines of x, y, width and height, or an image that is 1 at "
                             "defects.")  # fmt: skip
        self.rows.setdefault(name, []).append(values)

    def as_one(self) -> DefectList:
        names = set(self.rows)
        if not names:
            raise InputError(self.path, "lists no defects", "Leave it out.")
        if "" in names:
            if len(names) > 1:
                raise InputError(self.path, "mixes SerialEM's list with lines of x, y, width and height", "Give one.")
            return DefectList(tuple((y, y + h, x, x + w) for x, y, w, h in self.rows[""]))
        if not {"CameraSizeX", "CameraSizeY"} <= names:
            raise InputError(self.path, "does not say the size of the camera",
                             "Add lines CameraSizeX and CameraSizeY.")  # fmt: skip
        height, width = (self.rows[name][-1][0] for name in ("CameraSizeY", "CameraSizeX"))
        if not (0 < height <= _LARGEST_CAMERA and 0 < width <= _LARGEST_CAMERA):
            raise InputError(self.path, f"says that the camera is {height} x {width} pixels", "Mend its CameraSize.")
        return DefectList(tuple(self._boxes(height, width)), (height, width), from_the_top=True)

    def _boxes(self, height: int, width: int) -> list[Rectangle]:
        scaled = self.rows.get("WasScaled", [[0]])[-1][0]
        edge = 1 if scaled <= 0 else 2 if scaled == 1 else 4  # of a bad pixel in a list that was scaled up
        boxes: list[Rectangle] = []
        for values in self.rows.get("BadPixels", ()):
            boxes += [(y, y + edge, x, x + edge) for x, y in zip(values[::2], values[1::2], strict=False)]
        boxes += [(0, height, x, x + 1) for values in self.rows.get("BadColumns", ()) for x in values]
        boxes += [(y, y + 1, 0, width) for values in self.rows.get("BadRows", ()) for y in values]
        boxes += [(first, last + 1, x, x + w) for x, w, first, last, *_ in self.rows.get("PartialBadColumn", ())]
        boxes += [(y, y + h, first, last + 1) for y, h, first, last, *_ in self.rows.get("PartialBadRow", ())]
        for top, left, bottom, right, *_ in self.rows.get("UsableArea", ()):
            boxes += [(0, top, 0, width), (0, height, 0, left)]
            boxes += [(bottom + 1, height, 0, width)] if bottom > 0 else []
            boxes += [(0, height, right + 1, width)] if right > 0 else []
        return boxes


def scaled_map(found: DefectList, shape: tuple[int, int], name: str) -> NDArray[np.bool_]:
    """The defect map of a list for frames of ``shape`` (Y, X), which may be super-resolved or binned by a whole number.

    Raises GeometryError when the sizes do not fit.
    """
    if found.camera is None or found.camera == shape:
        return found.map(shape)
    whole = found.map(found.camera)
    for n in range(2, 17):
        if shape == tuple(side * n for side in found.camera):
            return np.asarray(whole.repeat(n, 0).repeat(n, 1))
        if shape == tuple(side // n for side in found.camera):
            h, w = shape
            return np.asarray(whole[: h * n, : w * n].reshape(h, n, w, n).any((1, 3)))
    sizes = [" x ".join(map(str, each)) for each in (found.camera, shape)]
    raise GeometryError(name, f"lists the defects of a camera of {sizes[0]} pixels, the frames are {sizes[1]}",
                        "Give the list of this camera, or an image of this size that is 1 at defects.")  # fmt: skip
