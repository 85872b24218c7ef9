"""What the commands print: tables and progress by rich, JSON as it is."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from ruska.cli import acquisition
from ruska.cli.terminal import guard_streams, remark, say, screen
from ruska.pipeline import format_bytes
from ruska.plain_text import one_line

if TYPE_CHECKING:
    from ruska.corpus import Report
    from ruska.weights import ModelCard

_MOST_FILES = 5  # of the training data that are named
_MOST_SLICES = 16  # whose noise is listed
_LONGEST_HEADING = 40
MARK = {"good": "no objection found", "caution": "look closely", "warning": "check before you trust"}


def json(facts: Mapping[str, Any] | Sequence[Any]) -> None:
    """Print JSON; NaN and infinity, which JSON has no word for, as null."""
    from ruska.pipeline import json_text

    print(json_text(facts), end="")


def table(title: str, rows: Mapping[str, Any]) -> None:
    """Print name and value in two columns; nested values are indented, absent ones left out."""
    grid = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    grid.add_column(style="bold")
    grid.add_column(overflow="fold")
    for name, value in _rows(rows):
        grid.add_row(Text(one_line(name.replace("_", " "))), Text(one_line(_text(value))))  # [brackets] are no colours
    out = screen()
    out.print(Text(one_line(title), style="table.title"), soft_wrap=True)  # whole: a wrapped one would begin a line
    out.print(grid)


def numbers(rows: Sequence[tuple[str, str, str]]) -> None:
    """Print name, value and meaning in three columns, the meaning in the rest of the width."""
    grid = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    grid.add_column(style="bold")
    grid.add_column(no_wrap=True)
    grid.add_column(style="dim", overflow="fold")
    for row in rows:
        grid.add_row(*(Text(one_line(cell)) for cell in row))
    screen().print(grid)


def _rows(rows: Mapping[str, Any], indent: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in rows.items():
        if isinstance(value, Mapping):
            yield indent + str(name), ""
            yield from _rows(value, indent + "  ")
        elif value is not None and value not in ([], ()):
            yield indent + str(name), value


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.5g}"
    if isinstance(value, list | tuple):
        texts = [_text(each) for each in value]
        return "".join(text + (" " if text.endswith(".") else "; ") for text in texts[:-1]) + "".join(texts[-1:])
    return str(value)


def duration(seconds: float) -> str:
    """``12 s``, ``3 min``, ``2.5 h``."""
    if seconds < 1:
        return "under a second"
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def facts(found: Mapping[str, Any]) -> None:
    """`describe`'s answer, for reading."""
    statistics = found["statistics"]
    size = " x ".join(f"{axis} {n}" for axis, n in zip(found["axes"], found["shape"], strict=True))
    spacing = acquisition.sizes(found["spacing"])
    saturated = [
        f"{statistics[f'saturated_{end}']:.2%} at the {end} end ({statistics[key]:g})"
        for end, key in (("low", "minimum"), ("high", "maximum"))
        if statistics[f"saturated_{end}"]
    ]
    rows = {
        "size": size,
        "pixels": f"{found['dtype']}, {format_bytes(found['bytes'])}, {found['meaning']}",
        "voxel size": spacing or "unknown (give it with --voxel-size 4nm)",
        "exposure": acquisition.exposure(found["exposure"]) if found["exposure"] else None,
        "tilt angles": acquisition.tilts(found["tilt"]) if found["tilt"] else None,
        "channels": found["channels"],
        "range": f"{statistics['minimum']:g} to {statistics['maximum']:g}, mean {statistics['mean']:.5g}, "
        f"std {statistics['std']:.4g}",
        "saturated": saturated or "no",
        "not finite": f"{1 - statistics['finite_fraction']:.2%}" if statistics["finite_fraction"] < 1 else None,
        "looked at": f"{statistics['looked_at']:.1%} of the voxels" if statistics["looked_at"] < 1 else None,
        "header fields": found["header"],
        "notes": found["notes"],
        **(_suggestion(found) if found["job"] else {}),
    }
    table(found["name"], rows)


def _suggestion(found: Mapping[str, Any]) -> dict[str, Any]:
    """What to do with the file, and what it would take."""
    job = found["job"]
    return {
        "suggested": f"ruska denoise --method {found['method']}",
        "because": found["reason"],
        "noise": _noise(found["noise"]),
        **_spread_rows(found["noise_spread"]),
        **(_detector_rows(found["noise"]) if found["noise"] else {}),
        "it would take": f"{duration(job['seconds'])}, up to {format_bytes(job['memory_bytes'])} of memory, "
        f"{job['blocks']} block{'s' * (job['blocks'] != 1)}, {job['workers']} at a time",
    }


def _noise(noise: Mapping[str, Any] | None) -> list[str]:
    """What `noise_facts` found, in words."""
    if noise is None:
        return ["the image is too small to tell"]
    rows, columns = noise["blind_spot"]
    words = [f"{_level(noise)}. {noise['reason']}"]
    if "gain" in noise:
        words.append(
            f"It grows with the signal: about {noise['gain']:.3g} grey levels per electron." if noise["gain"] > 0
            else "It does not grow with the signal."
        )  # fmt: skip
    return [" ".join([*words, f"Blind spot: {rows}x{columns}."])]


def _level(noise: Mapping[str, Any]) -> str:
    """The noise, and between what it likely is, where that is known."""
    within = noise.get("std_within")
    return f"{noise['std']:.3g} grey levels" + (f" ({within[0]:.3g} to {within[1]:.3g})" if within else "")


def noise_rows(found: Mapping[str, Any]) -> dict[str, Any]:
    """`noise_report`'s answer, for reading."""
    lags = {axis: ", ".join(f"{v:.2f}" for v in found[f"correlation_{axis}"]) for axis in "xy"}
    return {"noise": _noise(found), "along X": f"correlation at 1, 2, .. pixels: {lags['x']}",
            "along Y": f"correlation at 1, 2, .. pixels: {lags['y']}", **_spread_rows(found["spread"]),
            **_each_slice(found["each_slice"]), **_detector_rows(found), "notes": found["notes"],
            "picture": found.get("picture"), "numbers": found.get("numbers")}  # fmt: skip


def _spread_rows(channels: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The noise of every channel where there are several, and of slices where they differ."""
    several = len(channels) > 1
    known = [c for c in channels if c["std"] is not None]
    rows: dict[str, Any] = {}
    if several:
        rows["noise by channel"] = [f"{c['channel']}: {_level(c)}" for c in known] or None
    slices = [_slices(c, several) for c in channels if c.get("slices")]
    rows["noise by slice"] = slices or None
    return rows


def _each_slice(channels: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The noise of slices that are evenly spaced, a line for each channel; nothing of a single slice."""
    lines = []
    for channel in channels:
        levels = dict(zip(channel["slices"], channel["std"], strict=True))
        if len(levels) > 1:
            chosen = list(levels)[:: -(-len(levels) // _MOST_SLICES)]
            shown = ", ".join(f"{n}: {'?' if levels[n] is None else format(levels[n], '.3g')}" for n in chosen)
            lines.append(f"{channel['channel']}: " * (len(channels) > 1) + shown)
    return {"of slice": lines}


def _slices(channel: Mapping[str, Any], several: bool) -> str:
    found = channel["slices"]
    name = f"{channel['channel']}: " if several else ""
    looked = f"{found['looked_at']} of {found['of']}" if found["looked_at"] < found["of"] else f"{found['of']}"
    if not found["differ"]:
        return f"{name}alike in {looked} slices"
    return (f"{name}{found['lowest']:.3g} to {found['highest']:.3g} grey levels in {looked} slices, most in slice "
            f"{found['noisiest'] + 1}; slices that differ are restored with their own noise level")  # fmt: skip


def _detector_rows(found: Mapping[str, Any]) -> dict[str, Any]:
    """What is wrong besides noise, a line each; nothing for what is not."""
    rows: dict[str, Any] = {}
    defects = found["defects"]
    if defects["hot"] or defects["dead"]:
        count = f"{defects['hot']} hot and {defects['dead']} dead of {defects['of']} pixels"
        rows["defects"] = f"{count}; `denoise` mends those that cannot be specimen"
    cut = [f"{share:.2%} at the {end} end" for end, share in found["clipped"].items() if share]
    if cut:
        rows["clipped"] = f"{' and '.join(cut)} of the range: the noise there is cut off as well"
    stripes = found.get("stripes", {})
    shifted = [
        f"{name} are shifted by {stripes[name]:.3g} grey levels"
        + (f", in streaks of about {stripes[f'{name}_width']} pixels" if stripes[f"{name}_width"] > 1 else "")
        for name in ("rows", "columns")
        if stripes.get(name)
    ]
    if shifted:
        rows["stripes"] = "; ".join(shifted)
    if waves := found.get("interference"):
        rows["interference"] = _interference(waves)
    return rows


def _interference(waves: Sequence[Mapping[str, Any]]) -> str:
    """Of the waves of a plane, the strongest first, and the way out."""
    each = [f"{w['amplitude']:.3g} grey levels with a period of {1 / w['frequency_y']:.3g} rows" for w in waves]
    return f"{' and '.join(each)}, typical of mains hum; `ruska denoise --remove-interference` removes it"


def dry_run(found: Mapping[str, Any], output: Path) -> None:
    """What a job would do."""
    job = found["job"]
    block = " x ".join(f"{a} {n}" for a, n in zip(job["axes"], job["block"], strict=True))
    table("Nothing was done. The run would:", {
        "read": found["name"],
        "write": f"{output} ({job['output_dtype']}, {' x '.join(map(str, job['output_shape']))})",
        "and beside it": _listed(found["beside"]),
        "method": f"{found['method']}: {found['reason']}",
        "noise": found["method_notes"],
        "blocks": f"{job['blocks']} of {block}, {job['workers']} at a time",
        "memory": f"up to {format_bytes(job['memory_bytes'])}",
        "time": f"{duration(job['seconds'])} on this machine",
        "lost": found.get("losses"),
        "notes": found["notes"],
    })  # fmt: skip


def result(record: Mapping[str, Any], output: Path) -> None:
    """What a run did."""
    blocks = record["blocks"]
    table(f"Wrote {output}", {
        **verdict_rows(record.get("verdict")),
        "method": f"{record['method']}: {record['method_reason']}",
        "noise": record["noise"],
        "samples": _samples(record.get("samples")),
        "time": duration(record["times"]["run"] + (record.get("samples") or {}).get("seconds", 0)),
        "resumed": f"{blocks['resumed']} blocks were already done by an earlier run" if blocks["resumed"] else None,
        "not kept": record["output"].get("not_kept"),
        "notes": record["warnings"],
        "report": record["report"],
    })  # fmt: skip


def verdict_rows(verdict: Mapping[str, Any] | None) -> dict[str, Any]:
    """How far the result can be trusted, a sentence a row; nothing where there was no verdict."""
    if not verdict:
        return {}
    said = f"{verdict['headline']} ({MARK[verdict['level']]})"
    sentences = [each for each in verdict["sentences"] if not each.startswith("The run warns:")]  # they are notes here
    return {"verdict": said, "because": dict(map(_heading, sentences[:1] if verdict["level"] == "good" else sentences))}


def _heading(sentence: str) -> tuple[str, str]:
    """``Residual: it does not ..`` as the name and the text of a row."""
    opening, colon, rest = sentence.partition(": ")
    return (opening.lower(), rest) if colon and len(opening) <= _LONGEST_HEADING else ("remark", sentence)


def doubtful(records: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Of many runs, by file: each result that is probably spoiled, or no better than its input, and why."""
    lines = []
    for name, record in records.items():
        verdict = record.get("verdict")
        if verdict and (verdict["level"] == "warning" or verdict["better_than_input"] is False):
            lines.append((name, verdict["headline"]))
    return lines


def _listed(names: Sequence[str]) -> str | None:
    return f"{', '.join(names[:-1])} and {names[-1]}" if names else None


def _samples(found: Mapping[str, Any] | None) -> str | None:
    if not found:
        return None
    return f"{found['count']} in {found['files'][0]} to {found['files'][-1]}; standard deviation in {found['std']}"


def registration(record: Mapping[str, Any], output: Path) -> None:
    """Where an image, or the slices of a stack, were put."""
    found = record["alignment"]
    rows: dict[str, Any] = {}
    if "shift_px" in found:
        dy, dx = found["shift_px"]
        way = (
            f"{abs(dy):.2f} pixels {'down' if dy >= 0 else 'up'}, {abs(dx):.2f} pixels {'right' if dx >= 0 else 'left'}"
        )
        rows["shift"] = way + " on average" * (found["model"] != "shift")
        rows["turn"] = f"{found['angle_deg']:+.3f} degrees anticlockwise" if found["model"] == "rigid" else None
        rows["at most"] = f"{found['largest_px']:.2f} pixels" if found["model"] != "shift" else None
        rows["confidence"] = f"{found['confidence']:.2f} of 1"
    else:
        rows["slices"] = f"{found['slices']}, of which {len(found['skipped'])} match no other"
        rows["skipped"] = found["skipped"]
        rows["largest step"] = f"{found['largest_step_px']:.2f} pixels from slice to slice"
        rows["at most"] = f"{found['largest_px']:.2f} pixels from the first slice"
        rows["contradictions"] = f"{found['misfit_px']:.2g} pixels between measured shifts"
    rows["error"] = f"{found['error_px']:.2g} pixels"
    rows["doubts"] = found.get("doubts")
    rows["empty"] = f"{found['empty']:.2%} of the pixels" if found.get("empty") else None
    rows["clipped"] = found.get("clipped") or None
    rows["not kept"] = record["output"].get("not_kept")
    rows["time"] = duration(record["times"]["align"])
    table(f"Wrote {output}", rows)


def model(folder: Path, card: ModelCard) -> None:
    """A model's card."""
    sizes, files = (
        card.pixel_size_nm,
        [f"{d.name} ({' x '.join(map(str, d.shape))} {d.axes}, {d.dtype})" for d in card.data],
    )
    if len(files) > _MOST_FILES:
        files = [*files[:_MOST_FILES], f"and {len(files) - _MOST_FILES} more"]
    own = card.settings
    about = f", blind spot {own['spot']}, frames {own.get('frames')}" if "spot" in own else ""
    table(f"Model {folder}", {
        "method": card.method + about,
        "trained on": files,
        "pixel size": f"{sizes[0]:.3g} to {sizes[1]:.3g} nm" if sizes else "unknown",
        "training": _together(card.training.get("notes", [])),
        "licence": card.licence,
        "credits": list(card.credits),
        "sha256": card.sha256,
        "use": f"ruska denoise FILE --model {folder}",
    })  # fmt: skip


def _together(notes: Sequence[str]) -> str:
    """Notes in a row, some of which are sentences."""
    return " ".join(note if note.endswith(".") else f"{note};" for note in notes).rstrip(";")


def corpus(folder: Path, report: Report) -> None:
    """What became of the files that were to be packed."""
    left_out = [f"{reason} ({count})" for reason, count in report.refused.most_common()]
    table(f"Corpus {folder}", {
        **corpus_rows(report.statistics),
        "parts": report.parts,
        "left out": left_out or "nothing",
        "pictures": folder / "contact.png",
        "use": f"ruska train prior {folder} -o MODEL",
    })  # fmt: skip


def corpus_rows(found: Mapping[str, Any]) -> dict[str, Any]:
    """The numbers of a corpus, for a table."""
    sizes = found["pixel_size"]
    known = f", {sizes['nm'][0]:.3g} to {sizes['nm'][1]:.3g} nm" if sizes["nm"] else ""
    return {
        "planes": found["planes"],
        "pixels": f"{found['pixels'] / 1e6:.1f} million",
        "scales": [f"1/{level}: {of['planes']} planes, noise {of['noise']['median']:.3f} (largest "
                   f"{of['noise']['largest']:.3f}) of the signal" for level, of in found["levels"].items()],
        "groups": [f"{name}: {of['planes']} planes, {of['pixels'] / 1e6:.1f} million pixels"
                   for name, of in found["groups"].items()],
        "pixel size": f"known of {sizes['known']} planes{known}, unknown of {sizes['unknown']}",
        "cut off": [f"{kind} ({count} planes)" for kind, count in found["cut"].items()] or "nothing",
    }  # fmt: skip


def methods(found: Mapping[str, Mapping[str, Any]]) -> None:
    """The methods and their settings."""
    for name, about in found.items():
        say()
        table(name, about)


@contextmanager
def progress(quiet: bool = False) -> Iterator[Callable[[str, int, int], None] | None]:
    """Yield a callback that draws a bar with the time left on stderr; None when ``quiet`` or not a terminal."""
    if quiet or sys.stderr is None or not sys.stderr.isatty():
        yield None
        return
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
               TextColumn("left", markup=False), TimeRemainingColumn())  # fmt: skip
    with Progress(*columns, console=screen(stderr=True), transient=True) as bar:
        guard_streams()  # the bar put itself before them, so that lines appear above it
        tasks: dict[str, Any] = {}

        def report(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                while tasks:  # a batch has thousands
                    bar.remove_task(tasks.popitem()[1])
                tasks[stage] = bar.add_task(one_line(stage), total=total)
            bar.update(tasks[stage], completed=done, total=total)

        yield report


def told(progress: Callable[[str, int, int], None] | None, *, quiet: bool = False) -> Callable[..., None]:
    """A bar as the events of a run, and remarks as lines unless ``quiet``."""

    def event(stage: str, done: int, total: int, note: str = "") -> None:
        if note and not quiet:
            remark(note)
        if progress is not None and total:
            progress(stage, done, total)

    return event


def settings(schema: Mapping[str, Any]) -> None:
    """A method's settings, one a row, those that most people need first."""
    properties = schema["settings"].get("properties", {})
    ordered = sorted(properties.items(), key=lambda item: item[1]["level"] != "basic")
    rows = {name: f"{about.get('default')}: {about['description']}" for name, about in ordered}
    table(f"{schema['name']} ({schema['task']}): {schema['summary']}", rows)
