"""``s3://`` against a server of S3 that runs here (needs ``pip install s3fs 'moto[server]'``)."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from ruska.errors import InputError
from ruska.image import Image, Quantity
from ruska.io import read, write

pytest.importorskip("s3fs", reason="needs the extra 's3'")
moto_server = pytest.importorskip("moto.server", reason="needs moto[server], a server of S3")
pytestmark = pytest.mark.filterwarnings("ignore")  # of other people's packages

VOLUME = np.arange(5 * 60 * 70, dtype=np.uint16).reshape(5, 60, 70)
KEYS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1"}


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder whose files are in the bucket ``s3://specimens``."""
    import boto3

    folder = tmp_path_factory.mktemp("bucket")
    write(folder / "new.ome.zarr", Image(VOLUME, "ZYX", {a: Quantity(4.0, "nm") for a in "ZYX"}))
    write(folder / "old.ome.zarr", Image(VOLUME, "ZYX"), version="0.4")
    with zipfile.ZipFile(Path(__file__).with_name("stores_by_tensorstore.zip")) as archive:
        archive.extractall(folder)
    server = moto_server.ThreadedMotoServer(port=0, verbose=False)
    server.start()
    with pytest.MonkeyPatch.context() as patch:
        address = f"http://127.0.0.1:{server.get_host_and_port()[1]}"
        for name, value in {**KEYS, "AWS_ENDPOINT_URL": address}.items():
            patch.setenv(name, value)
        client = boto3.client("s3", endpoint_url=address)
        client.create_bucket(Bucket="specimens")
        for file in folder.rglob("*"):
            if file.is_file():
                client.upload_file(str(file), "specimens", file.relative_to(folder).as_posix())
        yield folder
    server.stop()


@pytest.mark.parametrize("name", ["new.ome.zarr", "old.ome.zarr", "murmur.precomputed", "gzip.n5"])
def test_stores_in_a_bucket_read_like_those_on_disk(bucket: Path, name: str) -> None:
    there, here = read(f"s3://specimens/{name}"), read(bucket / name)
    assert (there.axes, there.shape, dict(there.spacing)) == (here.axes, here.shape, dict(here.spacing))
    np.testing.assert_array_equal(there.numpy(), here.numpy())


@pytest.mark.parametrize("address", ["s3://specimens/none.ome.zarr", "s3://no-such-bucket/a.ome.zarr"])
def test_what_is_not_there_says_so(bucket: Path, address: str) -> None:
    with pytest.raises(InputError, match="no store at this address"):
        read(address)


def test_without_keys_the_environment_is_named(bucket: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in KEYS:
        monkeypatch.delenv(name)
    with pytest.raises(InputError, match="AWS_ACCESS_KEY_ID"):
        read("s3://specimens/new.ome.zarr")
