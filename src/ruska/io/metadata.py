"""Everything of an `Image` except pixels and mask as JSON, for formats that can hold a text."""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from ruska.errors import InputError
from ruska.image import Meaning, Quantity

if TYPE_CHECKING:
    from ruska.image import Image

VERSION = 1
_BYTES, _FLOAT = "$bytes", "$float"


def to_json(image: Image) -> dict[str, Any]:
    """Return axes, spacing, origin, meaning, channel names, header and provenance as strict JSON values.

    Sizes are ``[number, unit]``. ``from_json`` gives back the same values, floats to the last bit.
    """
    return {
        "version": VERSION,
        "axes": image.axes,
        "spacing": {axis: [float(size.value), size.unit] for axis, size in image.spacing.items()},
        "origin": {axis: [float(size.value), size.unit] for axis, size in image.origin.items()},
        "meaning": image.meaning,
        "channel_names": list(image.channel_names),
        "header": plain(image.header),
        "provenance": plain(image.provenance),
    }


def from_json(record: Any, name: object) -> dict[str, Any]:
    """Return the fields that `to_json` stored, as keyword arguments of `Image`; absent ones are left out.

    Raises InputError, about the file ``name``, when the record is invalid (edited, or from a newer version).
    """
    try:
        if record["version"] > VERSION:
            raise InputError(name, f"its Ruska record has version {record['version']}, this Ruska knows {VERSION}",
                             "Update Ruska.")  # fmt: skip
        fields: dict[str, Any] = {"axes": str(record["axes"])}
        for word in ("spacing", "origin"):
            fields[word] = {a: Quantity(float(value), str(unit)) for a, (value, unit) in record.get(word, {}).items()}
        fields["meaning"] = record.get("meaning", "grey")
        if fields["meaning"] not in get_args(Meaning):
            raise ValueError(f"unknown meaning {fields['meaning']!r}")
        fields["channel_names"] = tuple(str(c) for c in record.get("channel_names", ()))
        fields["header"] = dict(_restored(record.get("header", {})))
        fields["provenance"] = dict(_restored(record.get("provenance", {})))
    except (KeyError, TypeError, ValueError, AttributeError, binascii.Error) as error:
        raise InputError(name, f"its Ruska record is damaged ({type(error).__name__}: {error})",
                         "Remove the record, or restore the file from a copy.") from error  # fmt: skip
    return fields


def dumps(image: Image) -> str:
    """`to_json` as one text of ASCII characters, which any format can hold."""
    return json.dumps(to_json(image), allow_nan=False)


def loads(text: str | bytes, name: object) -> dict[str, Any]:
    """`from_json` of a text written by `dumps`; InputError when it is not JSON."""
    try:
        record = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(name, f"its Ruska record is not JSON ({error})", "Restore the file from a copy.") from error
    return from_json(record, name)


def plain(value: Any) -> Any:
    """Return ``value`` in strict JSON: NumPy values and tuples become Python's, bytes and NaN are marked objects."""
    if isinstance(value, Mapping):
        return {str(key): plain(part) for key, part in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(part) for part in value]
    if isinstance(value, bytes):
        return {_BYTES: base64.b64encode(value).decode("ascii")}
    if isinstance(value, float) and not math.isfinite(value):
        return {_FLOAT: repr(value)}
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def _restored(value: Any) -> Any:
    """Undo the marked objects of `plain`."""
    if isinstance(value, list):
        return [_restored(part) for part in value]
    if not isinstance(value, dict):
        return value
    if set(value) == {_BYTES}:
        return base64.b64decode(value[_BYTES], validate=True)
    if set(value) == {_FLOAT}:
        return float(value[_FLOAT])
    return {key: _restored(part) for key, part in value.items()}
