"""Ways out of an HDF5 file, on the way to every dataset that is read; files without end."""

from __future__ import annotations

import json
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from ruska.errors import InputError
from ruska.io import chunked, hdf5_links, read

SECRET = np.arange(1, 65, dtype=np.uint8).reshape(8, 8)
OTHERS = "another file|other files|a kind that only|by a pattern"


def secret_files(folder: Path) -> None:
    (folder / "secret.bin").write_bytes(SECRET.tobytes())
    with h5py.File(folder / "secret.h5", "w") as file:
        file["d"] = SECRET
        file["Metadata"] = SECRET


def stored_outside(file: Any, name: str) -> None:
    file.create_dataset(name, (8, 8), "u1", external=[(str(Path(file.filename).with_name("secret.bin")), 0, 64)])


def linked(file: Any, name: str) -> None:
    file[name] = h5py.ExternalLink("secret.h5", "/d")


def linked_by_a_group(file: Any, name: str) -> None:
    file["away"] = h5py.ExternalLink("secret.h5", "/")
    file[name] = h5py.SoftLink("/away/d")


def linked_by_soft_links(file: Any, name: str) -> None:
    linked(file, "away")
    file["s0"] = h5py.SoftLink("/away")
    for i in range(3):
        file[f"s{i + 1}"] = h5py.SoftLink(f"s{i}")
    file[name] = h5py.SoftLink("/s3")


def virtual_of(source: str, inner: str = "d") -> Callable[[Any, str], None]:
    def make(file: Any, name: str) -> None:
        # h5py turns the file's own name into ".", so the property list is made by hand
        plist, space = h5py.h5p.create(h5py.h5p.DATASET_CREATE), h5py.h5s.create_simple((8, 8))
        plist.set_layout(h5py.h5d.VIRTUAL)
        plist.set_virtual(space, source.encode(), inner.encode(), space)
        h5py.h5d.create(file.id, name.encode(), h5py.h5t.NATIVE_UINT8, space, plist)

    return make


def growing(pattern: str, file_name: str = "secret.h5") -> Callable[[Any, str], None]:
    """A virtual dataset of parts along its unlimited first axis, which the library looks for when asked for a shape."""

    def make(file: Any, name: str) -> None:
        whole = h5py.h5s.create_simple((8, 8), (h5py.h5s.UNLIMITED, 8))
        whole.select_hyperslab((0, 0), (h5py.h5s.UNLIMITED, 1), (8, 8), (8, 8))
        part = h5py.h5s.create_simple((8, 8))
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_layout(h5py.h5d.VIRTUAL)
        plist.set_virtual(whole, file_name.encode(), pattern.encode(), part)
        h5py.h5d.create(file.id, name.encode(), h5py.h5t.NATIVE_UINT8,
                        h5py.h5s.create_simple((8, 8), (h5py.h5s.UNLIMITED, 8)), plist)  # fmt: skip

    return make


WAYS: dict[str, Callable[[Any, str], None]] = {
    "external storage": stored_outside,
    "an external link": linked,
    "a group that is an external link": linked_by_a_group,
    "soft links to an external link": linked_by_soft_links,
    "a virtual dataset": virtual_of("secret.h5"),
    "a virtual dataset of a file in a folder": virtual_of("./secret.h5"),
    "a virtual dataset of its own name": virtual_of("a.h5", "there"),
    "a virtual dataset of no name": virtual_of("", "there"),
    "a pattern of files": growing("d", "secret%b.h5"),
    "a pattern of datasets": growing("there%b", "."),
}


def virtual(file: Any, name: str, source: str) -> None:
    layout = h5py.VirtualLayout((8, 8), "u1")
    layout[:] = h5py.VirtualSource(".", source, shape=(8, 8))
    file.create_virtual_dataset(name, layout)


@pytest.fixture(params=WAYS)
def leading_out(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Any, str], None]:
    secret_files(tmp_path)
    way = WAYS[request.param]

    def make(file: Any, name: str) -> None:
        file["there"] = file["there0"] = np.zeros((8, 8), np.uint8)
        way(file, name)

    return make


def refused(path: Path | str) -> None:
    with pytest.raises(InputError, match=OTHERS) as caught:
        np.asarray(read(path).data)
    assert caught.value.fix


@pytest.mark.parametrize("depth", range(4))
def test_a_dataset_is_followed_to_its_bytes(tmp_path: Path, leading_out: Any, depth: int) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        leading_out(file, "v0")
        for i in range(depth):
            virtual(file, f"v{i + 1}", f"v{i}")
    refused(f"{tmp_path}/a.h5:/v{depth}")


def test_our_mask_is_followed(tmp_path: Path, leading_out: Any) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["data"], file["ruska"] = SECRET, json.dumps({"version": 1, "axes": "YX"})
        leading_out(file, "mask")
    refused(tmp_path / "a.h5")


def test_our_image_is_followed(tmp_path: Path, leading_out: Any) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        leading_out(file, "data")
        file["ruska"] = json.dumps({"version": 1, "axes": "YX"})
    with pytest.raises(InputError):  # a link under our name is that of any file, which has several images
        read(tmp_path / "a.h5")


def test_our_record_is_followed(tmp_path: Path) -> None:
    text = json.dumps({"version": 1, "axes": "YX"}).encode()
    (tmp_path / "secret.txt").write_bytes(text)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["data"] = SECRET
        file.create_dataset("ruska", (1,), f"S{len(text)}", external=[(str(tmp_path / "secret.txt"), 0, len(text))])
    refused(tmp_path / "a.h5")


def test_velox_metadata_are_followed(tmp_path: Path, leading_out: Any) -> None:
    with h5py.File(tmp_path / "a.emd", "w") as file:
        file["Data/Image/one/Data"] = np.zeros((8, 8, 1), np.uint8)
        leading_out(file, "Data/Image/one/Metadata")
    refused(f"{tmp_path}/a.emd:/Data/Image/one/Data")
    with pytest.raises(InputError, match="no dataset 'HAADF'"):  # as the titles are looked through
        read(f"{tmp_path}/a.emd:HAADF")


def test_vectors_of_axes_are_followed(tmp_path: Path) -> None:
    secret_files(tmp_path)
    with h5py.File(tmp_path / "a.emd", "w") as file:
        file["g/data"] = SECRET
        for i in (1, 2):
            file.create_dataset(f"g/dim{i}", (8,), "f8", external=[(str(tmp_path / "secret.bin"), 0, 64)])
            file[f"g/dim{i}"].attrs["units"] = "nm"
    refused(tmp_path / "a.emd")
    with h5py.File(tmp_path / "b.emd", "w") as file:
        file["g/data"] = SECRET
        file["g/dim1"] = file["g/dim2"] = h5py.ExternalLink("secret.h5", "/d")
    assert not read(tmp_path / "b.emd").spacing


def test_nothing_outside_is_opened_by_looking_around(tmp_path: Path) -> None:
    """The listing tells shapes; of a virtual dataset that may grow, the library opens the parts to tell its own."""
    for i in range(2):
        with h5py.File(tmp_path / f"secret{i}.h5", "w") as file:
            file["d"] = SECRET
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["one"] = SECRET
        growing("d", "secret%b.h5")(file, "two")
    with h5py.File(tmp_path / "a.h5") as file:
        assert file["two"].shape == (16, 8)
    with pytest.raises(InputError, match=r"/two \(8 x 8"):
        read(tmp_path / "a.h5")
    refused(f"{tmp_path}/a.h5:/two")


def test_references_are_not_followed(tmp_path: Path) -> None:
    secret_files(tmp_path)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["data"] = SECRET
        stored_outside(file, "g/scale")
        file["g/scale"].make_scale("X")
        file["data"].dims[1].attach_scale(file["g/scale"])
        file["data"].attrs["resolution"] = file["g/scale"].ref
        file["data"].attrs["element_size_um"] = file["g/scale"].regionref[:2, :2]
    image = read(f"{tmp_path}/a.h5:/data")
    assert not image.spacing
    np.testing.assert_array_equal(image.numpy(), SECRET)


def test_links_of_a_programs_own_kind(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["odd"] = h5py.ExternalLink("secret.h5", "/d")
        file["data"] = SECRET
    data = (tmp_path / "a.h5").read_bytes()
    assert data.count(b"\1\x08\x40") == 1  # a link message: version, flags (it says its kind), kind 64
    (tmp_path / "a.h5").write_bytes(data.replace(b"\1\x08\x40", b"\1\x08\x41"))
    assert read(tmp_path / "a.h5").shape == (8, 8)
    with pytest.raises(InputError, match="a kind known only"):
        read(f"{tmp_path}/a.h5:/odd")


def test_a_forged_name_is_no_path(tmp_path: Path) -> None:
    secret_files(tmp_path)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["away"] = h5py.ExternalLink("secret.h5", "/")
        file["away_d"] = SECRET
    data = (tmp_path / "a.h5").read_bytes()
    assert data.count(b"away_d") == 1
    (tmp_path / "a.h5").write_bytes(data.replace(b"away_d", b"away/d"))
    with pytest.raises(InputError, match="no image"):
        read(tmp_path / "a.h5")


def test_virtual_datasets_of_this_file_are_read(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["g/h/part"] = SECRET
        file["hard"] = file["g/h/part"]
        file["soft"] = h5py.SoftLink("/g/h/part")
        file["deep"] = h5py.SoftLink("g/h")
        for i, name in enumerate(("g/h/part", "hard", "soft", "deep/part", "./g//h/part", "/v0")):
            virtual(file, f"v{i}", name)
        file.create_dataset("long", data=SECRET, maxshape=(None, 8))
        layout = h5py.VirtualLayout((8, 8), "u1", maxshape=(None, 8))
        layout[: h5py.h5s.UNLIMITED] = h5py.VirtualSource(".", "long", (8, 8), maxshape=(None, 8))[: h5py.h5s.UNLIMITED]
        file.create_virtual_dataset("grows", layout)
    for name in (*(f"v{i}" for i in range(6)), "grows"):
        np.testing.assert_array_equal(read(f"{tmp_path}/a.h5:/{name}").numpy(), SECRET)


def test_what_is_missing_is_not_made_up(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["group/x"] = 1
        file["dangling"] = h5py.SoftLink("/nowhere")
        for name in ("gone", "group", "dangling"):
            virtual(file, f"of {name}", name)
    for name in ("gone", "group", "dangling"):
        with pytest.raises(InputError, match=f"'{name}', which is not a dataset in it"):
            read(f"{tmp_path}/a.h5:/of {name}")


def test_a_file_that_changed_is_followed_again(tmp_path: Path) -> None:
    secret_files(tmp_path)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["data"] = np.zeros((8, 8), np.uint8)
    image = read(tmp_path / "a.h5")
    for way in (stored_outside, linked, virtual_of("secret.h5")):
        with h5py.File(tmp_path / "a.h5", "w") as file:
            way(file, "data")
        with pytest.raises(InputError, match=OTHERS):
            image.numpy()


def rows(file: Any, name: str, source: str) -> None:
    layout = h5py.VirtualLayout((8, 8), "u1")
    for i in range(8):
        layout[i] = h5py.VirtualSource(".", source, shape=(8, 8))[i]
    file.create_virtual_dataset(name, layout)


def endless(path: Path, kind: str) -> str:
    """A file in which one could look, or of which one could read, without end; the dataset to ask for."""
    with h5py.File(path, "w", libver="latest") as file:
        file["v0"] = SECRET
        if kind == "part of itself":
            virtual(file, "a", "b")
            virtual(file, "b", "a")
            return "a"
        if kind == "parts of parts":
            for i in range(7):
                rows(file, f"v{i + 1}", f"v{i}")
            return "v7"
        if kind == "a long chain":
            for i in range(300):
                virtual(file, f"v{i + 1}", f"v{i}")
            return "v300"
        if kind == "a long chain, its end first":
            layout = h5py.VirtualLayout((100, 8), "u1")
            for i in range(100):
                virtual(file, f"v{i + 1}", f"v{i}")
                layout[i] = h5py.VirtualSource(".", f"v{i + 1}", shape=(8, 8))[0]
            file.create_virtual_dataset("top", layout)
            return "top"
        if kind == "soft links round":
            file["a"], file["b"] = h5py.SoftLink("/b/b/b"), h5py.SoftLink("/a/a")
            return "a"
        group = file.create_group("g")
        group["round"] = group
        file["long"] = h5py.SoftLink("/g/" + "round/" * 5000 + "round")
        return "long"


@pytest.mark.parametrize("kind", ["part of itself", "parts of parts", "a long chain", "a long chain, its end first",
                                  "soft links round", "a long way"])  # fmt: skip
def test_no_dataset_is_followed_without_end(tmp_path: Path, kind: str) -> None:
    name, start = endless(tmp_path / "a.h5", kind), time.perf_counter()
    with pytest.raises(InputError, match=r"itself|parts|deep|names"):
        read(f"{tmp_path}/a.h5:/{name}")
    assert time.perf_counter() - start < 5


def test_looking_for_images_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with h5py.File(tmp_path / "round.h5", "w") as file:
        file["g/h/data"] = SECRET
        file["g/h/up"] = file["g"]
        file["twice"] = file["g/h/data"]
    assert read(tmp_path / "round.h5").shape == (8, 8)  # once, by whatever name
    with h5py.File(tmp_path / "deep.h5", "w", libver="latest") as file:
        file["data"] = SECRET
        group = file
        for _ in range(2000):
            group = group.create_group("a")
    with pytest.raises(InputError, match="nested more than"):
        read(tmp_path / "deep.h5")
    with h5py.File(tmp_path / "many.h5", "w", libver="latest") as file:
        file["data"] = SECRET
        for i in range(300):
            file[f"g/{i}"] = h5py.SoftLink("/data")
            file.create_group(f"h{i // 30}/{i}")
    assert read(tmp_path / "many.h5").shape == (8, 8)
    monkeypatch.setattr(hdf5_links, "MOST_OBJECTS", 200)
    for name in ("/g", "/"):
        with pytest.raises(InputError, match="more than 200 objects"):
            read(f"{tmp_path}/many.h5:{name}")
    assert read(f"{tmp_path}/many.h5:/data").shape == (8, 8)


def test_parts_are_unpacked_within_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A chunk that holds more than a chunk can is told also where it is read as a part."""
    monkeypatch.setattr(chunked, "LARGEST_CHUNK", 1 << 20)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        part = file.create_dataset("part", (8, 8), "u1", chunks=(8, 8), compression="gzip")
        part.id.write_direct_chunk((0, 0), zlib.compress(bytes(1 << 22)))
        virtual(file, "data", "part")
    with pytest.raises(InputError, match=r"chunk at .* cannot be unpacked"):
        read(f"{tmp_path}/a.h5:/data")
