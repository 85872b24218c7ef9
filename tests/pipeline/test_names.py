"""Names of files that are hard for a command line or a file system."""

from __future__ import annotations

import shlex
import sys

import numpy as np
import pytest

import ruska
from ruska.cli.main import main
from ruska.errors import OutputError


def test_the_command_of_a_record_repeats_a_run_on_names_with_dashes_and_spaces(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("-a b.npy", np.random.default_rng(0).random((40, 50), np.float32))
    first = ruska.denoise("-a b.npy", "-out.npy", method="gaussian", report=False)
    written = (tmp_path / "-out.npy").read_bytes()
    (tmp_path / "-out.npy").unlink()
    words = shlex.split(first.record["command"])
    monkeypatch.setattr("sys.argv", [*words, "--no-report"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code in (0, None)
    assert (tmp_path / "-out.npy").read_bytes() == written


def test_an_output_name_that_is_too_long_is_refused_in_words(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((40, 50), np.float32))
    with pytest.raises(OutputError, match="304 bytes"):
        ruska.denoise(tmp_path / "a.npy", tmp_path / ("x" * 300 + ".npy"), method="gaussian")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows allows fewer names")
def test_the_command_of_a_record_names_a_file_with_a_colon_or_a_newline(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, opened in (("a:b.npy", "a:b.npy"), ("-a\n'b'\x1b.npy", "./-a\n'b'\x1b.npy"), ("c.npz", "c.npz:d")):
        values = np.random.default_rng(0).random((40, 50), np.float32)
        np.savez(name, d=values, e=values) if name == "c.npz" else np.save(name, values)
        record = ruska.denoise(opened, "out.npy", method="gaussian", report=False, overwrite=True).record
        assert shlex.split(record["command"])[2] == opened


def test_the_command_of_a_record_has_the_voxel_size_that_was_given(tmp_path):
    from ruska.pipeline import Input, Request

    np.save(tmp_path / "a.npy", np.random.default_rng(0).random((40, 50), np.float32))
    image = Input(path=str(tmp_path / "a.npy"), voxel_size="2.5nm")
    record = ruska.pipeline.run(Request(task="denoise", method="gaussian", inputs={"image": image})).record
    words = shlex.split(record["command"])
    assert words[words.index("--voxel-size") + 1] == "2.5nm"


def test_a_file_may_claim_any_detector():
    for claim in (3, "x", {"dark": 3}, {"-o": {"path": "x"}}, {"gain": {"path": 3}}, {"dark": {}}):
        image = ruska.Image(np.zeros((40, 50), np.float32), "YX", provenance={"detector": claim})
        words = shlex.split(ruska.denoise(image, method="gaussian").record["command"])
        assert not {"--dark", "--gain", "---o"} & set(words)
