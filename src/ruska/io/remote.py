"""OME-Zarr on a server, by its address: ``https://`` and ``s3://``, read lazily through fsspec.

Nothing is downloaded but metadata and the chunks that are used. ``header["remote"]`` keeps the address and a digest
of the metadata, which identify the input in the run record.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ruska.errors import InputError, MissingExtraError, RuskaError

if TYPE_CHECKING:
    from ruska.image import Image

_PACKAGES = {"http": "aiohttp", "https": "aiohttp", "s3": "s3fs"}
_SECONDS = 60.0
_WAY_OUT = "Check the address and the network; it must be that of the store itself (…/name.zarr)."


def read(address: str, inner: str | None) -> Image:
    """Open an OME-Zarr image or array of a server.

    Raises InputError when the address leads to no store, MissingExtraError without the extra ``remote`` (or ``s3``).
    """
    from ruska.io.checked_store import CheckedStore
    from ruska.io.zarr_read import read_store

    parts = urlsplit(address)
    if parts.scheme.lower() not in _PACKAGES:
        raise InputError(
            address, f"{parts.scheme}:// is no address Ruska reads", "It reads https://, http:// and s3://."
        )
    address = parts._replace(query="", fragment="").geturl().rstrip("/")
    store = CheckedStore(_store(address, parts.scheme.lower()))
    try:
        image = read_store(_shown(address), store, inner)
    except InputError as error:
        if "cannot be opened as Zarr" in error.problem:
            nothing = "NotFound" in error.problem
            problem = "there is no Zarr store at this address" if nothing else error.problem
            raise InputError(error.subject, problem, _WAY_OUT) from error
        raise
    except RuskaError:
        raise
    except Exception as error:  # servers and their libraries fail in many ways
        first = (str(error).splitlines() or [""])[0][:150]
        raise InputError(_shown(address), f"cannot be read ({type(error).__name__}: {first})", _WAY_OUT) from error
    return replace(image, name=_shown(address) if inner is None else f"{_shown(address)}:{inner}",
                   header={**image.header, "remote": _identity(address, image)})  # fmt: skip


def _store(address: str, scheme: str) -> Any:
    from zarr.storage import FsspecStore

    try:
        return FsspecStore.from_url(address, storage_options=_options(scheme), read_only=True)
    except ImportError as error:
        extra = "s3" if scheme == "s3" else "remote"
        raise MissingExtraError(f"{scheme}://", f"needs the package {_PACKAGES[scheme]}, which is not installed",
                                f"pip install 'ruska[{extra}]'") from error  # fmt: skip
    except (OSError, ValueError) as error:
        raise InputError(_shown(address), f"cannot be opened ({str(error)[:150]})", _WAY_OUT) from error


def _options(scheme: str) -> dict[str, Any]:
    """Limits in time. Keys for S3 are taken from the environment as usual; without any, buckets are read as public."""
    if scheme == "s3":
        import s3fs  # noqa: F401  # so that its absence is named, not botocore's
        from botocore.session import get_session

        return {"anon": get_session().get_credentials() is None,
                "config_kwargs": {"connect_timeout": _SECONDS, "read_timeout": _SECONDS}}  # fmt: skip
    import aiohttp

    return {"client_kwargs": {"timeout": aiohttp.ClientTimeout(total=None, sock_connect=_SECONDS, sock_read=_SECONDS)}}


def _shown(address: str) -> str:
    """The address without a user's name and password."""
    parts = urlsplit(address)
    return parts._replace(netloc=parts.netloc.rsplit("@", 1)[-1]).geturl()


def _identity(address: str, image: Image) -> dict[str, str]:
    said = json.dumps([image.axes, image.shape, str(image.dtype), {a: str(q) for a, q in image.spacing.items()}])
    digest = hashlib.sha256(f"{_shown(address)}\0{said}".encode()).hexdigest()
    return {"address": _shown(address), "digest": f"sha256-address:{digest}"}
