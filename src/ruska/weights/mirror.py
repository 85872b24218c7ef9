"""Fetching models from mirrors that the user names. Nothing is asked of the network otherwise.

A mirror is a folder of models, or a plain https:// address with ``<sha256>/card.json`` and
``<sha256>/weights.safetensors`` below it, and ``index.json`` ({"name": "sha256"}) for models to be asked for by name.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from ssl import SSLError
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlsplit
from urllib.request import Request, urlopen

from ruska.errors import InputError, SettingsError
from ruska.weights.card import ModelCard
from ruska.weights.model import CARD, WEIGHTS, find_models
from ruska.weights.store import INDEX, add, arriving, install, installed_model

Progress = Callable[[str, int, int], None]

_HASH = re.compile(r"[0-9a-f]{64}")
_SECONDS = 60.0  # of silence before a mirror is given up
_SMALL = 8 << 20  # bytes that a card or an index may have
_CHUNK = 1 << 20
_THIS_MACHINE = ("localhost", "127.0.0.1", "::1")


def is_offline() -> bool:
    """Whether RUSKA_OFFLINE forbids asking the network."""
    return os.environ.get("RUSKA_OFFLINE", "").strip().lower() not in ("", "0", "false", "no")


def fetch(wanted: str, mirrors: Sequence[str], *, offline: bool = False, progress: Progress | None = None) -> Path:
    """Folder of the model that is ``wanted``: one that is here already, or from the first mirror that has it whole.

    wanted : a name, or the sha256 of the weights, which is then what they are checked against; asked for by name, they
        are checked against what the mirror says. The model takes its place when it is whole.
    offline : like RUSKA_OFFLINE=1, leave mirrors on the network alone.

    Raises SettingsError for an address that is not https://, InputError when no mirror has it.
    """
    for mirror in mirrors:
        _check_address(mirror)
    here = installed_model(wanted)
    if here is not None:
        return here
    failed = []
    for mirror in mirrors:
        if _is_address(mirror) and (offline or is_offline()):
            failed.append(f"{mirror}: was not asked, because --offline or RUSKA_OFFLINE forbids it")
            continue
        try:
            if _is_address(mirror):
                return _download(mirror.rstrip("/"), wanted, progress)
            return _copy(Path(mirror), wanted)
        except InputError as error:
            failed.append(f"{error.subject}: {error.problem}")
    other = "Name another mirror" if mirrors else "Name a mirror, --from ADDRESS or --from FOLDER"
    why = f"no mirror has it: {'; '.join(failed)}" if failed else "no mirror was named"
    raise InputError(wanted, f"is not here, and {why}", f"{other}, or bring the model and `ruska models add FOLDER`.")


def _copy(mirror: Path, wanted: str) -> Path:
    """From a folder of models."""
    if not mirror.is_dir():
        raise InputError(mirror, "is no folder")
    names = []
    for folder in find_models(mirror):
        card = ModelCard.read(folder / CARD)
        if wanted.lower() == card.sha256 or wanted == card.name:
            return add(folder)
        names.append(card.name)
    raise InputError(mirror, f"has no such model, only {', '.join(sorted(names)) or 'none at all'}")


def _download(mirror: str, wanted: str, progress: Progress | None) -> Path:
    expected = wanted.lower() if _HASH.fullmatch(wanted.lower()) else _hash_of(mirror, wanted)
    here = installed_model(expected)  # under another name
    if here is not None:
        return here
    address = f"{mirror}/{expected}"
    text = _text(f"{address}/{CARD}")
    card = ModelCard.parse(text, f"{address}/{CARD}")
    if card.sha256 != expected:
        raise InputError(address, f"its card speaks of other weights ({card.sha256[:12]})")
    with arriving() as folder:
        (folder / CARD).write_text(text, encoding="utf-8")
        with _opened(f"{address}/{WEIGHTS}") as answer, (folder / WEIGHTS).open("wb") as file:
            total, done = answer.length or 0, 0
            while chunk := answer.read(_CHUNK):
                file.write(chunk)
                done += len(chunk)
                if progress is not None:
                    progress("fetching", done, max(total, done))
        try:
            return install(folder)
        except InputError as error:
            raise InputError(address, error.problem) from error


def _hash_of(mirror: str, name: str) -> str:
    """The sha256 of the model that the mirror calls so."""
    address = f"{mirror}/{INDEX}"
    try:
        names = dict(json.loads(_text(address)))
    except (ValueError, TypeError) as error:
        raise InputError(address, "is no list of models") from error
    if name not in names:
        raise InputError(mirror, f"has no such model, only {', '.join(sorted(map(str, names))) or 'none at all'}")
    if not _HASH.fullmatch(str(names[name])):
        raise InputError(address, f"says no sha256 of {name}")
    return str(names[name])


def _text(address: str) -> str:
    with _opened(address) as answer:
        content = answer.read(_SMALL + 1)
    if len(content) > _SMALL:
        raise InputError(address, "is too large for what it should be")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(address, "is no text") from error


@contextmanager
def _opened(address: str) -> Iterator[HTTPResponse]:
    """The answer of a server; InputError when there is none, or it breaks off while it is read."""
    request = Request(quote(address, safe=":/?=&%[]@"), headers={"User-Agent": "ruska"})
    try:
        with urlopen(request, timeout=_SECONDS) as answer:
            _check_address(answer.url)  # where it was redirected to
            yield answer
    except HTTPError as error:
        raise InputError(address, f"the server says {error.code} {error.reason}") from error
    except URLError as error:
        raise InputError(address, f"cannot be reached ({error.reason})") from error
    except (TimeoutError, ConnectionError, SSLError, HTTPException) as error:
        raise InputError(address, f"broke off ({error or type(error).__name__})") from error


def _is_address(mirror: str) -> bool:
    return "://" in mirror


def _check_address(mirror: str) -> None:
    """SettingsError unless it is a folder, https://, or http:// on this very machine."""
    parts = urlsplit(mirror) if _is_address(mirror) else None
    if parts is None or parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _THIS_MACHINE):
        return
    raise SettingsError("--from", f"{mirror} is neither a folder nor https://", "Give a mirror that is one of them.")
