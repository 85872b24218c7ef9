"""Looking at a corpus that was packed: its numbers, and a sheet of small pictures."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ruska.corpus.build import MANIFEST, STATISTICS
from ruska.corpus.contact import tile_of, write_sheet
from ruska.corpus.statistics import statistics
from ruska.errors import InputError, OutputError
from ruska.io.names import check_free

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_BUILD = "Give a folder that `ruska corpus build` wrote, with all its parts."


def show(
    folder: str | os.PathLike[str], output: str | os.PathLike[str] | None = None, *, overwrite: bool = False
) -> dict[str, Any]:
    """Numbers of the corpus in ``folder`` (see `statistics`, and ``refused`` where it is known).

    output : a PNG to write a small picture of every plane to.
    Raises InputError when ``folder`` holds no corpus or not all of it, OutputError when the PNG is there (without
    ``overwrite``) or cannot be written.
    """
    place = Path(folder)
    if output is not None:
        check_free([Path(output)], overwrite=overwrite)
    manifest = _manifest(place)
    found = statistics(manifest["planes"])
    if (place / STATISTICS).exists():
        found["refused"] = json.loads((place / STATISTICS).read_text(encoding="utf-8"))["refused"]
    if output is not None:
        tiles = [tile_of(values, facts) for facts, values in _planes(place, manifest)]
        try:
            write_sheet(Path(output), tiles, f"{place.name}: {len(tiles)} planes, {found['pixels'] / 1e6:.1f} million "
                        "pixels")  # fmt: skip
        except (OSError, ValueError) as error:
            raise OutputError(output, f"cannot be written ({error})", "Give the name of a PNG file.") from error
    return found


def _manifest(folder: Path) -> dict[str, Any]:
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        statistics(manifest["planes"])
    except FileNotFoundError as error:
        raise InputError(folder, f"holds no {MANIFEST}", _BUILD) from error
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise InputError(folder, f"is not a corpus ({error})", "Build it again.") from error
    return manifest


def _planes(folder: Path, manifest: dict[str, Any]) -> Iterator[tuple[dict[str, Any], NDArray[np.floating]]]:
    """Facts and values of every plane; one part is open at a time."""
    from safetensors import SafetensorError, safe_open

    for number, part in enumerate(manifest["parts"]):
        try:
            with safe_open(folder / part, framework="np") as tensors:
                for facts in manifest["planes"]:
                    if facts["part"] == number:
                        yield facts, tensors.get_tensor(facts["key"])
        except (SafetensorError, OSError) as error:
            raise InputError(folder / part, f"cannot be read ({error})", _BUILD) from error
