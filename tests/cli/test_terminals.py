"""Odd names and terminals of few letters, through the command line."""

from __future__ import annotations

import json
import subprocess
import sys
from io import BytesIO, StringIO, TextIOWrapper
from pathlib import Path

import numpy as np
import pytest

import ruska
from ruska.cli import main as cli
from ruska.image import Image


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    values = np.random.default_rng(0).normal(1000, 100, (48, 40)).astype(np.uint16)
    for name in ("µ 日本.tif", "-dash.tif"):
        ruska.write(name, Image(values, "YX"))
    return tmp_path


def run(*words: str, encoding: str = "utf-8") -> tuple[int, str, str]:
    """Exit code, what was printed, and what was complained of, on a terminal of that encoding."""
    shown, errors = TextIOWrapper(BytesIO(), encoding=encoding, write_through=True), StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["ruska", *words])
        patch.setattr(sys, "stdout", shown)
        patch.setattr(sys, "stderr", errors)
        with pytest.raises(SystemExit) as stop:
            cli.main()
    return int(stop.value.code or 0), shown.buffer.getvalue().decode(encoding), errors.getvalue()  # type: ignore[attr-defined]


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_what_a_terminal_cannot_show_is_escaped(here: Path, encoding: str) -> None:
    code, shown, errors = run("info", "µ 日本.tif", "--method", "gaussian", encoding=encoding)
    assert (code, errors) == (0, "")
    assert "\\u65e5" in shown
    code, shown, _ = run("info", "µ 日本.tif", "--method", "gaussian", "--json", encoding=encoding)
    assert (code, json.loads(shown)["name"]) == (0, "µ 日本.tif")


def test_a_name_that_begins_with_a_dash(here: Path) -> None:
    code, _, errors = run("denoise", "-dash.tif", "--method", "gaussian", "--no-report")
    assert code == 2
    assert "./-dash.tif" in errors
    assert run("denoise", "./-dash.tif", "--method", "gaussian", "--no-report")[0] == 0
    assert (here / "-dash_denoised.tif").exists()
    assert run("denoise", "--method", "gaussian", "--no-report", "--overwrite", "--", "-dash.tif")[0] == 0


def test_a_name_that_is_too_long_is_one_line(here: Path) -> None:
    for words, expected in ((("-o", "o" * 240 + ".tif"), 4), (("-o", "o" * 300 + ".tif"), 4)):
        code, _, errors = run("denoise", "µ 日本.tif", "--method", "gaussian", *words)
        assert (code, len(errors.strip().splitlines())) == (expected, 1)
        assert "leave room" in errors
    assert run("info", "z" * 300 + ".tif")[0] == 3


LIBRARY_SPEAKS = """
import logging, sys, warnings
from ruska.cli.terminal import guard_streams
guard_streams()
here = sys.argv[1] + "/site-packages/somebody/inner.py"
def warn(message, category, file=here):
    warnings.warn_explicit(message, category, file, 7)
warn("tag 270 is corrupt\\nand more", UserWarning)
warn("invalid value encountered in divide", RuntimeWarning)
warn("use other_function", FutureWarning)
warn("the processor is used", UserWarning, sys.modules["ruska"].__file__)
logging.getLogger("tifffile.inner").warning("page %d\\nis broken", 3)
logging.getLogger("ruska").warning("ruska: a file was left")
"""


def test_what_libraries_say_is_one_plain_line_or_nothing(tmp_path):
    def said(*options):
        command = [sys.executable, *options, "-c", LIBRARY_SPEAKS, str(tmp_path)]
        return subprocess.run(command, capture_output=True, text=True).stderr.splitlines()

    assert said() == [
        r"ruska: somebody says: tag 270 is corrupt\nand more", "ruska: the processor is used",
        r"ruska: tifffile says: page 3\nis broken", "ruska: a file was left",
    ]  # fmt: skip
    assert any("invalid value" in line for line in said("-W", "default"))  # for who looks for a fault
