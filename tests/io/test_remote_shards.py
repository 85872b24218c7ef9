"""Sharded stores on a server that knows byte ranges: how often it is asked, and for what."""

from __future__ import annotations

import pickle
import shutil
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ruska.errors import InputError
from ruska.image import Image, Quantity
from ruska.io import read, write

pytest.importorskip("aiohttp", reason="needs the extra 'remote'")
VOLUME = np.random.default_rng(0).integers(0, 4000, (64, 256, 256)).astype(np.uint16)


class Ranges(SimpleHTTPRequestHandler):
    asked: list[tuple[str, str]] = []  # noqa: RUF012  # of all requests, on purpose

    def do_GET(self) -> None:
        wanted, file = self.headers.get("Range"), Path(self.translate_path(self.path))
        self.asked.append((self.path, wanted or ""))
        if not file.is_file() and self.path.startswith("/private/"):
            return self.send_error(403)  # S3, where a bucket may be read and not listed
        if wanted is None or not file.is_file():
            return super().do_GET()
        data = file.read_bytes()
        first, last = wanted.removeprefix("bytes=").split("-")
        start = int(first) if first else max(0, len(data) - int(last))
        part = data[start : int(last) + 1 if first and last else None]
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {start}-{start + len(part) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        self.wfile.write(part)
        return None

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    folder = tmp_path_factory.mktemp("served")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Ranges, directory=str(folder))) as running:
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}", folder
        running.shutdown()
        thread.join()


def test_the_index_of_a_zarr_shard_is_asked_for_once(server: tuple[str, Path]) -> None:
    address, folder = server
    write(folder / "a.ome.zarr", Image(VOLUME, "ZYX", {a: Quantity(4.0, "nm") for a in "ZYX"}))
    image = read(f"{address}/a.ome.zarr")
    assert image.data.chunks == (32, 128, 128)  # type: ignore[union-attr]
    Ranges.asked.clear()
    for z, y, x in np.ndindex(2, 2, 2):
        box = (slice(32 * z, 32 * z + 32), slice(128 * y, 128 * y + 128), slice(128 * x, 128 * x + 128))
        np.testing.assert_array_equal(image.data[box], VOLUME[box])
    assert len(Ranges.asked) == len(set(Ranges.asked)) == 8 + 1
    np.testing.assert_array_equal(image.numpy(), VOLUME)


@pytest.mark.parametrize("name", ["murmur.precomputed", "identity.precomputed"])
def test_nothing_of_a_precomputed_shard_is_asked_for_twice(server: tuple[str, Path], name: str) -> None:
    address, folder = server
    with zipfile.ZipFile(Path(__file__).with_name("stores_by_tensorstore.zip")) as archive:
        archive.extractall(folder)
    image = read(f"{address}/{name}")
    Ranges.asked.clear()
    whole = image.numpy()
    assert len(Ranges.asked) == len(set(Ranges.asked))
    count = len(Ranges.asked)
    np.testing.assert_array_equal(image.data[2:7, 5:9, 3:17], whole[2:7, 5:9, 3:17])
    assert image.data.chunks == (4, 8, 8)  # type: ignore[union-attr]
    assert len(Ranges.asked) - count == 2 * 2 * 3  # chunks that the box touches, and no index
    np.testing.assert_array_equal(read(folder / name).numpy(), whole)


def test_an_opened_volume_goes_to_another_process(server: tuple[str, Path]) -> None:
    with zipfile.ZipFile(Path(__file__).with_name("stores_by_tensorstore.zip")) as archive:
        archive.extractall(server[1] / "again")
    image = read(server[1] / "again" / "murmur.precomputed")
    whole = image.numpy()
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(image.data))[:], whole)


@pytest.mark.parametrize("version", ["0.5", "0.4"])
def test_what_is_missing_may_be_refused(server: tuple[str, Path], version: str) -> None:
    address, folder = server
    name = f"private/{version}.ome.zarr"
    (folder / "private").mkdir(exist_ok=True)
    write(folder / name, Image(VOLUME[:2], "ZYX"), version=version)
    np.testing.assert_array_equal(read(f"{address}/{name}").numpy(), VOLUME[:2])
    with pytest.raises(InputError, match="refuses access"):
        read(f"{address}/private/none.ome.zarr")
    image = read(f"{address}/{name}")
    shutil.rmtree(folder / name)
    with pytest.raises(InputError, match="cannot be read"):  # and not as zeros
        image.numpy()


def test_volumes_and_containers_that_may_not_be_listed(server: tuple[str, Path]) -> None:
    address, folder = server
    with zipfile.ZipFile(Path(__file__).with_name("stores_by_tensorstore.zip")) as archive:
        archive.extractall(folder / "private")
    for name in ("murmur.precomputed", "plain.precomputed", "gzip.n5"):
        image = read(f"{address}/private/{name}")
        np.testing.assert_array_equal(image.numpy(), read(folder / "private" / name).numpy())
        shutil.rmtree(folder / "private" / name)
        with pytest.raises(InputError):  # and not zeros
            image.data[:1]
