"""How ``ruska evaluate`` prints what it found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ruska.cli import show
from ruska.cli.terminal import say

if TYPE_CHECKING:
    from ruska.pipeline import Evaluation


def evaluation(found: Evaluation) -> None:
    """Scores as a table: the median over planes, the range if there are several, and the meaning of each."""
    from ruska.pipeline.evaluating import meanings_of

    facts, known = found.scores.as_dict(), meanings_of(found)
    if "frames" in facts:
        _frames(found, facts, known)
        return
    rows: dict[str, Any] = {}
    if "registration" in facts:
        rows["registered"] = _registered(facts["registration"])
    if facts["planes"] > 1 or facts["of_planes"] > 1:
        rows["planes"] = f"{facts['planes']} of {facts['of_planes']} scored: the median (lowest to highest)"
    rows["faults"] = facts.get("faults", ("none found",)) or "none found" if "faults" in facts else None
    rows["notes"] = facts["notes"]
    numbers = {name: facts[name] for name in ("noise_before", "noise_after") if name in facts}
    show.table(f"Scores of {found.record['result']}", rows)
    show.numbers(_explained({**facts.get("truth", {}), **facts.get("residual", {}), **numbers}, known))
    _written(found)


def _written(found: Evaluation) -> None:
    files = [str(path) for path in (found.numbers, found.picture) if path is not None]
    if files:
        say(f"Written: {' and '.join(files)}")


def _explained(numbers: Mapping[str, Any], known: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Name, value with its unit, and meaning of each number."""
    rows = []
    for name, value in numbers.items():
        about = known[name]
        shown = _short(value)
        shown = f"{shown:.5g}" if isinstance(shown, float) else shown
        rows.append((about.label, f"{shown} {about.unit}".rstrip(), about.text))
    return rows


def _frames(found: Evaluation, facts: Mapping[str, Any], known: Mapping[str, Any]) -> None:
    """For repeated frames, the numbers of each channel."""
    rows: dict[str, Any] = {
        "frames": f"{facts['frames']} along {facts['axis']}; frames {facts['apart']} apart were compared"
        + (f", aligned ({facts['registered']})" if facts["registered"] else "")
    }
    several = len(facts["channels"]) > 1
    rows["pairs"] = "; ".join(
        f"channel {name}: " * several + str(of["pairs"]) for name, of in facts["channels"].items()
    )
    rows["notes"] = facts["notes"]
    show.table(f"Frames of {found.record['result']}", rows)
    for name, channel in facts["channels"].items():
        if several:
            say(f"Channel {name}")
        own = {n: channel[n] for n in ("correlation", "snr_db", "resolution_px", "drift_px") if channel[n] is not None}
        show.numbers(_explained(own, known))
    _written(found)


def _registered(placed: Mapping[str, Any]) -> str:
    """How the truth was aligned, in words."""
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
