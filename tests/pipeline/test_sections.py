"""What stands beside a tilt series goes with a run: told by a dry run, cut by the region, written with the result."""

from __future__ import annotations

import re
from pathlib import Path

import mrcfile
import numpy as np
import pytest

from ruska.errors import OutputError
from ruska.io import read
from ruska.pipeline import denoise, describe, predict_job

STACK = np.random.default_rng(0).normal(100, 9, (5, 32, 40)).astype(np.float32)


@pytest.fixture
def series(tmp_path: Path) -> Path:
    with mrcfile.new(tmp_path / "a.st") as file:
        file.set_data(STACK)
        file.voxel_size = 4.0
    sections = "".join(f"[ZValue = {i}]\nTiltAngle = {30 * i - 60}\n\n" for i in range(5))
    (tmp_path / "a.st.mdoc").write_text(f"PixelSpacing = 4\n\n{sections}")
    (tmp_path / "a.rawtlt").write_text("-60\n-30\n0\n30\n60\n")
    return tmp_path / "a.st"


def test_angles_go_with_the_result(series: Path, tmp_path: Path) -> None:
    image, target = read(series), tmp_path / "out.mrc"
    assert describe(image, "median")["tilt"] == {"angles": [-60.0, -30.0, 0.0, 30.0, 60.0], "from": "a.st.mdoc"}
    foreseen = predict_job(image, target, method="median")
    assert {"out.mrc.mdoc", "out.rawtlt"} <= set(foreseen["beside"])
    found = denoise(image, target, method="median", roi={"Z": slice(1, 3)}, report=False)
    assert found.record["input"]["tilt_deg"] == [-30.0, 0.0]
    assert not any("mdoc" in line or "rawtlt" in line for line in found.lost)
    np.testing.assert_allclose(np.loadtxt(tmp_path / "out.rawtlt"), [-30, 0])
    assert re.findall(r"TiltAngle = (\S+)", (tmp_path / "out.mrc.mdoc").read_text()) == ["-30", "0"]
    denoise(image, target, method="median", report=False, overwrite=True)  # its own files are replaced
    assert len(np.loadtxt(tmp_path / "out.rawtlt")) == 5
    denoise(image, tmp_path / "v.ome.zarr", method="median", report=False)
    assert len(np.loadtxt(tmp_path / "v.rawtlt")) == 5


def test_files_of_others_are_told_before_the_work(series: Path, tmp_path: Path) -> None:
    (tmp_path / "out.rawtlt").write_text("1\n")
    for work in (predict_job, denoise):
        with pytest.raises(OutputError, match=r"out.rawtlt: exists already"):
            work(read(series), tmp_path / "out.mrc", method="median")
    own = (tmp_path / "a.rawtlt").read_text()
    denoise(read(series), tmp_path / "a.mrc", method="median", roi={"Z": slice(0, 2)}, report=False)
    assert (tmp_path / "a.rawtlt").read_text() == own
    np.testing.assert_allclose(np.loadtxt(tmp_path / "a.mrc.rawtlt"), [-60, -30])
