"""Lists of defects: what each line marks, for cameras of other sizes too, and what is no list."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ruska.errors import GeometryError, InputError
from ruska.io.defect_list import is_defect_list, read_defect_list, scaled_map

SERIAL_EM = """# camera
CameraSizeX 12
CameraSizeY 8
RotationAndFlip 3
WasScaled 0
K2Type 0
UsableArea 1 0 6 0
BadColumns 3 4
BadRows 5
BadPixels 7 2 9 3
PartialBadColumn 10 2 2 4
PartialBadRow 3 1 0 2
"""


def test_every_entry_marks_its_pixels(tmp_path: Path) -> None:
    path = tmp_path / "defects.txt"
    path.write_text(SERIAL_EM)
    assert is_defect_list(path)
    found = read_defect_list(path)
    expected = np.zeros((8, 12), bool)
    expected[0] = expected[7] = expected[5] = True
    expected[:, 3:5] = True
    expected[2, 7] = expected[3, 9] = True
    expected[2:5, 10:12] = True
    expected[3, 0:3] = True
    np.testing.assert_array_equal(found.map((8, 12)), expected)
    assert (found.camera, found.from_the_top) == ((8, 12), True)
    np.testing.assert_array_equal(scaled_map(found, (16, 24), ""), np.kron(expected, np.ones((2, 2))) > 0)
    np.testing.assert_array_equal(scaled_map(found, (4, 6), ""), expected.reshape(4, 2, 6, 2).any((1, 3)))
    with pytest.raises(GeometryError, match="8 x 12 pixels, the frames are 9 x 12"):
        scaled_map(found, (9, 12), "defects.txt")
    path.write_text(SERIAL_EM.replace("WasScaled 0", "WasScaled 1").replace("7 2 9 3", "8 1"))
    assert read_defect_list(path).map((8, 12))[1:3, 8:10].all()


def test_rectangles_and_what_is_no_list(tmp_path: Path) -> None:
    path = tmp_path / "defects.txt"
    path.write_text("5 1 2 3\r\n0 0 1 1\r\n")
    found = read_defect_list(path)
    assert np.argwhere(found.map((8, 12))).tolist() == [[0, 0], [1, 5], [1, 6], [2, 5], [2, 6], [3, 5], [3, 6]]
    assert (found.camera, found.from_the_top) == (None, False)
    for text, says in (("hello", "line 1"), ("1 2 3", "line 1"), ("5 5 -2 2", "line 1"), ("5 5 2 0", "line 1"),
                       ("5 1 2 3\nBadRows 5", "mixes"), ("#", "no defects"),
                       ("BadRows 3", "size of the camera"), ("CameraSizeX 5\nCameraSizeY -1", "-1 x 5"),
                       ("CameraSizeX 5\nCameraSizeY 5\nBadPixels x", "line 3")):  # fmt: skip
        path.write_text(text)
        with pytest.raises(InputError, match=says):
            read_defect_list(path)
    np.save(tmp_path / "map.npy", np.zeros((3, 3)))
    assert not is_defect_list(tmp_path / "map.npy")
    assert not is_defect_list(tmp_path / "absent")
