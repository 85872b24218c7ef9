"""The settings of methods as a table for reading, made from their JSON Schema."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ruska.methods.about import About

HEAD = "| method | setting | default | range | meaning |\n|---|---|---|---|---|\n"
Row = tuple[str, str, str, str]


def table_of(abouts: Iterable[About]) -> str:
    """Markdown: a row for each setting, basic ones first; methods that share a row share a line."""
    shared: dict[Row, list[str]] = {}
    for about in abouts:
        for row in rows_of(about):
            shared.setdefault(row, []).append(f"`{about.name}`")
    return HEAD + "".join(f"| {', '.join(names)} | {' | '.join(row)} |\n" for row, names in shared.items())


def rows_of(about: About) -> list[Row]:
    """(setting, default, range, meaning) of each setting, in Markdown; basic ones first, and bold."""
    properties = about.schema()["settings"].get("properties", {})
    ordered = sorted(properties.items(), key=lambda item: item[1]["level"] != "basic")
    return [
        (f"**`{name}`**" if part["level"] == "basic" else f"`{name}`", _default(part), _range(part),
         _cell(part["description"])) for name, part in ordered
    ]  # fmt: skip


def _default(about: Mapping[str, Any]) -> str:
    value = about.get("default")
    if value is None:
        return "none"
    return _cell(f"{value:g}" if isinstance(value, float) else str(value).lower() if value is True or value is False
                 else str(value))  # fmt: skip


def _range(about: Mapping[str, Any]) -> str:
    """What a value may be: words, numbers between bounds, a file, code, or text."""
    for part in (about, *about.get("anyOf", ())):
        if part.get("type") == "null":
            continue
        if "enum" in part or "const" in part:
            return ", ".join(f"`{word}`" for word in part.get("enum", [part.get("const")]))
        if part.get("format") in ("file", "code"):
            return str(part["format"])
        if part.get("type") in ("integer", "number"):
            return _bounds(part)
        if part.get("type") == "boolean":
            return "true, false"
        if part.get("type") is not None:
            return "text" if part["type"] == "string" else str(part["type"])
    return "text"


def _bounds(part: Mapping[str, Any]) -> str:
    """``0 to 20``; an end that is not allowed itself is ``above 0`` or ``below 1``."""
    low, high = _number(part.get("minimum")), _number(part.get("maximum"))
    above, below = _number(part.get("exclusiveMinimum")), _number(part.get("exclusiveMaximum"))
    if low is not None and high is not None:
        return f"{low} to {high}"
    ends = ((above, "above"), (low, "at least"), (below, "below"), (high, "up to"))
    said = [f"{word} {end}" for end, word in ends if end is not None]
    return ", ".join(said) or ("whole number" if part["type"] == "integer" else "number")


def _number(value: float | None) -> str | None:
    return None if value is None else f"{value:.12g}"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").rstrip(".")
