"""References are laid the right way round by their pattern in the frames, and doubted where it is not there."""

from __future__ import annotations

import pickle
from pathlib import Path

import mrcfile
import numpy as np
import pytest

import ruska
from ruska.errors import GeometryError, InputError, OutputError, SettingsError
from ruska.image import Image
from ruska.image.reference import TURNS
from ruska.physics import cell_phantom
from ruska.pipeline import Input, Request, RunOptions, correct_detector, run
from ruska.pipeline.opening import _sent

SHAPE = (160, 192)
RANDOM = np.random.default_rng(0)
GAIN = np.clip(RANDOM.normal(1, 0.1, SHAPE), 0.5, 2).astype(np.float32)
GAIN[20, 30] = GAIN[100:104, 50] = 0
DARK = RANDOM.normal(100, 4, SHAPE).astype(np.float32)
FLAT = np.where(GAIN > 0, 900 / np.where(GAIN > 0, GAIN, 1), 0)
LIGHT = 60 * cell_phantom(SHAPE, seed=1) + 20
GOOD = np.where(GAIN > 0, GAIN, np.inf)
FRAMES = np.rint(RANDOM.poisson(LIGHT / GOOD, (6, *SHAPE)) + DARK).astype(np.uint16)
MOVIE = Image(FRAMES, "TYX", name="movie")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name, values in (
        ("dark", DARK),
        ("gain", GAIN),
        ("sum", 10 * DARK),
        ("flat", np.where(GAIN > 0, 900 / GOOD, 0)),
    ):
        np.save(f"{name}.npy", values)
    return tmp_path


def notes(*words: object, **told: object) -> str:
    return " ".join(correct_detector(*words, **told).notes)  # type: ignore[arg-type]


def test_a_turned_gain_is_turned_back_and_it_is_said(folder: Path) -> None:
    expected = correct_detector(MOVIE, "dark.npy", "gain.npy")
    assert not {"turned", "pattern"} & set(" ".join(expected.notes).split())
    assert np.abs(expected.numpy().mean(0) / LIGHT - 1).mean() < 0.06
    assert np.isfinite(expected.numpy()).all()
    for turn in TURNS[1:]:
        back = next(one for one in TURNS if one.then(turn).name == "keep")
        np.save("turned.npy", back(GAIN))
        found = correct_detector(MOVIE, "dark.npy", "turned.npy")
        np.testing.assert_array_equal(found.numpy(), expected.numpy())
        assert f"was turned ({turn.name})" in " ".join(found.notes)
        assert found.provenance["detector"]["gain"]["as"] == turn.name
        again = correct_detector(MOVIE, "dark.npy", "turned.npy", gain_as=turn.name)
        np.testing.assert_array_equal(again.numpy(), expected.numpy())
    np.save("turned.npy", GAIN[::-1])
    assert "--gain-as flip-y" in notes(MOVIE, "dark.npy", "turned.npy", gain_as="keep")  # as told, and doubted


def test_of_columns_it_is_said_that_they_lie_across(folder: Path) -> None:
    columns = np.clip(np.random.default_rng(3).normal(1, 0.1, 160), 0.5, 2) * np.ones((160, 1))
    frames = np.random.default_rng(4).poisson(LIGHT[:, :160] / columns, (4, 160, 160)).astype(np.uint16)
    np.save("columns.npy", np.rot90(columns))
    found = correct_detector(Image(frames, "TYX"), None, "columns.npy")
    assert "as" not in found.provenance["detector"]["gain"]  # which end is up cannot be told
    said = " ".join(found.notes)
    assert "seems to be turned the wrong way" in said
    assert "rot90: " in said
    assert "rot90,flip-y: " in said
    assert "wrong way" not in notes(Image(frames, "TYX"), None, "columns.npy", gain_as="rot90")


def test_a_quarter_turn_that_nothing_tells_is_asked_for(folder: Path) -> None:
    np.save("even.npy", np.ones(SHAPE[::-1], np.float32))
    with pytest.raises(GeometryError, match="--gain-as rot90 and --gain-as rot270"):
        correct_detector(MOVIE, None, "even.npy")
    assert correct_detector(MOVIE, None, "even.npy", gain_as="1,0").numpy().shape == FRAMES.shape


def test_references_that_do_not_go_with_the_frames_are_doubted(folder: Path) -> None:
    fixed = correct_detector(MOVIE, "dark.npy", "gain.npy")
    done = Image(fixed.numpy(), "TYX")
    assert "do not show the pattern of the gain" in notes(done, None, "gain.npy")
    assert "if they have a dark level" in notes(MOVIE, None, "gain.npy")
    assert "--gain-as invert" in (said := notes(MOVIE, "dark.npy", "flat.npy"))
    assert "mean of the gain reference is 9" in said
    inverted = correct_detector(MOVIE, "dark.npy", "flat.npy", gain_as="invert")
    assert np.abs(inverted.numpy().mean(0) / fixed.numpy().mean(0) / 1.01 - 1).max() < 0.02
    with pytest.raises(GeometryError, match="already subtracted"):
        correct_detector(done, "dark.npy")


def test_references_that_do_nothing_are_said_or_refused(folder: Path) -> None:
    np.save("zero.npy", np.zeros(SHAPE, np.float32))
    np.save("nan.npy", np.full(SHAPE, np.nan, np.float32))
    Path("outside.txt").write_text("5000 5000 2 2\n")
    for kind, name in (("gain", "zero.npy"), ("gain", "nan.npy"), ("dark", "nan.npy")):
        with pytest.raises(InputError, match=f"^{name}: holds no usable value"):
            correct_detector(MOVIE, **{kind: name})
    for name in ("outside.txt", "zero.npy"):
        assert f"({name}) marks no pixel" in notes(MOVIE, defects=name)
    with pytest.raises(SettingsError, match="no effect without --gain"):
        correct_detector(MOVIE, "dark.npy", gain_as="rot90")


def test_how_many_times_a_dark_reference_is_subtracted_is_asked_for_and_told(folder: Path) -> None:
    total = Image(FRAMES.sum(0, dtype=np.uint32), "YX", name="total")
    with pytest.raises(GeometryError, match=r"show the dark reference .* (5\.9|6\.0)\d* ± .*--dark-as times6"):
        correct_detector(total, "dark.npy")
    fixed = correct_detector(total, "dark.npy", dark_as="times6")
    np.testing.assert_allclose(fixed.numpy(), total.numpy() - 6.0 * DARK, rtol=1e-4, atol=1e-2)
    assert "is subtracted once, as you asked" in notes(total, "dark.npy", dark_as="times1")
    with pytest.raises(GeometryError, match="brighter than the frames"):
        correct_detector(MOVIE, "sum.npy")
    assert fixed.provenance["detector"]["dark"]["as"] == "times6"
    np.testing.assert_allclose(correct_detector(MOVIE, "sum.npy", dark_as="times0.1").numpy(), FRAMES - DARK, atol=1e-2)


def test_defects_of_a_list_lie_as_the_file_has_its_rows(folder: Path) -> None:
    bad = np.zeros(SHAPE, bool)
    bad[7, 11] = bad[90, 100] = True
    bad[:, 33] = True
    frames = FRAMES.copy()
    frames[:, bad] = 9000
    np.save("map.npy", bad.astype(np.uint8))
    Path("list.txt").write_text(
        f"CameraSizeX {SHAPE[1]}\nCameraSizeY {SHAPE[0]}\nBadColumns 33\nBadPixels 11 7 100 90\n"
    )
    with mrcfile.new("movie.mrc") as file:
        file.set_data(frames[:, ::-1])
    fixed = correct_detector(Image(frames, "TYX"), defects="map.npy")
    assert fixed.numpy().max() < 1000
    assert f"{SHAPE[0] + 2} pixels of a frame" in " ".join(fixed.notes)
    by_list = correct_detector(Image(frames, "TYX"), defects="list.txt")
    np.testing.assert_array_equal(by_list.numpy(), fixed.numpy())
    of_mrc = correct_detector(ruska.read("movie.mrc"), defects="list.txt")
    np.testing.assert_array_equal(of_mrc.numpy(), fixed.numpy()[:, ::-1])
    np.save("map.npy", np.ones(SHAPE, np.uint8))
    with pytest.raises(InputError, match="marks 100% of all pixels"):
        correct_detector(Image(frames, "TYX"), defects="map.npy")


def test_a_region_has_a_reference_of_its_own_and_processes_need_not_look_again(folder: Path) -> None:
    np.save("part.npy", GAIN[10:100, 20:180])
    np.save("movie.npy", FRAMES)
    region = {"Y": slice(10, 100), "X": slice(20, 180)}
    one = Input(path="movie.npy", axes="TYX", gain="part.npy")
    whole = correct_detector(MOVIE, None, "gain.npy").numpy()[:, 20:90, 30:170]
    part = correct_detector(ruska.read("movie.npy", axes="TYX"), None, "part.npy", region=region)
    np.testing.assert_array_equal(part.numpy()[:, 20:90, 30:170], whole)
    with pytest.raises(GeometryError, match="--roi 0:90,0:160"):
        correct_detector(MOVIE, None, "part.npy")
    sent = pickle.loads(pickle.dumps(_sent(one, part, region).data))
    np.testing.assert_array_equal(sent[0:6, 20:90, 30:170], whole)


def test_no_slice_of_a_corrected_folder_is_overwritten(tmp_path: Path) -> None:
    slices = tmp_path / "slices"
    slices.mkdir()
    for number, frame in enumerate(FRAMES[:3]):
        ruska.write(slices / f"{number}.tif", frame)
    np.save(tmp_path / "gain.npy", np.ones(SHAPE, np.float32))
    before = (slices / "1.tif").read_bytes()
    image = Input(path=str(slices), axes="ZYX", gain=str(tmp_path / "gain.npy"))
    with pytest.raises(OutputError, match="input file or one of its references"):
        run(Request(task="denoise", method="median", inputs={"image": image}, output=str(slices / "1.tif"),
                    run=RunOptions(overwrite=True, report=False)))  # fmt: skip
    assert (slices / "1.tif").read_bytes() == before
