"""`ruska.register`: one image onto another, and the slices of a stack, with their geometry and a record."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import fourier_shift

import ruska
from ruska.errors import GeometryError, OutputError, SettingsError
from ruska.image import Image, Quantity
from ruska.physics import cell_phantom

NM = {"Y": Quantity(4.0, "nm"), "X": Quantity(4.0, "nm")}
SHIFT = (2.4, -3.3)


def planes(*shifts: tuple[float, float], size: int = 112, noise: float = 0.0) -> list[np.ndarray]:
    """The middle of one scene, displaced on a larger periodic field, in grey levels of 16 bits."""
    random = np.random.default_rng(0)
    spectrum = np.fft.fft2(cell_phantom((size + 40, size + 40), seed=3, pixel_size_nm=8))
    scenes = [np.fft.ifft2(fourier_shift(spectrum, shift)).real[20:-20, 20:-20] for shift in shifts]
    noisy = [np.clip(s + random.normal(0, noise, s.shape), 0, 1) for s in scenes]
    return [np.rint(1000 + 20000 * s).astype(np.uint16) for s in noisy]


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """Files of a clean image and of a noisy one that is displaced by SHIFT."""
    (clean, _), (_, noisy) = planes((0, 0), SHIFT), planes((0, 0), SHIFT, noise=0.08)
    ruska.write(tmp_path / "clean.tif", Image(clean, "YX"))
    origin = {"Y": Quantity(80.0, "nm"), "X": Quantity(40.0, "nm")}
    ruska.write(tmp_path / "noisy.h5", Image(noisy[None], "CYX", NM, origin))
    return tmp_path / "clean.tif", tmp_path / "noisy.h5"


def test_the_clean_image_comes_out_on_the_grid_of_the_noisy_one(pair: tuple[Path, Path]) -> None:
    clean, noisy = pair
    out = clean.with_name("placed.h5")
    result = ruska.register(clean, noisy, out)
    fixed, placed = ruska.read(noisy), ruska.read(out)
    assert placed.axes == fixed.axes
    assert placed.shape == fixed.shape
    assert placed.dtype == np.uint16
    assert dict(placed.spacing) == dict(fixed.spacing)
    assert dict(placed.origin) == dict(fixed.origin)
    truth = planes(SHIFT)[0].astype(float)
    inside = np.s_[6:-6, 6:-6]
    assert np.abs(placed.numpy()[0][inside] - truth[inside]).mean() < 150
    mask = np.asarray(placed.mask)[0]
    assert not mask[:3].any()
    assert not mask[:, -4:].any()
    assert mask[3:, :-4].all()
    assert (placed.numpy()[0][~mask] == 0).all()
    record = json.loads(clean.with_name("placed.record.json").read_text())
    assert record["alignment"]["shift_px"] == pytest.approx(SHIFT, abs=0.05)
    assert record["alignment"]["confidence"] > 0.9
    assert record["moving"]["hash"].startswith("sha256:")
    assert record["command"].startswith("ruska register")
    assert result.record["alignment"] == record["alignment"]


def test_floats_are_nan_where_nothing_is_known(pair: tuple[Path, Path]) -> None:
    image = ruska.register(*pair, dtype="float32").image
    assert image.dtype == np.float32
    values = image.numpy()[0]
    assert np.isnan(values[:2]).all()
    assert np.isfinite(values[3:, :-4]).all()


def test_what_is_refused_leaves_nothing_behind(pair: tuple[Path, Path], tmp_path: Path) -> None:
    clean, noisy = pair
    before = sorted(p.name for p in tmp_path.iterdir())
    out = tmp_path / "out.tif"
    other = Image(np.random.default_rng(1).normal(100, 20, (112, 112)).astype(np.float32), "YX", name="other")
    stack = Image(np.stack(planes((0, 0), (1, 1))), "ZYX", name="stack")
    with pytest.raises(GeometryError, match=r"clean.tif and other: cannot be aligned"):
        ruska.register(clean, other, out)
    with pytest.raises(GeometryError, match=r"stack: has axes ZYX.*expected one plane"):
        ruska.register(clean, stack, out)
    with pytest.raises(GeometryError, match="expected one stack"):
        ruska.register(clean, output=out)
    coarse = Image(other.data, "YX", {"Y": Quantity(8.0, "nm"), "X": Quantity(8.0, "nm")}, name="coarse")
    with pytest.raises(GeometryError, match="pixels of 8 nm along Y"):
        ruska.register(coarse, noisy, out)
    with pytest.raises(GeometryError, match="labels"):
        ruska.register(Image(planes((0, 0))[0], "YX", meaning="labels"), noisy, out)
    with pytest.raises(OutputError, match="is the input file"):
        ruska.register(clean, noisy, noisy, overwrite=True)
    with pytest.raises(OutputError, match="exists already"):
        ruska.register(noisy, noisy, clean)
    with pytest.raises(SettingsError, match="Did you mean 'float32'"):
        ruska.register(clean, noisy, dtype="float3")  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="works on a stack"):
        ruska.register(clean, noisy, crop=True)
    with pytest.raises(SettingsError, match="aligned by shifts"):
        ruska.register(stack, transform="rigid")
    assert sorted(p.name for p in tmp_path.iterdir()) == before


@pytest.mark.parametrize("name", ["out.tif", "out.mrc", "out.ome.zarr"])
def test_a_stack_comes_out_in_order(tmp_path: Path, name: str) -> None:
    shifts = [(0.0, 0.0), (1.6, -0.7), (-1.2, 1.4)]
    stack = np.stack(planes(*shifts, noise=0.03))
    spacing = {"Z": Quantity(30.0, "nm"), **NM}
    ruska.write(tmp_path / "stack.tif", Image(stack, "ZYX", spacing))
    result = ruska.register(tmp_path / "stack.tif", output=tmp_path / name, neighbours=2)
    placed = ruska.read(tmp_path / name)
    assert placed.shape == stack.shape
    assert placed.dtype == np.uint16
    assert placed.voxel_size_nm == pytest.approx({"Z": 30.0, "Y": 4.0, "X": 4.0})
    np.testing.assert_allclose(result.record["alignment"]["shifts_px"], -np.array(shifts), atol=0.1)
    inside = np.s_[:, 8:-8, 8:-8]
    assert placed.numpy()[inside].astype(float).std(0).mean() < 0.6 * stack[inside].astype(float).std(0).mean()
    assert (placed.numpy()[1, -1] == 0).all()


def test_a_stack_can_be_cropped_and_left_uninterpolated() -> None:
    stack = np.stack(planes((0, 0), (2, -3), noise=0.03))
    image = Image(stack[:, None], "ZCYX", {"Z": Quantity(30.0, "nm"), **NM}, name="stack")
    result = ruska.register(image, crop=True, whole_pixels=True)
    placed = result.image
    assert placed.axes == "ZCYX"
    assert placed.shape == (2, 1, 110, 109)
    assert placed.mask is None
    assert placed.origin["X"].to("nm") == pytest.approx(12.0)
    assert np.array_equal(placed.numpy()[0, 0], stack[0, :110, 3:])
    assert np.array_equal(placed.numpy()[1, 0], stack[1, 2:, :109])
