"""How ``ruska evaluate`` prints what it found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ruska.cli import show

if TYPE_CHECKING:
    from ruska.pipeline import Evaluation


def evaluation(found: Evaluation) -> None:
    """Scores as a table: the median over planes, and from where to where where there are several."""
    facts = found.scores.as_dict()
    if "frames" in facts:
        _frames(found, facts)
        return
    placed = facts.pop("registration", None)
    rows: dict[str, Any] = {}
    if placed is not None:
        rows["registered"] = _registered(placed)
    rows |= {name: _short(value) for name, value in facts.items()}
    if facts.get("faults") == ():
        rows["faults"] = "none found"
    rows["written"] = [str(path) for path in (found.numbers, found.picture) if path is not None]
    show.table(f"Scores of {found.record['result']}", rows)


def _frames(found: Evaluation, facts: Mapping[str, Any]) -> None:
    """Of repeated frames, a group of rows for each channel."""
    rows: dict[str, Any] = {
        "frames": f"{facts['frames']} along {facts['axis']}; those {facts['apart']} apart were compared"
        + (f", aligned ({facts['registered']})" if facts["registered"] else "")
    }
    several = len(facts["channels"]) > 1
    for name, channel in facts["channels"].items():
        own = {
            "pairs": channel["pairs"],
            "correlation": _short(channel["correlation"]),
            "signal to noise": f"{channel['snr_db']:.2f} dB",
            "resolution": f"{channel['resolution_px']:.3g} pixels (Fourier ring correlation above 1/7)",
            "drift": None if channel["drift_px"] is None else f"{_short(channel['drift_px'])} pixels between them",
        }
        rows |= {f"channel {name}": own} if several else own
    rows["notes"] = facts["notes"]
    rows["written"] = [str(path) for path in (found.numbers, found.picture) if path is not None]
    show.table(f"Frames of {found.record['result']}", rows)


def _registered(placed: Mapping[str, Any]) -> str:
    """Where the truth lay, in words."""
    (top, bottom), (left, right) = placed["rows"], placed["columns"]
    average = " on average" if placed["model"] != "shift" else ""
    return (
        f"the truth was moved by {placed['shift_y_px']['median']:+.2f} pixels down and "
        f"{placed['shift_x_px']['median']:+.2f} pixels right{average} ({placed['model']}, error "
        f"{placed['error_px']['high']:.2g} pixels, confidence {placed['confidence']['low']:.2f} of 1) onto "
        f"{placed['fixed']}; rows {top} to {bottom} and columns {left} to {right} were scored"
    )


def _short(value: Any) -> Any:
    """``{median, low, high}`` as one text, in nested dictionaries too."""
    if not isinstance(value, Mapping):
        return value
    if set(value) != {"median", "low", "high"}:
        return {name: _short(inner) for name, inner in value.items()}
    if value["low"] == value["high"]:
        return f"{value['median']:.5g}"
    return f"{value['median']:.5g} ({value['low']:.5g} to {value['high']:.5g})"
