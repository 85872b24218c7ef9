"""Stores on a server, by their address: ``https://`` and ``s3://``, read lazily through fsspec.

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
from ruska.io.places import Server, read_json
from ruska.servers import MOST_REDIRECTS, Kind, addresses_of, forbidden, is_literal, kind_of, redirected

if TYPE_CHECKING:
    from ruska.image import Image

_PACKAGES = {"http": "aiohttp", "https": "aiohttp", "s3": "s3fs"}
_SECONDS = 60.0
_WAY_OUT = "Check the address and the network; it must be the address of the store itself (…/name.zarr)."
_KEYS = "Check the address; keys are taken from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or from ~/.aws."


def read(address: str, inner: str | None) -> Image:
    """Open an image of a store on a server: OME-Zarr or Zarr, N5, or neuroglancer precomputed, by what is found there.

    Raises InputError when there is no store at the address, MissingExtraError without the extra ``remote`` (or ``s3``).
    """
    parts = urlsplit(address)
    if parts.scheme.lower() not in _PACKAGES:
        raise InputError(
            address, f"{parts.scheme}:// is not an address Ruska reads", "It reads https://, http:// and s3://."
        )
    address = parts._replace(query="", fragment="").geturl().rstrip("/")
    try:
        image = _opened(address, parts.scheme.lower(), inner)
    except RuskaError:
        raise
    except Exception as error:  # servers and their libraries fail in many ways
        first = (str(error).splitlines() or [""])[0][:150]
        raise InputError(_shown(address), f"cannot be read ({type(error).__name__}: {first})", _WAY_OUT) from error
    return replace(image, name=_shown(address) if inner is None else f"{_shown(address)}:{inner}",
                   header={**image.header, "remote": _identity(address, image)})  # fmt: skip


def _opened(address: str, scheme: str, inner: str | None) -> Image:
    """The image, in the format whose metadata the server has."""
    from ruska.io import n5, precomputed
    from ruska.io.checked_store import CheckedStore
    from ruska.io.zarr_read import read_store

    root, below = _container(address, inner)
    place = Server(_files(address, scheme), root, _shown(root))
    if ".n5" in root:
        return n5.read_at(place, below)
    if read_json(place, "info").get("scales"):
        return precomputed.read_at(place, inner)
    store = CheckedStore(_store(address, scheme))
    try:
        return read_store(_shown(address), store, inner)
    except InputError as error:
        if "cannot be opened as Zarr" not in error.problem:
            raise
        if read_json(place, "attributes.json"):
            return n5.read_at(place, inner)
        if store.refused:
            raise InputError(error.subject, "the server refuses access, or there is no store at this address",
                             _KEYS if scheme == "s3" else _WAY_OUT) from error  # fmt: skip
        nothing = "NotFound" in error.problem
        problem = "there is no store at this address" if nothing else error.problem
        raise InputError(error.subject, problem, _WAY_OUT) from error


def _container(address: str, inner: str | None) -> tuple[str, str | None]:
    """Address of the N5 container, whose groups state the voxel size, and the name in it."""
    head, mark, tail = address.partition(".n5/")
    return (f"{head}.n5", f"{tail}/{inner or ''}") if mark else (address, inner)


def _files(address: str, scheme: str) -> Any:
    """The fsspec file system of an address."""
    import fsspec  # type: ignore[import-untyped]

    try:
        return fsspec.filesystem(scheme, **_options(address, scheme))
    except ImportError as error:
        raise _missing(scheme) from error


def _missing(scheme: str) -> MissingExtraError:
    extra = "s3" if scheme == "s3" else "remote"
    return MissingExtraError(f"{scheme}://", f"needs the package {_PACKAGES[scheme]}, which is not installed",
                             f"pip install 'ruska[{extra}]'")  # fmt: skip


def _store(address: str, scheme: str) -> Any:
    from zarr.storage import FsspecStore

    try:
        return FsspecStore.from_url(address, storage_options=_options(address, scheme), read_only=True)
    except ImportError as error:
        raise _missing(scheme) from error
    except (OSError, ValueError) as error:
        raise InputError(_shown(address), f"cannot be opened ({str(error)[:150]})", _WAY_OUT) from error


def _options(address: str, scheme: str) -> dict[str, Any]:
    """Limits in time and redirects.

    Keys for S3 are taken from the environment as usual; without any, buckets are read as public.
    """
    if scheme == "s3":
        import s3fs  # noqa: F401  # so that its absence is named, not botocore's
        from botocore.session import get_session

        return {"anon": get_session().get_credentials() is None,
                "config_kwargs": {"connect_timeout": _SECONDS, "read_timeout": _SECONDS}}  # fmt: skip
    import aiohttp

    named = urlsplit(address)
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=_SECONDS, sock_read=_SECONDS)
    return {"get_client": _client, "max_redirects": MOST_REDIRECTS + 1,  # it counts the one it refuses
            "client_kwargs": {"timeout": timeout, "named": named.hostname or ""}}  # fmt: skip


async def _client(*, named: str, **options: Any) -> Any:
    """A session that follows redirects only as `ruska.servers` allows for the host that the user ``named``.

    The content of a chunk cannot be checked against a hash, so other servers may send it.
    """
    import aiohttp
    from aiohttp.abc import AbstractResolver, ResolveResult
    from aiohttp.resolver import DefaultResolver
    from yarl import URL

    usual = DefaultResolver()
    kinds: set[Kind] = _kinds_of(named) if is_literal(named) else set()

    class Judging(AbstractResolver):
        """The connection uses the addresses checked here."""

        async def resolve(self, host: str, port: int = 0, family: Any = 0) -> list[ResolveResult]:
            found = await usual.resolve(host, port, family)
            if host == named:
                kinds.update(kind_of(place["host"]) for place in found)
            else:
                _judge([place["host"] for place in found], kinds)
            return found

        async def close(self) -> None:
            await usual.close()

    async def sent_on(_: Any, __: Any, asked: Any) -> None:
        said = asked.response.headers
        try:
            target = asked.url.join(URL(said.get("Location") or said.get("URI") or ""))
            host = urlsplit(redirected(str(asked.url), str(target), elsewhere=True)).hostname or ""
        except ValueError as error:
            raise InputError(_shown(str(asked.url)), str(error), _WAY_OUT) from error
        if is_literal(host) and host != named:  # no name is looked up for it
            _judge(addresses_of(host, 0), kinds)

    trace = aiohttp.TraceConfig()
    trace.on_request_redirect.append(sent_on)
    connector = aiohttp.TCPConnector(resolver=Judging())
    return aiohttp.ClientSession(connector=connector, trace_configs=[trace], **options)


def _kinds_of(host: str) -> set[Kind]:
    return {kind_of(address) for address in addresses_of(host, 0)}


def _judge(addresses: list[str], kinds: set[Kind]) -> None:
    if wrong := forbidden(addresses, kinds):
        raise InputError(wrong, "is an address in a private network, to which the image's server redirects", _WAY_OUT)


def _shown(address: str) -> str:
    """The address without a user's name and password."""
    parts = urlsplit(address)
    return parts._replace(netloc=parts.netloc.rsplit("@", 1)[-1]).geturl()


def _identity(address: str, image: Image) -> dict[str, str]:
    said = json.dumps([image.axes, image.shape, str(image.dtype), {a: str(q) for a, q in image.spacing.items()}])
    digest = hashlib.sha256(f"{_shown(address)}\0{said}".encode()).hexdigest()
    return {"address": _shown(address), "digest": f"sha256-address:{digest}"}
