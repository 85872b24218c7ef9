"""A small prior of phantoms, trained once for all tests of this room."""

from __future__ import annotations

import numpy as np
import pytest

import ruska
from ruska.corpus import build
from ruska.image import Image
from ruska.physics import cell_phantom

SETTINGS = {"widths": "[16, 32]", "blocks": "[1, 1]", "patch": "64", "batch": "4", "learning_rate": "0.002",
            "restoring": "0.1"}  # fmt: skip


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    """Its folder."""
    folder = tmp_path_factory.mktemp("prior")
    for seed in range(4):
        ruska.write(folder / f"{seed}.tif", Image(cell_phantom((192, 192), seed=seed).astype(np.float32), "YX"))
    build(sorted(folder.glob("*.tif")), folder / "packed")
    ruska.train([folder / "packed"], folder / "model", method="prior", settings={**SETTINGS, "steps": 250})
    return str(folder / "model")
