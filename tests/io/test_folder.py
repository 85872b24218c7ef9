"""Folders: natural order, sidecars, slices that do not fit, laziness."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Pillow

from ruska.errors import GeometryError, InputError
from ruska.image import Image, Quantity
from ruska.io import read, registry, write
from ruska.io.folder import FolderPixels, members, natural_key

STACK = np.random.default_rng(0).integers(0, 256, (12, 6, 7)).astype(np.uint8)


def fill(folder: Path) -> Path:
    for i, plane in enumerate(STACK):
        Pillow.fromarray(plane).save(folder / f"img{i}.png")
    return folder


def test_a_folder_is_a_stack_in_natural_order(tmp_path: Path) -> None:
    image = read(fill(tmp_path))
    assert (image.axes, image.shape, image.name) == ("QYX", STACK.shape, tmp_path.name)
    np.testing.assert_array_equal(image.numpy(), STACK)
    np.testing.assert_array_equal(image.data[3:11, 2:4, 1:6], STACK[3:11, 2:4, 1:6])
    assert read(tmp_path, axes="ZYX").axes == "ZYX"


@given(st.lists(st.text("ab019_", min_size=1, max_size=6), unique=True))
def test_natural_order_compares_numbers_and_never_fails(names: list[str]) -> None:
    ordered = sorted((Path(n) for n in names), key=natural_key)
    assert sorted(p.name for p in ordered) == sorted(names)
    numbered = sorted((Path(f"img{len(n)}") for n in names), key=natural_key)
    assert [len(p.name[3:]) for p in numbered] == sorted(len(p.name[3:]) for p in numbered)


def test_img2_is_before_img10() -> None:
    names = ["img10.png", "img2.png", "IMG1.png", "img02.png"]
    assert [p.name for p in sorted(map(Path, names), key=natural_key)] == [
        "IMG1.png", "img02.png", "img2.png", "img10.png"]  # fmt: skip


def test_sidecars_hidden_files_and_minorities_are_left_out(tmp_path: Path) -> None:
    fill(tmp_path)
    for name in ("Thumbs.db", "info.json", "notes.txt", "report.html", ".hidden.png", "._img1.png"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "sub.png").mkdir()
    np.save(tmp_path / "odd.npy", STACK[0])
    assert [p.name for p in members(tmp_path)] == [f"img{i}.png" for i in range(12)]
    assert any("1 NumPy" in note for note in read(tmp_path).notes)


def test_no_images_or_a_tie_are_input_errors(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="without images"):
        members(tmp_path)
    np.save(tmp_path / "a.npy", STACK[0])
    Pillow.fromarray(STACK[0]).save(tmp_path / "a.png")
    with pytest.raises(InputError, match="equally many"):
        members(tmp_path)


def test_the_slice_that_does_not_fit_is_named(tmp_path: Path) -> None:
    fill(tmp_path)
    Pillow.fromarray(STACK[0][:-1]).save(tmp_path / "img7.png")
    with pytest.raises(GeometryError, match=r"img7\.png: is 5 x 7 uint8, but img0\.png is 6 x 7 uint8"):
        read(tmp_path)
    Pillow.fromarray(STACK[0].astype(np.uint16)).save(tmp_path / "img7.png")
    with pytest.raises(GeometryError, match=r"img7\.png: is 6 x 7 uint16"):
        read(tmp_path)


def test_members_that_are_stacks_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "a1.npy", STACK[0])
    np.save(tmp_path / "a2.npy", STACK)
    with pytest.raises(GeometryError, match=r"a2\.npy: is itself a stack"):
        read(tmp_path)


def test_spacing_comes_from_the_first_and_differences_are_noted(tmp_path: Path) -> None:
    for i, size in enumerate((4.0, 4.0, 5.0)):
        write(tmp_path / f"{i}.npz", Image(STACK[i], "YX", {a: Quantity(size, "nm") for a in "YX"}))
    image = read(tmp_path)
    assert dict(image.spacing) == {a: Quantity(4.0, "nm") for a in "YX"}
    assert any("1 files, such as 2.npz" in note for note in image.notes)


def test_only_the_slices_asked_for_are_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = read(fill(tmp_path))
    assert isinstance(image.data, FolderPixels)
    opened = []
    original = registry.read_plainly
    monkeypatch.setattr(registry, "read_plainly", lambda path: opened.append(path.name) or original(path))
    for _ in range(3):
        np.testing.assert_array_equal(image.data[5:7], STACK[5:7])
    assert opened == ["img5.png", "img6.png"]


def test_a_slice_that_changes_under_way_is_an_error(tmp_path: Path) -> None:
    image = read(fill(tmp_path))
    Pillow.fromarray(STACK[0][:-1]).save(tmp_path / "img3.png")
    with pytest.raises(InputError, match="changed"):
        image.data[3:4]


def test_names_unlike_those_of_slices_and_stores_among_images(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    for name in ("cell_1.tif", "cell_2.tif"):
        write(folder / name, Image(np.zeros((3, 4), np.uint8), "YX"))
    assert not [note for note in read(folder).notes if "--batch" in note]
    write(folder / "grid.tif", Image(np.zeros((3, 4), np.uint8), "YX"))
    assert [note for note in read(folder).notes if "(cell_1.tif, grid.tif)" in note and "--batch" in note]
    write(folder / "store.ome.zarr", Image(np.zeros((3, 4), np.uint8), "YX"))
    assert [file.name for file in members(folder, every_format=True)] == [
        "cell_1.tif", "cell_2.tif", "grid.tif", "store.ome.zarr"
    ]  # fmt: skip
    assert read(folder).shape == (3, 3, 4)
