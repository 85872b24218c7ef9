"""What an output cannot hold, as a user of the command line is told."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from typer.testing import CliRunner

from ruska.cli import terminal
from ruska.cli.main import app

SAID = (
    "The MRC file cannot hold: ImageJ's slice labels, region of interest. Write a TIFF (.tif) to keep everything. "
    "In the MRC file, uint8 values are stored as 16-bit integers (MRC's bytes are signed)."
)


def test_losses_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal, "_REMARKED", set())
    pixels = np.random.default_rng(0).integers(0, 99, (2, 40, 40)).astype(np.uint8)
    fields = {"axes": "ZYX", "Labels": ["first", "second"], "ROI": b"Iout" + bytes(60), "unit": "nm", "spacing": 3.0}
    tifffile.imwrite(tmp_path / "a.tif", pixels, imagej=True, metadata=fields, resolution=(0.25, 0.25))
    base = ["denoise", str(tmp_path / "a.tif"), "--method", "gaussian"]
    shell = CliRunner(env={"COLUMNS": "400"})

    def run(*words: str) -> tuple[str, str]:
        found = shell.invoke(app, [*base, *words])
        assert found.exit_code == 0, found.output
        return found.stdout, found.stderr

    target = str(tmp_path / "b.mrc")
    dry, _ = run("-o", target, "--dry-run")
    assert "lost" in dry
    assert SAID in " ".join(dry.split())
    foreseen = json.loads(run("-o", target, "--dry-run", "--json")[0])
    assert foreseen["losses"] == SAID
    assert len(foreseen["not_kept"]) == 2
    out, err = run("-o", target, "--no-report")
    assert err.strip() == SAID
    assert "slice labels" in out
    record = json.loads((tmp_path / "b.record.json").read_text())
    assert record["output"]["not_kept"] == foreseen["not_kept"]
    assert run("-o", str(tmp_path / "c.mrc"), "--no-report")[1] == ""  # once is enough in a batch
    for name in ("d.tif", "d.h5"):  # nothing is lost, nothing is said
        assert run("-o", str(tmp_path / name), "--no-report")[1] == ""
        assert "lost " not in run("-o", str(tmp_path / f"e{name}"), "--dry-run")[0].split("\n", 1)[1]
