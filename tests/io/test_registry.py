"""Recognising formats, refusing early, and files that appear whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Pillow

from ruska.errors import GeometryError, InputError, OutputError, SettingsError
from ruska.image import Image, Quantity
from ruska.io import FORMATS, check_holds, check_output, find_format, read, split_inner, write
from ruska.io import registry as module
from ruska.io.losses import unheld
from ruska.io.registry import assumed_axes, format_of_name, parse_voxel_size, to_units, with_axes

DATA = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
WRITABLE = sorted({s for f in FORMATS if f.writes for s in f.suffixes} - {".jpg", ".jpeg", ".bmp"})


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    Pillow.fromarray(DATA[0]).save(tmp_path / "a.png")
    return tmp_path / "a.png"


# Recognising


def test_content_decides_before_the_name(tmp_path: Path, picture: Path) -> None:
    np.save(tmp_path / "b.npy", DATA)
    (tmp_path / "b.npy").rename(tmp_path / "b.png")
    assert find_format(tmp_path / "b.png").name == "NumPy"
    np.testing.assert_array_equal(read(tmp_path / "b.png").numpy(), DATA)
    picture.rename(tmp_path / "no_suffix")
    np.testing.assert_array_equal(read(tmp_path / "no_suffix").numpy(), DATA[0])


@pytest.mark.parametrize("suffix", WRITABLE)
def test_what_is_written_is_recognised_without_its_name(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    write(path, Image(DATA, "ZYX"))
    known = format_of_name(path)
    assert known is not None
    path.rename(tmp_path / "bare")
    assert find_format(tmp_path / "bare").module == known.module
    assert [p.name for p in tmp_path.iterdir()] == ["bare"]


def test_every_module_has_the_functions_of_a_format() -> None:
    for known in FORMATS:
        loaded = known.load()
        assert callable(loaded.read)
        assert not known.writes or callable(loaded.write)


def test_missing_empty_unknown_and_lying_files(tmp_path: Path) -> None:
    (tmp_path / "empty.tif").touch()
    (tmp_path / "text.txt").write_text("hello, this is no image")
    (tmp_path / "lie.tif").write_text("hello, this is no image")
    for name, words in (("none.tif", "does not exist"), ("empty.tif", "empty"), ("text.txt", "not in a format"),
                        ("lie.tif", "not TIFF inside")):  # fmt: skip
        with pytest.raises(InputError, match=words) as caught:
            read(tmp_path / name)
        assert name in str(caught.value)
        assert caught.value.fix


@pytest.mark.skipif(os.name == "nt" or getattr(os, "geteuid", lambda: 1)() == 0, reason="root may read anything")
def test_an_unreadable_file_says_so(picture: Path) -> None:
    picture.chmod(0)
    with pytest.raises(InputError, match="cannot be read"):
        read(picture)


@given(head=st.binary(max_size=600), known=st.sampled_from(FORMATS))
def test_garbage_behind_a_right_magic_number_is_an_input_error(
    tmp_path_factory: pytest.TempPathFactory, head: bytes, known: module.Format
) -> None:
    body = bytearray(max(600, len(head)))
    body[: len(head)] = head
    for at, magic in known.magic[:1]:
        body[at : at + len(magic)] = magic
    path = tmp_path_factory.mktemp("garbage") / f"a{known.suffixes[0]}"
    path.write_bytes(bytes(body))
    with pytest.raises(InputError):
        read(path)


def test_values_that_are_no_grey_levels_and_empty_arrays(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((3, 3), complex))
    with pytest.raises(InputError, match="complex128"):
        read(tmp_path / "a.npy")
    np.save(tmp_path / "b.npy", np.zeros((0, 3)))
    with pytest.raises(InputError, match="no pixels"):
        read(tmp_path / "b.npy")


def test_inner_names_are_split_off(tmp_path: Path) -> None:
    assert split_inner("a/b.h5:/x/y") == (Path("a/b.h5"), "/x/y")
    assert split_inner("b.ome.zarr:0") == (Path("b.ome.zarr"), "0")
    assert split_inner("C:/data/b.tif") == (Path("C:/data/b.tif"), None)
    assert split_inner(tmp_path / "b.npz") == (tmp_path / "b.npz", None)
    if os.name != "nt":
        odd = tmp_path / "odd.h5:name"
        odd.touch()
        assert split_inner(odd) == (odd, None)


def test_inner_names_follow_any_file_that_is_there(tmp_path: Path) -> None:
    file = tmp_path / "a cell.ims"
    assert split_inner(f"{file}:/x/y") == (Path(f"{file}:/x/y"), None)
    file.touch()
    assert split_inner(f"{file}:/x/y 0") == (file, "/x/y 0")
    assert split_inner(f"{file}:title: of it") == (file, "title: of it")
    assert split_inner(f"{tmp_path}:/x") == (Path(f"{tmp_path}:/x"), None)
    write(tmp_path / "a.zarr", Image(DATA, "ZYX"))
    (tmp_path / "a.zarr").rename(tmp_path / "store")
    np.testing.assert_array_equal(read(f"{tmp_path}/store:/0").numpy(), DATA)


def test_an_inner_name_where_there_is_none_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", data=DATA)
    np.save(tmp_path / "a.h5", DATA)
    (tmp_path / "a.h5.npy").rename(tmp_path / "a.h5")
    with pytest.raises(InputError, match="cannot be picked"):
        read(f"{tmp_path}/a.h5:/data")


@pytest.mark.parametrize("name", ["a.tif", "a.mrc", "a.npy", "a.h5", "a.ome.zarr"])
def test_a_plain_array_is_written(tmp_path: Path, name: str) -> None:
    for i, array in enumerate((DATA, DATA[0], list(DATA[0]))):
        file = tmp_path / f"{i}{name}"
        write(file, array)
        np.testing.assert_array_equal(read(file).numpy(), np.asarray(array))
        assert read(file).axes == "QYX"[-np.ndim(array) :]


@pytest.mark.parametrize("wrong", ["a.tif", None, [[1, 2], [3]], np.zeros(5), np.zeros((0, 4)), np.zeros((2, 2), "c16"),
                                   np.zeros((1,) * 7)])  # fmt: skip
def test_what_is_no_image_is_not_written(tmp_path: Path, wrong: object) -> None:
    with pytest.raises(OutputError, match=r"out\.tif.* was (not )?given") as caught:
        write(tmp_path / "out.tif", wrong)
    assert caught.value.fix
    assert not list(tmp_path.iterdir())


def test_a_result_is_told_to_be_none(tmp_path: Path) -> None:
    result = SimpleNamespace(image=Image(DATA, "QYX"))
    with pytest.raises(OutputError, match=r"result\.image"):
        write(tmp_path / "out.tif", result)


@pytest.mark.parametrize("name", ["a.tif", "a.ome.tif", "a.mrc", "a.npy", "a.npz", "a.h5", "a.zarr", "a.png"])
@pytest.mark.parametrize("dtype", ["u1", "i4", "u8", "f2", "f4", "f8", "g", "?"])
def test_what_a_format_cannot_hold_is_known_in_advance(tmp_path: Path, name: str, dtype: str) -> None:
    """In the same words as `write` says it."""
    for axes, shape in (("YX", (4, 5)), ("CZYX", (2, 3, 4, 5)), ("TZYX", (1, 3, 4, 5)), ("TCQZYX", (2, 1, 2, 2, 4, 5))):
        if name == "a.png" and dtype == "g":
            continue  # no picture of these is drawn
        target, kind = tmp_path / f"{axes}{name}", np.dtype(dtype)
        foreseen, said = None, None
        try:
            check_holds(target, kind, axes, shape)
        except OutputError as error:
            foreseen = str(error)
        try:
            write(target, Image(np.zeros(shape, kind), axes, name=target.name))
        except OutputError as error:
            said = str(error)
        assert foreseen == said
        assert said is None or "partial" not in said
    if name == "a.mrc":
        assert (tmp_path / "TZYXa.mrc").exists() == (dtype in ("u1", "f2", "f4", "?"))
        assert not (tmp_path / "CZYXa.mrc").exists()


# What the user says


def test_axes_and_voxel_size_override_the_file(tmp_path: Path) -> None:
    write(tmp_path / "a.npz", Image(DATA, "ZYX", {a: Quantity(9, "nm") for a in "ZYX"}))
    image = read(tmp_path / "a.npz", voxel_size="50nm,4nm,4nm")
    assert image.voxel_size_nm == {"Z": 50, "Y": 4, "X": 4}
    frames = read(tmp_path / "a.npz", axes="tyx", voxel_size="5")
    assert (frames.axes, dict(frames.spacing)) == ("TYX", {"Y": Quantity(5, "nm"), "X": Quantity(5, "nm")})
    for wrong in ("YX", "ZZX", "XYZ", "KYX"):
        with pytest.raises(GeometryError):
            read(tmp_path / "a.npz", axes=wrong)


@pytest.mark.parametrize("name", ["a.npy", "a.tif", "a.mrc"])
def test_a_voxel_size_along_z_makes_slices_of_an_unknown_stack(tmp_path: Path, name: str) -> None:
    write(tmp_path / name, Image(DATA, "QYX"))
    assert read(tmp_path / name).axes == "QYX"
    slices = read(tmp_path / name, voxel_size="50nm,4nm,4nm")
    assert (slices.axes, slices.voxel_size_nm) == ("ZYX", {"Z": 50, "Y": 4, "X": 4})
    assert [n for n in slices.notes if "axes" in n] == ["a voxel size along Z was given: the axes are taken as ZYX "
                                                        "(set them with --axes)"]  # fmt: skip
    for size in ("4nm", "4nm,4nm"):  # says nothing of a third axis
        frames = read(tmp_path / name, voxel_size=size)
        assert (frames.axes, frames.voxel_size_nm) == ("QYX", {"Y": 4, "X": 4})
        assert not any("voxel size" in note for note in frames.notes)


def test_a_voxel_size_along_an_axis_that_is_not_there_is_said_to_be_ignored(tmp_path: Path) -> None:
    np.save(tmp_path / "plane.npy", DATA[0])
    np.save(tmp_path / "stack.npy", DATA)
    for name, axes in (("plane", None), ("stack", "TYX"), ("stack", "QYX")):
        image = read(tmp_path / f"{name}.npy", axes=axes, voxel_size="50nm,4nm,4nm")
        assert image.voxel_size_nm == {"Y": 4, "X": 4}
        assert f"voxel size 50 nm along Z is ignored: the axes are {image.axes} (set them with --axes)" in image.notes


def test_channel_names_stay_with_their_axis() -> None:
    image = Image(DATA, "CYX", channel_names=("a", "b"))
    assert with_axes(image, "CYX").channel_names == ("a", "b")
    assert with_axes(image, "ZYX").channel_names == ()


def test_voxel_sizes_in_words() -> None:
    four = Quantity(4.0, "nm")
    assert parse_voxel_size("4nm") == {"Z": four, "Y": four, "X": four}
    assert parse_voxel_size("4 nm, 0.5um") == {"Y": four, "X": Quantity(0.5, "um")}
    assert parse_voxel_size("50,4,4")["Z"] == Quantity(50.0, "nm")
    for wrong in ("", "4s", "-4nm", "0nm", "4nm,4nm,4nm,4nm", "4 parsec", "nm", "1e999nm,x"):
        with pytest.raises(SettingsError):
            parse_voxel_size(wrong)


def test_assumed_axes_are_said() -> None:
    assert assumed_axes(2, "a") == ("YX", ())
    axes, (note,) = assumed_axes(4, "a")
    assert axes in note
    for ndim in (0, 1, 7):
        with pytest.raises(InputError):
            assumed_axes(ndim, "a")


def test_losses_name_what_is_lost_and_nothing_else() -> None:
    image = Image(DATA, "CYX", {"X": Quantity(1, "nm")}, {"X": Quantity(3, "nm")}, "labels", ("a", "b"), DATA > 1,
                  {"fei": 1}, {"seed": 1})  # fmt: skip
    assert len(unheld(image, ()).things) == 8
    assert not unheld(image, {"spacing", "origin", "axes", "channels", "mask", "header", "record", "meaning"})
    assert not unheld(Image(DATA[0], "YX", origin={"X": Quantity(0, "nm")}, header={"imagej": {"unit": "nm"}}), ())


def test_sizes_of_another_kind_have_no_length() -> None:
    sizes = {"T": Quantity(1, "s"), "X": Quantity(2, "um"), "Y": Quantity(1, "furlong")}
    assert [to_units(sizes, a, "nm") for a in "TXYZ"] == [None, pytest.approx(2000), None, None]


# Writing


def test_outputs_are_refused_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "there.tif").touch()
    (tmp_path / "photos.zarr").mkdir()
    (tmp_path / "photos.zarr" / "holiday.jpg").touch()
    for name, overwrite, words in (
        ("a.xyz", False, "not a format Ruska writes"), ("a.tiif", False, "Did you mean"), ("a", False, "not a format"),
        ("a.jpg", False, "lossy"), ("a.mrc.gz", False, "not a format Ruska writes"),
        ("a.hspy", False, "not a format"), ("no/folder/a.tif", False, "folder"),
        ("there.tif", False, "exists already"), ("photos.zarr", True, "not a Zarr store"),
    ):  # fmt: skip
        with pytest.raises(OutputError, match=words):
            check_output(tmp_path / name, overwrite=overwrite)
    assert check_output(tmp_path / "there.tif", overwrite=True).name == "TIFF"


def test_a_folder_without_permission_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)  # root may write anywhere
    with pytest.raises(OutputError, match="cannot be written to"):
        write(tmp_path / "a.npy", Image(DATA, "ZYX"))


class Failing:
    """Pixels whose last plane cannot be read."""

    shape, dtype = DATA.shape, DATA.dtype

    def __init__(self, error: Exception) -> None:
        self.error = error

    def __getitem__(self, box: tuple[slice, ...]) -> np.ndarray:
        if box[0].stop == 2:
            raise self.error
        return DATA[box]


@pytest.mark.parametrize("suffix", [s for s in WRITABLE if s != ".png"])
@pytest.mark.parametrize("error", [InputError("tape", "is torn"), OSError(28, "No space left on device")])
def test_a_writer_that_fails_midway_leaves_nothing_new_and_the_old_file(
    tmp_path: Path, suffix: str, error: Exception
) -> None:
    target = tmp_path / f"a{suffix}"
    with pytest.raises((InputError, OutputError), match=r"torn|No space"):
        write(target, Image(Failing(error), "ZYX"))
    assert list(tmp_path.iterdir()) == []
    write(target, Image(DATA + 1, "ZYX"))
    with pytest.raises((InputError, OutputError), match=r"torn|No space"):
        write(target, Image(Failing(error), "ZYX"), overwrite=True)
    np.testing.assert_array_equal(read(target).numpy(), DATA + 1)
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("suffix", WRITABLE)
def test_nothing_is_replaced_without_being_asked(tmp_path: Path, suffix: str) -> None:
    target = tmp_path / f"a{suffix}"
    write(target, Image(DATA[0], "YX"))
    with pytest.raises(OutputError, match="--overwrite"):
        write(target, Image(DATA[1], "YX"))
    np.testing.assert_array_equal(read(target).numpy(), DATA[0])
    write(target, Image(DATA[1], "YX"), overwrite=True)
    np.testing.assert_array_equal(read(target).numpy(), DATA[1])
    assert list(tmp_path.iterdir()) == [target]


def test_a_callback_sees_the_losses_before_the_file_appears(tmp_path: Path) -> None:
    seen = []
    target = tmp_path / "a.npy"
    lost = write(target, Image(DATA, "ZYX"), before_placing=lambda lines: seen.append((lines, target.exists())))
    assert seen == [(lost, False)]
    assert target.exists()


def test_a_library_that_fails_on_reading_is_reported_with_the_file(
    picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: Path, inner: str | None) -> Image:
        raise ZeroDivisionError("inside the library\nsecond line")

    monkeypatch.setattr(module.Format, "load", lambda self: SimpleNamespace(read=fail))
    with pytest.raises(InputError, match=r"a\.png.*picture.*ZeroDivisionError: inside the library\)"):
        read(picture)


# What no file can mean


def test_sizes_that_no_file_can_mean_are_left_out_and_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ruska.io import numpy_file

    np.save(tmp_path / "a.npy", DATA)
    odd = Image(DATA, "ZYX", {"Z": Quantity(float("inf"), "nm"), "Y": Quantity(4.0, "nm"), "X": Quantity(-1.0, "nm")},
                {"Y": Quantity(float("nan"), "nm"), "X": Quantity(-3.0, "nm")}, notes=("a\nb\x1b[1m",))  # fmt: skip
    monkeypatch.setattr(numpy_file, "read", lambda path, inner: odd)
    image = read(tmp_path / "a.npy")
    assert dict(image.spacing) == {"Y": Quantity(4.0, "nm")}
    assert dict(image.origin) == {"X": Quantity(-3.0, "nm")}
    assert sum("left out" in note for note in image.notes) == 3
    assert all(note.isprintable() for note in image.notes)
