"""What a method declares of its outputs is checked before anything is computed or written."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pytest

import ruska
from ruska import methods
from ruska.errors import SettingsError
from ruska.image import Output, fault_of
from ruska.methods import About, Settings

LABELS = {"channels": 1, "values": "raw", "merge": "labels"}
WRONG = {
    "nothing": (),
    "a table first": (Output("points", merge="table", columns=("y", "x")), Output()),
    "two of one name": (Output(), Output()),
    "a path": (Output(), Output("../x", values="raw")),
    "names that a disk takes for one": (Output("std"), Output("Std")),
    "a table without columns": (Output(), Output("points", merge="table")),
    "no channel": (Output(), Output("features", channels=0)),
    "a scale of nothing": (Output(scale=(Fraction(0), Fraction(2))),),
    "a scale of other axes": (Output(scale=(Fraction(2),)),),
    "no dtype": (Output(dtype="flot"),),
    "a complex dtype": (Output(dtype="complex64"),),
    "labels of floats": (Output("labels", dtype="float32", **LABELS),),
    "labels of whatever the image is": (Output("labels", **LABELS),),
}
RIGHT = (
    Output(), Output("labels", dtype="uint8", **LABELS), Output("features", 3, "float32", (Fraction(1, 2),) * 2),
    Output("points", merge="table", columns=("y", "x")),
)  # fmt: skip


@dataclass(frozen=True)
class Declared:
    """Declares outputs, and is never called."""

    outputs: tuple[Output, ...]
    halo = multiple = (1, 1)

    def prepare(self, source, normalisation, budget):
        return self


@pytest.mark.parametrize("outputs", WRONG.values(), ids=WRONG)
def test_a_method_with_outputs_that_cannot_be_is_refused_and_leaves_nothing(outputs, tmp_path):
    methods.register(About("declared", "denoise", "Declares.", Settings, lambda own: Declared(outputs)))
    try:
        with pytest.raises(SettingsError, match="method 'declared': declares"):
            ruska.denoise(np.ones((20, 20), np.float32), tmp_path / "out.npy", method="declared")
    finally:
        methods.unregister("declared")
    assert list(tmp_path.iterdir()) == []


def test_outputs_that_can_be_are_taken():
    assert fault_of(RIGHT, 2) is None
