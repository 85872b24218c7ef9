"""OME-Zarr by its address, from a server that is started here."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

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
    with pytest.raises(InputError, match="no Zarr store at this address"):
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
