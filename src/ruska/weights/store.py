"""Models by name: those that come with Ruska first, then those in the user's own folder of models.

That folder holds ``<sha256>/card.json`` and ``<sha256>/weights.safetensors`` for every model, and ``index.json`` with
their names: served by any web server, it is a mirror that others can fetch from.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ruska.errors import InputError, OutputError, did_you_mean
from ruska.scratch import Scratch, tidy, write_whole
from ruska.weights.archive import is_archive, unpack
from ruska.weights.bounded import read_text
from ruska.weights.card import MOST_CARD, ModelCard
from ruska.weights.embedded import EMBEDDED
from ruska.weights.model import CARD, WEIGHTS, Model, find_models, most_bytes, pour, read_model, verify

INDEX = "index.json"
_SHORTEST = 8  # characters of a hash that may stand for a name


def models_folder() -> Path:
    """The user's folder of models: RUSKA_MODELS, else where this system keeps what can be had again."""
    if given := os.environ.get("RUSKA_MODELS"):
        return Path(given).expanduser()
    if sys.platform == "win32":
        cache = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        cache = Path.home() / "Library" / "Caches"
    else:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "ruska" / "models"


def installed() -> list[tuple[Path, ModelCard]]:
    """Folders and cards of the models that can be called by name, the embedded one first; unreadable ones left out."""
    found = []
    for folder in [EMBEDDED, *find_models(models_folder())]:
        try:
            found.append((folder, ModelCard.read(folder / CARD)))
        except InputError:
            continue
    return found


def installed_model(name: str) -> Path | None:
    """Folder of the installed model with this name or beginning of a hash; InputError when several have the name."""
    cards = installed()
    matching = [(folder, card) for folder, card in cards if card.name == name]
    if not matching and len(name) >= _SHORTEST:
        matching = [(folder, card) for folder, card in cards if card.sha256.startswith(name.lower())]
    if not matching:
        return None
    folder = matching[0][0]
    hashes = sorted({card.sha256 for _, card in matching})
    if len(hashes) > 1 and folder != EMBEDDED:
        raise InputError(name, f"is the name of {len(hashes)} models",
                         f"Name one by its hash: {', '.join(h[:12] for h in hashes)}.")  # fmt: skip
    return folder


def locate(name: str | os.PathLike[str]) -> Path:
    """Folder of a model that was given as a folder, by name, or by the first 8 or more characters of its hash.

    A folder with a model is taken as it is. Raises InputError when a plain name is neither a folder nor installed.
    """
    path = Path(name)
    if os.path.isfile(path / CARD) or path.parent != Path():
        return path
    found = installed_model(str(name))
    if found is None and not os.path.exists(path):
        names = did_you_mean(str(name), [card.name for _, card in installed()])
        raise InputError(name, "is neither a folder nor the name of a known model",
                         f"{names} Others: `ruska models fetch {name} --from MIRROR`.")  # fmt: skip
    return found or path


def load_model(name: str | os.PathLike[str]) -> Model:
    """Read a model (`locate` says how it may be named) and check it against its card.

    Raises InputError when it is none, is changed or is damaged.
    """
    return read_model(locate(name))


def find_card(name: str | os.PathLike[str]) -> ModelCard:
    """The card of a model (`locate` says how it may be named); InputError when it is none."""
    return ModelCard.read(locate(name) / CARD)


def add(source: Path) -> Path:
    """Copy a model into the user's folder of models, under its hash, and return where it lies now.

    source : its folder, one of the two files in it, or a zip file that holds both.
    Raises InputError when it is not a model or is damaged, OutputError when the folder of models cannot be written.
    """
    if source.is_file() and is_archive(source):
        with arriving() as folder:
            unpack(source, folder)
            return install(folder, source)
    folder = source.parent if source.name in (CARD, WEIGHTS) else source
    if source.is_file() and folder == source:
        raise InputError(source, "is not a model", f"Give a folder with {CARD} and {WEIGHTS}, or a zip file of it.")
    verify(folder)
    with arriving() as copy:
        text = read_text(folder / CARD, MOST_CARD)
        (copy / CARD).write_text(text, encoding="utf-8", newline="")
        most = most_bytes(ModelCard.parse(text, folder / CARD), folder / CARD)
        with (folder / WEIGHTS).open("rb") as inside:
            pour(inside, copy / WEIGHTS, most, folder / WEIGHTS)
        return install(copy, source)


@contextmanager
def arriving() -> Iterator[Path]:
    """A folder for what is not yet whole, which nobody finds; it is gone at the end.

    What a killed process left of one goes when the next one is made. Raises OutputError where it cannot be written.
    """

    store = models_folder()
    try:
        store.mkdir(parents=True, exist_ok=True)
        tidy(store)
        with Scratch(store) as folder:
            inside = folder / "model"
            inside.mkdir()
            yield inside
    except OSError as error:
        raise OutputError(store, f"cannot be written ({error.strerror or error})",
                          "Check space and permissions, or set RUSKA_MODELS to another folder.") from error  # fmt: skip


def install(arrived: Path, source: object) -> Path:
    """Put a complete model in its place at once; InputError about ``source`` when it does not match its card."""
    try:
        card = verify(arrived)
    except InputError as error:
        raise InputError(source, error.problem, error.fix) from error
    place = models_folder() / card.sha256
    if not (place / CARD).exists():
        try:
            os.replace(arrived, place)
        except OSError:
            if not (place / CARD).exists():  # unless another process was faster
                raise
    _write_index()
    return place


def _write_index() -> None:
    names = {card.name: card.sha256 for folder, card in installed() if folder != EMBEDDED}
    write_whole(models_folder() / INDEX, (json.dumps(names, indent=2) + "\n").encode())
