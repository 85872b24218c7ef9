"""Fetching models from mirrors that the user names. Nothing is asked of the network otherwise.

A mirror is a folder of models, or a plain https:// address with ``<sha256>/card.json`` and
``<sha256>/weights.safetensors`` below it, and ``index.json`` ({"name": "sha256"}) for models to be asked for by name.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from ruska.errors import InputError, SettingsError
from ruska.weights.bounded import parse_json
from ruska.weights.card import MOST_CARD, ModelCard
from ruska.weights.model import CARD, WEIGHTS, check_size, find_models, most_bytes
from ruska.weights.store import INDEX, add, arriving, install, installed_model
from ruska.weights.web import opened

Progress = Callable[[str, int, int], None]

_HASH = re.compile(r"[0-9a-f]{64}")
_MOST_NAMES = 10  # of models that a mirror has, in an error
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
    raise InputError(wanted, f"is not installed, and {why}", f"{other}, or install a copy: `ruska models add FOLDER`.")


def _copy(mirror: Path, wanted: str) -> Path:
    """From a folder of models."""
    if not mirror.is_dir():
        raise InputError(mirror, "is not a folder")
    names = []
    for folder in find_models(mirror):
        try:
            card = ModelCard.read(folder / CARD)
        except InputError:  # what is no model hides no other
            continue
        if wanted.lower() == card.sha256 or wanted == card.name:
            return add(folder)
        names.append(card.name)
    raise InputError(mirror, f"has no such model, only {_some(names)}")


def _download(mirror: str, wanted: str, progress: Progress | None) -> Path:
    expected = wanted.lower() if _HASH.fullmatch(wanted.lower()) else _hash_of(mirror, wanted)
    here = installed_model(expected)  # under another name
    if here is not None:
        return here
    address = f"{mirror}/{expected}"
    text = _text(f"{address}/{CARD}")
    card = ModelCard.parse(text, f"{address}/{CARD}")
    if card.sha256 != expected:
        raise InputError(address, f"its card belongs to other weights ({card.sha256[:12]})")
    most = most_bytes(card, f"{address}/{CARD}")
    with arriving() as folder:
        (folder / CARD).write_text(text, encoding="utf-8", newline="")
        _receive(f"{address}/{WEIGHTS}", folder / WEIGHTS, most, progress)
        return install(folder, address)


def _receive(address: str, target: Path, most: int, progress: Progress | None) -> None:
    """Write what ``address`` sends; InputError as soon as it is more than ``most`` bytes."""
    with opened(address, hashed=True) as (answer, more), target.open("wb") as file:
        total, done = answer.length or 0, 0
        check_size(address, total, most)
        while part := more():
            done += len(part)
            check_size(address, done, most)
            file.write(part)
            if progress is not None:
                progress("fetching", done, max(total, done))


def _hash_of(mirror: str, name: str) -> str:
    """The sha256 of the model that the mirror calls so."""
    address = f"{mirror}/{INDEX}"
    try:
        names = parse_json(_text(address))
    except ValueError as error:
        raise InputError(address, f"is not a list of models ({error})") from error
    if not isinstance(names, dict):
        raise InputError(address, "is not a list of models")
    if name not in names:
        raise InputError(mirror, f"has no such model, only {_some(names)}")
    if not isinstance(names[name], str) or not _HASH.fullmatch(names[name]):
        raise InputError(address, f"gives no sha256 for {name}")
    return str(names[name])


def _some(names: Iterable[str]) -> str:
    found = sorted(names)
    more = [f"and {len(found) - _MOST_NAMES} more"] if len(found) > _MOST_NAMES else []
    return ", ".join([*(name[:80] for name in found[:_MOST_NAMES]), *more]) or "none at all"


def _text(address: str) -> str:
    content = bytearray()
    with opened(address, hashed=False) as (_, more):
        while part := more():
            content += part
            if len(content) > MOST_CARD:
                raise InputError(address, f"has more than {MOST_CARD >> 20} MB, far too large")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(address, "is not text") from error


def _is_address(mirror: str) -> bool:
    return "://" in mirror


def _check_address(mirror: str) -> None:
    """SettingsError unless it is a folder, https://, or http:// on this very machine."""
    if not _is_address(mirror):
        return
    way_out = "Name a mirror that is one of them."
    try:
        parts = urlsplit(mirror)
        _ = parts.port
    except ValueError as error:
        raise SettingsError("--from", f"{mirror} is not an address ({error})", way_out) from error
    if "@" in parts.netloc:
        shown = parts._replace(netloc=parts.netloc.rsplit("@", 1)[-1]).geturl()
        raise SettingsError("--from", f"{shown} contains a user name, which Ruska never sends to a server",
                            "Leave out the name and the password.")  # fmt: skip
    if not parts.hostname or not (
        parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _THIS_MACHINE)
    ):
        raise SettingsError("--from", f"{mirror} is neither a folder nor https://", way_out)
