"""What was typed, turned into files, images and settings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ruska.errors import SettingsError

if TYPE_CHECKING:
    from ruska.image import Image


def hint_at_dashes(words: Sequence[str]) -> str:
    """What to do where a file's name begins with a dash and was taken for options; empty where there is none."""
    named = next((word for word in words if word.startswith("-") and Path(word).is_file()), None)
    return "" if named is None else f"A file whose name begins with a dash is written ./{named}. "


def corpus_or_files(data: list[str]) -> list[str]:
    """A packed corpus as it is, or all image files."""
    if len(data) == 1 and (Path(data[0]) / "manifest.json").is_file():
        return data
    return training_files(data, stacks=False)


def training_files(data: list[str], *, stacks: bool) -> list[str]:
    """Files, and those in folders; a folder is one stack where neighbouring ``stacks`` are looked at together."""
    from ruska.io.folder import members
    from ruska.io.registry import format_of_name

    files = []
    for given in data:
        folder = Path(given)
        if folder.is_dir() and format_of_name(folder) is None and not stacks:
            files += [str(file) for file in members(folder, every_format=True)]
        else:
            files.append(given)
    return files


def open_image(
    file: str, axes: str | None, voxel_size: str | None, dark: str | None = None, gain: str | None = None
) -> Image:
    from ruska import io
    from ruska.pipeline import correct_detector

    return correct_detector(io.read(file, axes=axes, voxel_size=voxel_size), dark, gain)


def settings_of(pairs: list[str] | None) -> dict[str, str]:
    """``["h=0.1"]`` as a dict."""
    settings = {}
    for pair in pairs or []:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise SettingsError("--set", f"'{pair}' is not NAME=VALUE", "Example: --set noise_std=0.05.")
        settings[name.strip()] = value.strip()
    return settings


def parse_roi(text: str | None) -> dict[str, slice] | None:
    """``"10:20,30:40"`` (the last axes: Y,X or Z,Y,X) or ``"T=0:1,Y=10:20"``."""
    if text is None:
        return None
    parts = text.split(",")
    named = {}
    for letter, part in zip("ZYX"[-len(parts) :] if len(parts) <= 3 else "?" * len(parts), parts, strict=True):
        axis, equals, bounds = part.rpartition("=")
        start, colon, stop = bounds.partition(":")
        try:
            named[axis.strip().upper() if equals else letter] = slice(int(start), int(stop))
        except ValueError:
            colon = ""
        if not colon or "?" in named:
            raise SettingsError("--roi", f"'{text}' is not a region",
                                "Write 100:612,0:512 (Y,X) or Z=3:9,Y=0:512.")  # fmt: skip
    return named


def default_output(file: str, mark: str = "_denoised") -> Path:
    """Beside the input (here, when that is on a server), same format where Ruska writes it, TIFF otherwise."""
    from ruska.io import is_url, split_inner
    from ruska.io.registry import format_of_name

    path, _ = split_inner(file)
    if is_url(file):
        path = Path(path.name.partition("?")[0])
    known = format_of_name(path)
    suffix, stem = ".tif", path.name if path.is_dir() else path.stem
    if known is not None:
        found = max((s for s in known.suffixes if path.name.lower().endswith(s)), key=len)
        stem = path.name[: -len(found)]
        if known.writes and known.name != "picture":
            suffix = path.name[-len(found) :]
    return path.with_name(stem + mark + suffix)
