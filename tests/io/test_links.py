"""Links in stores and folders: those that lead out are refused, for every file and folder in every kind of store."""

from __future__ import annotations

import json
import os
import shutil
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from PIL import Image as Pillow

from ruska.errors import InputError
from ruska.image import Image
from ruska.io import read, write
from ruska.io.links import FOLLOW, Bounds

NESTED = {"name": "v2", "separator": "/"}
VALUES = np.random.default_rng(0).integers(1, 255, (4, 6, 5)).astype(np.uint8)


def zarr_array(path: Path, **options: Any) -> None:
    zarr.create_array(str(path), data=VALUES, chunks=(2, 6, 5), compressors=None, **options)


def zarr_group(path: Path) -> None:
    group = zarr.open_group(str(path), mode="w", zarr_format=3)
    group.create_array("s0", data=VALUES, chunks=(4, 6, 5))
    levels = [{"path": "s0", "coordinateTransformations": [{"type": "scale", "scale": [1, 1, 1]}]}]
    axes = [{"name": a, "type": "space", "unit": "nanometer"} for a in "zyx"]
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": levels}]}


def ours(path: Path) -> None:
    write(path, Image(VALUES, "ZYX", mask=VALUES > 3))


def n5(path: Path) -> None:
    (path / "em/s0/0/0").mkdir(parents=True)
    (path / "attributes.json").write_text('{"n5": "2.0.0"}')
    about = {"dimensions": [5, 6, 4], "blockSize": [5, 6, 4], "dataType": "uint8", "compression": {"type": "raw"}}
    (path / "em/s0/attributes.json").write_text(json.dumps(about))
    head = b"\0\0\0\3" + b"".join(n.to_bytes(4, "big") for n in (5, 6, 4))
    (path / "em/s0/0/0/0").write_bytes(head + VALUES.tobytes())


def precomputed(path: Path, **scale: Any) -> None:
    about = {"key": "a/b", "size": [5, 6, 4], "resolution": [4, 4, 4], "chunk_sizes": [[5, 6, 4]], "encoding": "raw"}
    (path / "a/b").mkdir(parents=True)
    info = {"data_type": "uint8", "num_channels": 1, "scales": [about | scale]}
    (path / "info").write_text(json.dumps(info))
    (path / "a/b/0-5_0-6_0-4").write_bytes(VALUES.tobytes())


def precomputed_in_shards(path: Path) -> None:
    precomputed(path, sharding={"hash": "identity", "preshift_bits": 0, "minishard_bits": 0, "shard_bits": 0})
    (path / "a/b/0-5_0-6_0-4").unlink()
    index = np.array([0, 0, VALUES.size], "<u8").tobytes()
    ends = np.array([VALUES.size, VALUES.size + len(index)], "<u8").tobytes()
    (path / "a/b/0.shard").write_bytes(ends + VALUES.tobytes() + index)


def slices(path: Path) -> None:
    path.mkdir()
    for i, plane in enumerate(VALUES):
        Pillow.fromarray(plane).save(path / f"{i}.png")


STORES: dict[str, tuple[str, Callable[[Path], None]]] = {
    "Zarr 2": ("a.zarr", lambda p: zarr_array(p, zarr_format=2)),
    "Zarr 2, nested": ("a.zarr", lambda p: zarr_array(p, zarr_format=2, chunk_key_encoding=NESTED)),
    "Zarr 3": ("a.zarr", lambda p: zarr_array(p, zarr_format=3)),
    "Zarr 3 in shards": ("a.zarr", lambda p: zarr_array(p, zarr_format=3, shards=(4, 6, 5))),
    "OME-Zarr": ("a.ome.zarr", zarr_group),
    "OME-Zarr of ours": ("a.ome.zarr", ours),
    "N5": ("a.n5", n5),
    "precomputed": ("a.precomputed", precomputed),
    "precomputed in shards": ("a.precomputed", precomputed_in_shards),
    "slices": ("slices", slices),
}  # fmt: skip


def pixels(path: Path | str) -> np.ndarray:
    image = read(path)
    if image.mask is not None:
        np.testing.assert_array_equal(np.asarray(image.mask), VALUES > 3)
    return image.numpy()


def link(place: Path, target: Path | str) -> None:
    try:
        place.symlink_to(target, target_is_directory=Path(place.parent, target).is_dir())
    except (OSError, NotImplementedError) as error:  # Windows, without the right to make them
        pytest.skip(f"links cannot be made here ({error})")


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    name, make = STORES[request.param]
    make(tmp_path / name)
    np.testing.assert_array_equal(pixels(tmp_path / name), VALUES)
    return tmp_path / name


def parts(store: Path) -> list[Path]:
    return sorted(store.rglob("*"), reverse=True)


def test_whatever_leads_out_is_refused_and_can_be_allowed(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outside = store.parent / "outside"
    for part in parts(store):
        part.rename(outside)
        link(part, outside)
        with pytest.raises(InputError, match=r"is a link that points outside .*outside") as caught:
            pixels(store)
        assert str(part) in str(caught.value)
        assert FOLLOW in caught.value.fix
        with monkeypatch.context() as patch:
            patch.setenv(FOLLOW, "1")
            np.testing.assert_array_equal(pixels(store), VALUES)
            patch.setenv(FOLLOW, "0")
            with pytest.raises(InputError, match="points outside"):
                pixels(store)
        part.unlink()
        outside.rename(part)


def test_links_that_stay_are_followed(store: Path) -> None:
    kept = store / ".kept"
    kept.mkdir()
    image = f"{store}:/em/s0" if store.suffix == ".n5" else store  # which is found in both places otherwise
    for i, part in enumerate(p for p in parts(store) if p != kept):
        part.rename(kept / str(i))
        relative = Path(os.path.relpath(kept / str(i), part.parent))
        link(part, relative if i % 2 else kept / str(i))
        np.testing.assert_array_equal(pixels(image), VALUES)
        part.unlink()
        (kept / str(i)).rename(part)


def test_the_store_itself_may_be_reached_through_links(store: Path) -> None:
    link(store.parent / "way", ".")
    alias = store.parent / f"alias_{store.name}"
    link(alias, store.parent / "way" / store.name)
    np.testing.assert_array_equal(pixels(alias), VALUES)


def test_a_link_by_way_of_another_is_refused(store: Path) -> None:
    part = next(p for p in parts(store) if p.is_file())
    part.rename(store.parent / "outside")
    link(store / ".hop", "../outside")
    link(part, Path(os.path.relpath(store / ".hop", part.parent)))
    with pytest.raises(InputError, match="points outside"):
        pixels(store)


def test_a_sibling_of_a_similar_name_is_outside(store: Path) -> None:
    part = next(p for p in parts(store) if p.is_file())
    sibling = store.with_name(f"{store.name}_2")
    sibling.mkdir()
    part.rename(sibling / "x")
    link(part, sibling / "x")
    with pytest.raises(InputError, match="points outside"):
        pixels(store)


def test_a_link_to_nothing_is_no_missing_piece(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for part in (p for p in parts(store) if p.is_file()):
        data = part.read_bytes()
        part.unlink()
        for target in (store / ".gone", part):
            link(part, target)
            with pytest.raises(InputError):
                pixels(store)
            part.unlink()
        link(part, store.parent / "gone")
        monkeypatch.setenv(FOLLOW, "1")
        with pytest.raises(InputError):
            pixels(store)
        monkeypatch.delenv(FOLLOW)
        part.unlink()
        part.write_bytes(data)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
@pytest.mark.parametrize("linked", [False, True])
def test_pipes_are_never_waited_for(store: Path, linked: bool) -> None:
    for i, original in enumerate(p for p in parts(store) if p.is_file()):
        # A store of its own for each: where one chunk is refused, Zarr's threads may still be reading the others.
        copy = store.parent / str(i) / store.name
        shutil.copytree(store, copy)
        part = copy / original.relative_to(store)
        pipe = copy / ".pipe" if linked else part
        part.unlink()
        os.mkfifo(pipe)
        if linked:
            link(part, pipe)
        failed: list[BaseException] = []
        reader = threading.Thread(target=attempt, args=(copy, failed), daemon=True)
        reader.start()
        reader.join(20)
        hangs = reader.is_alive()
        if hangs:  # let it go
            os.close(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))
            reader.join(10)
        assert not hangs, part
        assert len(failed) == (store.name != "slices"), part  # a folder has the other slices only


def attempt(store: Path, failed: list[BaseException]) -> None:
    try:
        pixels(store)
    except InputError as error:
        failed.append(error)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
@pytest.mark.parametrize("name", ["a.tif", "a.h5", "a.zarr", "plain"])
def test_a_pipe_is_no_image(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(InputError, match="pipe"):
        read(tmp_path / name)


def other_store(folder: Path) -> Path:
    zarr_array(folder / "other.zarr" / "0", zarr_format=3)
    return folder / "other.zarr"


NAMES = ["../other.zarr/0", "x/../../other.zarr/0", "..\\other.zarr\\0", "{0}/0", "file://{0}/0", "http://localhost/0",
         "/../other.zarr/0", "./../other.zarr/0"]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_names_in_metadata_do_not_lead_out(tmp_path: Path, name: str) -> None:
    name = name.format(other_store(tmp_path).as_posix())
    for version, about in ((3, lambda m: {"ome": {"version": "0.5", "multiscales": m}}),
                           (2, lambda m: {"multiscales": m})):  # fmt: skip
        group = zarr.open_group(str(tmp_path / f"{version}.zarr"), mode="w", zarr_format=version)
        group.attrs.update(about([{"axes": [{"name": a} for a in "zyx"], "datasets": [{"path": name}]}]))
        with pytest.raises(InputError, match="finest level cannot be opened"):
            read(tmp_path / f"{version}.zarr")
    precomputed(tmp_path / "a.precomputed", key=name)
    with pytest.raises(InputError, match="points outside"):
        read(tmp_path / "a.precomputed")
    n5(tmp_path / "a.n5")
    for suffix in ("n5", "3.zarr", "2.zarr"):
        with pytest.raises(InputError):
            read(f"{tmp_path}/{'a.' * (suffix == 'n5')}{suffix}:{name}")


@pytest.mark.filterwarnings("ignore:Consolidated metadata")
@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("links_allowed", ["0", "1"])
def test_consolidated_metadata_do_not_lead_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: int, links_allowed: str
) -> None:
    """Also where links are allowed: that does not allow names."""
    monkeypatch.setenv(FOLLOW, links_allowed)
    zarr_array(tmp_path / "secret", zarr_format=version)
    group = zarr.open_group(str(tmp_path / "a.zarr"), mode="w", zarr_format=version)
    group.create_array("there", data=VALUES, chunks=(2, 6, 5), compressors=None)
    zarr.consolidate_metadata(str(tmp_path / "a.zarr"))
    shutil.rmtree(tmp_path / "a.zarr" / "there")
    file = tmp_path / "a.zarr" / ("zarr.json" if version == 3 else ".zmetadata")
    file.write_text(file.read_text().replace('"there', '"../secret'))
    with pytest.raises(InputError):
        pixels(tmp_path / "a.zarr")


@pytest.mark.parametrize("name", ["../x", "a/../../x", "..\\x", "/etc/x", ".."])
@pytest.mark.parametrize("links_allowed", ["0", "1"])
def test_no_name_leads_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, links_allowed: str) -> None:
    monkeypatch.setenv(FOLLOW, links_allowed)
    with pytest.raises(InputError, match="outside of it"):
        Bounds(tmp_path).check(name)
    Bounds(tmp_path).check("a..b/..c")


def test_members_of_archives_stay_in_them(tmp_path: Path) -> None:
    """A member that says it is a link is its text, and a name that leads out names nothing on the disk."""
    zarr_array(tmp_path / "a.zarr", zarr_format=3)
    other_store(tmp_path)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for file in sorted((tmp_path / "a.zarr").rglob("*")):
            if file.name == "zarr.json":
                archive.write(file, file.relative_to(tmp_path).as_posix())
            elif file.is_file():
                member = zipfile.ZipInfo(file.relative_to(tmp_path).as_posix())
                member.external_attr = 0o120777 << 16  # a symbolic link, as Info-ZIP keeps it
                archive.writestr(member, "../target")  # shorter than any chunk
    with pytest.raises(InputError, match="cannot be read at"):
        pixels(tmp_path / "a.zip")
    (tmp_path / "in").mkdir()
    Pillow.fromarray(VALUES[0]).save(tmp_path / "in" / "p.png")
    with zipfile.ZipFile(tmp_path / "in" / "b.zip", "w") as archive:
        archive.write(tmp_path / "in" / "p.png", "../../escaped.png")
    np.testing.assert_array_equal(pixels(tmp_path / "in" / "b.zip"), VALUES[0])
    assert not list(tmp_path.rglob("escaped.png"))


def test_a_folder_of_an_n5_container_is_listed_once(tmp_path: Path) -> None:
    n5(tmp_path / "a.n5")
    link(tmp_path / "a.n5" / "latest", "em")
    link(tmp_path / "a.n5" / "em" / "up", "..")
    np.testing.assert_array_equal(pixels(tmp_path / "a.n5"), VALUES)
    np.testing.assert_array_equal(pixels(f"{tmp_path}/a.n5:/latest"), VALUES)


def test_a_batch_is_not_led_out_either(tmp_path: Path) -> None:
    from ruska.io.folder import members

    slices(tmp_path / "slices")
    shutil.copy(tmp_path / "slices" / "0.png", tmp_path / "secret.png")
    link(tmp_path / "slices" / "x.png", "../secret.png")
    with pytest.raises(InputError, match="points outside"):
        members(tmp_path / "slices", every_format=True)


def test_one_look_at_each_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many chunks in few folders each is looked at once, and each folder asked once where it leads."""
    looks: list[str] = []
    bounds = Bounds(tmp_path)
    (tmp_path / "c" / "0").mkdir(parents=True)
    (tmp_path / "c" / "0" / "1").write_bytes(b"x")
    bounds.check("c/0/1")
    for name in ("lstat", "stat", "readlink"):
        monkeypatch.setattr(os, name, counting(getattr(os, name), looks))
    for _ in range(10):
        bounds.check("c/0/1")
        bounds.check("c/0/2")
    monkeypatch.undo()
    assert len(looks) == 20


def counting(real: Callable[..., Any], calls: list[Any]) -> Callable[..., Any]:
    def call(path: Any, *rest: Any, **named: Any) -> Any:
        calls.append(path)
        return real(path, *rest, **named)

    return call
