"""The code of docs/extending.md runs as it stands, and the tables of docs/methods.md are those of the methods."""

from __future__ import annotations

import re
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import ruska
from ruska.cli.main import app
from ruska.image import Image
from ruska.weights.tensors import load_weights

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "extending.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE, re.DOTALL)
FILES = {code.split("\n", 1)[0].removeprefix("# "): code for kind, code in BLOCKS if kind == "python"}
COMMANDS = [line for kind, code in BLOCKS if kind == "sh" for line in code.splitlines()]


@pytest.fixture
def here(install, tmp_path, monkeypatch):
    """All files of the page, installed as the page says, and an image beside them."""
    (entry,) = re.findall(r"^bright = .*$", PAGE, re.MULTILINE)
    site = install("bright", FILES["bright.py"], {"ruska.methods": entry.replace('"', "")})
    for name, code in FILES.items():
        (site / name).write_text(code, encoding="utf-8")
    (entry,) = re.findall(r"^dull = .*$", PAGE, re.MULTILINE)
    install("dull", FILES["dull.py"], {"ruska.trainings": entry.replace('"', "")})
    monkeypatch.chdir(site)
    values = np.full((48, 60), 90, np.float32) + np.random.default_rng(0).normal(0, 3, (48, 60))
    for k in range(4):
        values[8:14, 4 + 14 * k : 10 + 14 * k] += 60
    ruska.write(site / "image.tif", Image(values.astype(np.uint8), "YX"))
    yield site
    for name in FILES:
        sys.modules.pop(Path(name).stem, None)


@pytest.mark.parametrize("name", [name for name in FILES if name.startswith("test_")])
def test_every_test_on_the_page_passes(here, name):
    found = {key: part for key, part in runpy.run_path(str(here / name)).items() if key.startswith("test_")}
    assert found
    for part in found.values():
        part()


def test_every_command_on_the_page_runs(here):
    assert len(COMMANDS) >= 3
    for line in COMMANDS:
        found = CliRunner().invoke(app, line.split()[1:], catch_exceptions=False)
        assert found.exit_code == 0, f"{line}: {found.output}"
    assert ruska.read(here / "particles.tif").numpy().max() == 4
    assert ruska.read(here / "sharp.tif").shape == (48, 60)
    tensors, said = load_weights(here / "model" / "weights.safetensors")
    assert (tensors["weight"].shape, said["steps"]) == ((1, 1, 5, 5), 5)


def test_every_group_of_entry_points_that_ruska_reads_is_on_the_page():
    groups = set()
    for file in (DOCS.parent / "src").rglob("*.py"):
        groups |= set(
            re.findall(r"\"(ruska\.(?:methods|trainings|operators|readers))\"", file.read_text(encoding="utf-8"))
        )
    assert groups == {"ruska.methods", "ruska.trainings", "ruska.operators", "ruska.readers"}
    for group in groups:
        assert group in PAGE


def test_the_tables_of_settings_are_those_of_the_methods():
    page = runpy.run_path(str(DOCS / "make_tables.py"))
    text = (DOCS / "methods.md").read_text(encoding="utf-8")
    assert page["with_table"](text) == text, "run: python docs/make_tables.py"
    assert "| **`sigma`** |" in text
