"""OME-Zarr by its address, from a server that is started here."""

from __future__ import annotations

import json
import shutil
import socket
import sys
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from ruska.errors import InputError, MissingExtraError, OutputError
from ruska.image import Image, Quantity
from ruska.io import check_output, is_url, read, remote, write
from ruska.io.digest import digest_image

pytest.importorskip("aiohttp", reason="needs the extra 'remote'")
VOLUME = np.arange(4 * 50 * 60, dtype=np.uint16).reshape(4, 50, 60)
SPACING = {"Z": Quantity(40.0, "nm"), "Y": Quantity(4.0, "nm"), "X": Quantity(4.0, "nm")}


class Quiet(SimpleHTTPRequestHandler):
    asked: list[str] = []  # noqa: RUF012  # of all requests, on purpose

    def do_GET(self) -> None:
        self.asked.append(self.path)
        super().do_GET()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    folder = tmp_path_factory.mktemp("served")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as running:
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}", folder
        running.shutdown()
        thread.join()


@pytest.mark.parametrize("version", ["0.5", "0.4"])
def test_a_store_on_a_server_reads_like_the_one_on_disk(server: tuple[str, Path], version: str) -> None:
    address, folder = server
    name = f"a{version}.ome.zarr"
    write(folder / name, Image(VOLUME, "ZYX", SPACING), version=version, chunks=(1, 25, 30))
    image = read(f"{address}/{name}")
    assert (image.axes, image.shape, image.dtype, dict(image.spacing)) == ("ZYX", VOLUME.shape, VOLUME.dtype, SPACING)
    assert (image.path, image.name) == (None, f"{address}/{name}")
    Quiet.asked.clear()
    np.testing.assert_array_equal(image.data[2:3, 3:9, 31:35], VOLUME[2:3, 3:9, 31:35])
    assert len([path for path in Quiet.asked if "/0/" in path and not path.endswith((".json", ".zarray"))]) == 1
    np.testing.assert_array_equal(image.numpy(), VOLUME)
    np.testing.assert_array_equal(read(f"{address}/{name}:/0").numpy(), VOLUME)
    np.testing.assert_array_equal(read(f"{address}/{name}/?x=1", axes="QYX").numpy(), VOLUME)


def test_its_digest_needs_no_download(server: tuple[str, Path]) -> None:
    address, folder = server
    write(folder / "b.ome.zarr", Image(VOLUME, "ZYX", SPACING))
    image = read(f"{address}/b.ome.zarr")
    Quiet.asked.clear()
    assert digest_image(image) == digest_image(read(f"{address}/b.ome.zarr"))
    assert not [path for path in Quiet.asked if "/c/" in path]
    assert digest_image(image).startswith("sha256-address:")


def test_wrong_addresses_say_what_to_check(server: tuple[str, Path]) -> None:
    address, folder = server
    (folder / "empty.zarr").mkdir()
    for wrong in (f"{address}/none.zarr", f"{address}/empty.zarr", "http://127.0.0.1:1/a.zarr", "ftp://x/a.zarr"):
        with pytest.raises(InputError) as caught:
            read(wrong)
        assert caught.value.fix
        assert "Traceback" not in str(caught.value)
        assert caught.value.subject.startswith(wrong[:10])
    with pytest.raises(InputError, match="no store at this address"):
        read(f"{address}/none.zarr")


def test_a_truncated_blosc_chunk_is_refused(server: tuple[str, Path]) -> None:
    address, folder = server
    write(folder / "c.zarr", Image(VOLUME, "ZYX", SPACING), version="0.4", chunks=(4, 50, 60))
    chunk = next(p for p in (folder / "c.zarr" / "0").rglob("*") if p.is_file() and p.name == "0")
    chunk.write_bytes(chunk.read_bytes()[:-40])
    image = read(f"{address}/c.zarr")
    with pytest.raises(InputError, match="damaged"):
        image.numpy()


def test_passwords_are_not_shown() -> None:
    assert remote._shown("https://me:secret@example.org/a.zarr") == "https://example.org/a.zarr"


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for scheme, package in (("https", "aiohttp"), ("s3", "s3fs")):
        monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(MissingExtraError, match=package):
            read(f"{scheme}://example.org/a.zarr")


def test_addresses_are_told_from_files() -> None:
    assert is_url("https://example.org/a.zarr")
    assert is_url("s3://bucket/a.zarr")
    assert not is_url("C:/data/a.zarr")
    assert not is_url(Path("/data/a.zarr"))


def test_nothing_is_written_to_an_address() -> None:
    with pytest.raises(OutputError, match="address"):
        check_output("https://example.org/a.zarr")


@pytest.fixture(scope="module")
def tensorstore_files(server: tuple[str, Path]) -> str:
    """Containers and volumes of another program on the server; see `test_n5`."""
    address, folder = server
    with zipfile.ZipFile(Path(__file__).with_name("stores_by_tensorstore.zip")) as archive:
        archive.extractall(folder / "stores")
    return f"{address}/stores"


@pytest.mark.parametrize(
    "name", ["plain.precomputed", "murmur.precomputed", "png.precomputed", "gzip.n5", "blosc.n5", "raw.n5"]
)
def test_n5_and_precomputed_read_like_those_on_disk(
    server: tuple[str, Path], tensorstore_files: str, name: str
) -> None:
    _, folder = server
    there, here = read(f"{tensorstore_files}/{name}"), read(folder / "stores" / name)
    assert (there.axes, there.shape, there.dtype) == (here.axes, here.shape, here.dtype)
    assert (dict(there.spacing), dict(there.origin)) == (dict(here.spacing), dict(here.origin))
    assert there.name == f"{tensorstore_files}/{name}"
    assert digest_image(there).startswith("sha256-address:")
    np.testing.assert_array_equal(there.numpy(), here.numpy())
    np.testing.assert_array_equal(there.data[2:7, 5:9, 3:17], here.data[2:7, 5:9, 3:17])


def test_only_the_chunks_that_are_used_are_downloaded(tensorstore_files: str) -> None:
    image = read(f"{tensorstore_files}/plain.precomputed")
    Quiet.asked.clear()
    image.data[0:1, 0:1, 0:1]
    assert len(Quiet.asked) == 1


def test_an_n5_dataset_of_a_container_is_named(server: tuple[str, Path], tensorstore_files: str) -> None:
    """A server does not list folders, but the finest level of a group is known by its name."""
    address, folder = server
    (folder / "c.n5" / "em").mkdir(parents=True)
    shutil.copytree(folder / "stores" / "raw.n5", folder / "c.n5" / "em" / "s0")
    said = {"pixelResolution": {"dimensions": [4.0, 4.0, 40.0], "unit": "nm"}}
    (folder / "c.n5" / "em" / "attributes.json").write_text(json.dumps(said))
    whole = read(folder / "stores" / "raw.n5").numpy()
    for name in ("c.n5/em", "c.n5/em/s0", "c.n5:/em", "c.n5:/em/s0"):
        image = read(f"{address}/{name}")
        np.testing.assert_array_equal(image.numpy(), whole)
        assert image.voxel_size_nm["Z"] == read(folder / "c.n5").voxel_size_nm["Z"]
    with pytest.raises(InputError, match="holds no dataset"):
        read(f"{address}/c.n5")
    with pytest.raises(InputError, match="points outside"):
        read(f"{address}/c.n5:../stores/raw.n5")


def test_a_server_that_is_lost_gives_no_zeros(tensorstore_files: str, server: tuple[str, Path]) -> None:
    _, folder = server
    shutil.copytree(folder / "stores" / "raw.n5", folder / "lost.n5")
    image = read(f"{server[0]}/lost.n5")
    shutil.rmtree(folder / "lost.n5")
    with pytest.raises(InputError, match="can no longer be read"):
        image.numpy()


def test_volumes_on_a_server_cannot_lead_elsewhere(server: tuple[str, Path]) -> None:
    address, folder = server
    (folder / "v").mkdir()
    scale = {"key": "../a", "size": [4, 4, 4], "resolution": [4, 4, 4], "chunk_sizes": [[4, 4, 4]], "encoding": "raw"}
    (folder / "v" / "info").write_text(json.dumps({"data_type": "uint8", "scales": [scale]}))
    with pytest.raises(InputError, match="points outside the store"):
        read(f"{address}/v")


class Leading(SimpleHTTPRequestHandler):
    """Sends everyone on, to ``target`` and the same path."""

    target = ""

    def do_GET(self) -> None:
        self.send_response(302)
        self.send_header("Location", self.target + self.path)
        self.end_headers()

    do_HEAD = do_GET  # noqa: N815  # its name is that of the request

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def leading() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Leading) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("https://10.0.0.1", "address in a private network"),
        ("http://169.254.169.254", "address in a private network"),
        ("https://[::ffff:10.0.0.1]", "address in a private network"),
        ("https://167772161", "address in a private network"),
        ("https://0xa.1", "address in a private network"),
        ("https://inside.example.org", "address in a private network"),
        ("ftp://127.0.0.1", "not https://"),
        ("http://me:s3cret@127.0.0.1", "a user name"),
        ("", "TooManyRedirects"),
    ],
)
def test_a_server_does_not_lead_into_a_network(
    leading: str, target: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = socket.getaddrinfo

    def look(host: Any, *rest: Any, **options: Any) -> Any:
        return real("10.0.0.1" if host == "inside.example.org" else host, *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", look)
    monkeypatch.setattr(Leading, "target", target)
    with pytest.raises(InputError, match=said) as caught:
        read(f"{leading}/a.zarr")
    assert "s3cret" not in str(caught.value)


def test_a_server_may_lead_to_another_like_it(
    leading: str, server: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    address, folder = server
    write(folder / "d.ome.zarr", Image(VOLUME, "ZYX", SPACING))
    monkeypatch.setattr(Leading, "target", address)
    np.testing.assert_array_equal(read(f"{leading}/d.ome.zarr").numpy(), VOLUME)


def test_a_store_on_a_server_without_its_chunks(server: tuple[str, Path], tensorstore_files: str) -> None:
    address, folder = server
    for name, metadata in (
        ("raw.n5", "attributes.json"),
        ("plain.precomputed", "info"),
        ("murmur.precomputed", "info"),
    ):
        (folder / "bare" / name).mkdir(parents=True)
        shutil.copy(folder / "stores" / name / metadata, folder / "bare" / name)
        with pytest.raises(InputError, match="none of the chunks"):
            read(f"{address}/bare/{name}")
    array = zarr.create_array(str(folder / "bare" / "v.zarr"), shape=(4, 50, 60), chunks=(1, 25, 30), dtype="u1")
    with pytest.raises(InputError, match="none of the chunks"):
        read(f"{address}/bare/v.zarr")
    array[3, 49, 59] = 7  # the last of its chunks alone
    assert read(f"{address}/bare/v.zarr").numpy().sum() == 7
    head = folder / "bare" / "raw.n5" / "attributes.json"
    head.write_text(json.dumps({**json.loads(head.read_text()), "dimensions": [2000, 1700, 900]}))
    Quiet.asked.clear()
    image = read(f"{address}/bare/raw.n5")
    assert any("none of the 128 chunks" in note for note in image.notes)
    assert 128 <= len(Quiet.asked) < 150
