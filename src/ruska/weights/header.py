"""The header of a safetensors file, compared with the network of the card before a tensor is read.

The format: 8 bytes with the length of the header, the header as JSON, and the numbers of all tensors without a gap.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

from ruska.errors import InputError
from ruska.weights.bounded import parse_json

MOST_HEADER = 4 << 20
"""Bytes that the header may have; the embedded model's has 9 kB."""
_BYTES = {"F16": 2, "BF16": 2, "F32": 4}
_FIX = "Models are the .safetensors files that Ruska wrote: get this one again."


def largest(shapes: Mapping[str, tuple[int, ...]]) -> int:
    """Bytes that a file with these tensors has at most."""
    return 8 + MOST_HEADER + max(_BYTES.values()) * sum(prod(shape) for shape in shapes.values())


def check_header(file: Path, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """InputError unless ``file`` holds tensors of just these names and ``shapes``, one after the other."""
    try:
        length, tensors = _read(file)
        ends = sorted(_span(name, about) for name, about in tensors.items())
        reached = 0
        for start, end, name in ends:
            if start != reached:
                raise ValueError(f"{name} begins at byte {start} of the numbers, expected {reached}")
            reached = end
        if reached != length:
            raise ValueError(f"it has {length} bytes of numbers, its header says {reached}")
    except (ValueError, OSError) as error:
        raise InputError(file, f"is not a model of Ruska ({error})", _FIX) from error
    _compare(file, {name: tuple(about["shape"]) for name, about in tensors.items()}, shapes)


def _read(file: Path) -> tuple[int, dict[str, Any]]:
    """Bytes of numbers, and the header without its remarks."""
    with file.open("rb") as stream:
        size = stream.seek(0, 2)
        stream.seek(0)
        length = int.from_bytes(stream.read(8), "little")
        if size < 8 or length > min(MOST_HEADER, size - 8):
            raise ValueError(f"it says that its header has {length} bytes, of {size} in all")
        header = parse_json(stream.read(length).decode("utf-8"))
    if not isinstance(header, dict):
        raise ValueError("its header is not a JSON object")
    remarks = header.pop("__metadata__", {})
    if not isinstance(remarks, dict) or not isinstance(remarks.get("ruska"), str):
        raise ValueError("its header was not written by Ruska")
    parse_json(remarks["ruska"])
    return size - 8 - length, header


def _span(name: str, about: Any) -> tuple[int, int, str]:
    """Where the numbers of a tensor begin and end; ValueError unless that is as many as it has."""
    short = repr(name[:80])
    if not isinstance(about, dict) or set(about) != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"{short} does not say dtype, shape and data_offsets")
    kind, shape, offsets = about["dtype"], about["shape"], about["data_offsets"]
    if not isinstance(kind, str) or kind not in _BYTES:
        raise ValueError(f"{short} has the dtype {str(kind)[:20]!r}, expected one of {', '.join(_BYTES)}")
    if not _counts(shape) or len(shape) > 8 or not _counts(offsets) or len(offsets) != 2:
        raise ValueError(f"{short} has a shape or offsets that are not whole numbers")
    if offsets[1] - offsets[0] != prod(shape) * _BYTES[kind]:
        raise ValueError(f"{short} has {offsets[1] - offsets[0]} bytes, expected {prod(shape) * _BYTES[kind]}")
    return offsets[0], offsets[1], short


def _counts(numbers: Any) -> bool:
    return isinstance(numbers, list) and all(type(n) is int and 0 <= n < 1 << 63 for n in numbers)


def _compare(file: Path, found: Mapping[str, tuple[int, ...]], wanted: Mapping[str, tuple[int, ...]]) -> None:
    fix = "Card and weights belong to different models: get both again."
    for name, shape in wanted.items():
        if name not in found:
            raise InputError(file, f"has no parameter {name}, which the network of its card has", fix)
        if found[name] != shape:
            shapes = [" x ".join(map(str, s)) or "one number" for s in (found[name], shape)]
            raise InputError(file, f"its parameter {name} is {shapes[0]}, that of its card's network {shapes[1]}", fix)
    for name in found:
        if name not in wanted:
            raise InputError(file, f"its parameter {name[:80]!r} is not one of its card's network", fix)
