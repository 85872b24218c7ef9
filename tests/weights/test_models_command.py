"""``ruska models`` from the command line: fetched, listed, and used by name in every command that takes a model."""

from __future__ import annotations

import json
import shutil
import sys

import numpy as np
import pytest
import tifffile

import ruska
from ruska.cli import main as cli
from ruska.cli.show import _together
from ruska.physics import cell_phantom
from ruska.weights.embedded import EMBEDDED
from ruska.weights.model import CARD


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RUSKA_MODELS", str(tmp_path / "store"))

    def run(*words, code=0):
        monkeypatch.setattr(sys, "argv", ["ruska", *map(str, words)])
        with pytest.raises(SystemExit) as exit_:
            cli.main()
        said = capsys.readouterr()
        assert (exit_.value.code or 0) == code, said.err
        return said

    return run


@pytest.fixture
def mirror(tmp_path):
    """A folder with a copy of Ruska's prior under another name."""
    shutil.copytree(EMBEDDED, tmp_path / "mirror" / "theirs")
    file = tmp_path / "mirror" / "theirs" / CARD
    card = json.loads(file.read_text())
    file.write_text(json.dumps({**card, "name": "their-prior"}))
    return tmp_path / "mirror"


def test_a_fetched_model_is_listed_and_used_by_name(command, mirror, tmp_path):
    noisy = cell_phantom((96, 96), seed=0) + np.random.default_rng(0).normal(0, 0.1, (96, 96))
    tifffile.imwrite("noisy.tif", noisy.astype(np.float32))
    assert "--from" in command("denoise", "noisy.tif", "--model", "their-prior", code=3).err
    assert "no mirror was named" in command("models", "fetch", "their-prior", code=3).err
    found = json.loads(command("models", "fetch", "their-prior", "--from", mirror, "--json").out)
    shutil.rmtree(mirror)
    assert found["folder"] == str(tmp_path / "store" / found["sha256"])
    listed = command("models", "list").out
    assert "their-prior: " in listed
    assert str(EMBEDDED) in listed
    assert json.loads(command("models", "info", "their-prior", "--json").out)["sha256"] == found["sha256"]
    assert "intact" in command("models", "verify", "their-prior", found["sha256"][:10]).out
    quick = ["--no-report", "--json"]
    record = json.loads(command("denoise", "noisy.tif", "-o", "a.tif", "--model", "their-prior", *quick).out)
    assert record["weights"] == found["sha256"]
    command("denoise", "noisy.tif", "-o", "b.tif", "--method", "prior", *quick)
    np.testing.assert_array_equal(ruska.read("a.tif").numpy(), ruska.read("b.tif").numpy())
    command("deblur", "noisy.tif", "--sigma", 1, "-o", "c.tif", "--steps", 1, "--model", "their-prior", *quick)


def test_a_model_is_added_from_a_folder(command, mirror):
    assert "--model their-prior" in command("models", "add", mirror / "theirs").out
    assert "their-prior" in command("models", "list").out
    assert "is not a model" in command("models", "add", mirror, code=3).err
    assert "https" in command("models", "fetch", "x", "--from", "http://example.org", code=2).err


@pytest.mark.parametrize(
    ("notes", "said"), [([], ""), (["a", "b"], "a; b"), (["One.", "two"], "One. two"), (["a", "B."], "a; B.")]
)
def test_notes_stand_apart(notes, said):
    assert _together(notes) == said
