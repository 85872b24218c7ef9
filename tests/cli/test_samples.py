"""Samples on the command line: as from Python, and for every task with the prior."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

import ruska
from ruska.cli import main as cli
from ruska.image import Image
from ruska.physics import cell_phantom


@pytest.fixture
def noisy(tmp_path):
    values = cell_phantom((48, 56), seed=1) + np.random.default_rng(0).normal(0, 0.1, (48, 56))
    ruska.write(tmp_path / "noisy.tif", Image(values.astype(np.float32), "YX"))
    return tmp_path / "noisy.tif"


def ruska_command(*words, code=0):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["ruska", *map(str, words)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
    assert stop.value.code == code


def test_the_command_line_draws_what_python_draws(noisy, capsys):
    words = ("superres", noisy, "-o", noisy.with_name("fine.tif"), "--samples", 2, "--seed", 5, "--no-report")
    ruska_command(*words, "--dry-run")
    said = " ".join(capsys.readouterr().out.split())
    assert "fine_std.tif, fine_sample1.tif and fine_sample2.tif" in said
    assert not noisy.with_name("fine.tif").exists()
    ruska_command(*words, "--json")
    record = json.loads(capsys.readouterr().out)
    python = ruska.superres(noisy, samples=2, seed=5)
    assert record["samples"]["files"] == ["fine_sample1.tif", "fine_sample2.tif"]
    assert np.array_equal(ruska.read(noisy.with_name("fine_std.tif")).numpy(), python.std.numpy())
    assert np.array_equal(ruska.read(noisy.with_name("fine_sample2.tif")).numpy(), python.samples[1].numpy())


@pytest.mark.parametrize("words", [("denoise", "--method", "prior"), ("deblur", "--sigma", 1), ("superres",)])
def test_the_recorded_command_draws_them_again(noisy, words, capsys):
    import shlex

    ruska_command(*words, noisy, "-o", noisy.with_name("out.npy"), "--samples", 2, "--seed", 5, "--no-report")
    first = np.load(noisy.with_name("out_sample1.npy"))
    command = shlex.split(json.loads(noisy.with_name("out.record.json").read_text())["command"])
    ruska_command(*command[1:], "--overwrite", "--no-report")
    assert np.array_equal(np.load(noisy.with_name("out_sample1.npy")), first)
    assert "2 in out_sample1.npy to out_sample2.npy" in " ".join(capsys.readouterr().out.split())


def test_what_cannot_be_drawn_is_said(noisy, capsys):
    ruska_command("denoise", noisy, "-m", "tv", "--samples", 4, code=2)
    assert "cannot be drawn by method 'tv'" in capsys.readouterr().err
    ruska_command("deblur", noisy, "--sigma", 1, "--samples", 1, code=2)
    assert "2 to 100" in capsys.readouterr().err
    assert [file.name for file in noisy.parent.iterdir()] == ["noisy.tif"]


def test_samples_of_another_sampler_are_refused(noisy, capsys):
    ruska_command("superres", noisy, "--set", "sampler=flow-pnp", "--samples", 2, code=2)
    assert "need Ruska's own sampler, not flow-pnp" in capsys.readouterr().err
    assert [file.name for file in noisy.parent.iterdir()] == ["noisy.tif"]
