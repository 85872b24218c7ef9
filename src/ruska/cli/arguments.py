"""Turns command-line arguments into files, images and settings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ruska.errors import SettingsError


def hint_at_dashes(words: Sequence[str]) -> str:
    """How to write a file name that begins with a dash and was taken for an option; empty where there is none."""
    named = next((word for word in words if word.startswith("-") and Path(word).is_file()), None)
    return "" if named is None else f"Write the file {named} as ./{named}. "


def settings_of(pairs: list[str] | None) -> dict[str, str]:
    """``["h=0.1"]`` as a dict."""
    settings = {}
    for pair in pairs or []:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise SettingsError("--set", f"'{pair}' is not NAME=VALUE", "Example: --set noise_std=0.05.")
        settings[name.strip()] = value.strip()
    return settings


def parse_roi(text: str | None) -> dict[str, tuple[int, int]] | None:
    """``"10:20,30:40"`` (the last axes: Y,X or Z,Y,X) or ``"T=0:1,Y=10:20"``."""
    if text is None:
        return None
    parts = text.split(",")
    named = {}
    for letter, part in zip("ZYX"[-len(parts) :] if len(parts) <= 3 else "?" * len(parts), parts, strict=True):
        axis, equals, bounds = part.rpartition("=")
        start, colon, stop = bounds.partition(":")
        name = axis.strip().upper() if equals else letter
        if name in named:
            raise SettingsError("--roi", f"'{text}' names {name} twice", "Give each axis once.")
        try:
            named[name] = int(start), int(stop)
        except ValueError:
            colon = ""
        if not colon or "?" in named:
            raise SettingsError("--roi", f"'{text}' is not a region",
                                "Write 100:612,0:512 (Y,X) or Z=3:9,Y=0:512.")  # fmt: skip
    return named
