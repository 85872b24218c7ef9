"""The record a run leaves next to its output: enough to repeat it and to know what was done."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ruska
from ruska.io.names import shown_name
from ruska.pipeline.prepare import card_of
from ruska.pipeline.samples import companions
from ruska.plain_text import command_line, no_option

if TYPE_CHECKING:
    from ruska.engine import Outcome
    from ruska.image import Image
    from ruska.pipeline.prepare import Options, Prepared
    from ruska.pipeline.samples import Drawn
    from ruska.report import Beside

_PACKAGES = ("numpy", "scipy", "scikit-image", "torch", "tifffile", "zarr")


def job_identity(
    image: Image, digest: str, task: str, method: str, settings: Mapping[str, Any] | None, options: Options
) -> dict[str, Any]:
    """What decides a job's bytes, known before anything is computed: two runs with the same identity are one job."""
    card = card_of(settings, method)
    return {
        "ruska": ruska.__version__,
        "task": task,
        "input": digest,
        "modified": _modified(image) if digest.startswith("sha256-sampled:") else None,
        "model": card.sha256 if card else None,
        "detector": image.provenance.get("detector"),
        "name": image.name,
        "shape": image.shape,
        "axes": image.axes,
        "method": method,
        "settings": dict(settings or {}),
        "dtype": options.dtype,
        "seed": options.seed,
        "samples": options.samples,
        "memory": options.memory,
        "roi": {a: [s.start, s.stop] for a, s in (options.roi or {}).items()},
    }


def _modified(image: Image) -> int:
    """When a file was changed last, of which the digest is of a part only."""
    assert image.path is not None
    return image.path.stat().st_mtime_ns


def make_record(
    job: Prepared, task: str, digest: str, names: Beside | None, outcome: Outcome, drawn: Drawn | None = None
) -> dict[str, Any]:
    """The record of a finished run, JSON-like. ``names`` : the output and what is beside it, None in memory."""
    image, output = job.image, names.target if names else None
    settings = dict(getattr(job.method, "settings", {}))
    warnings = [*image.notes, *job.warnings, *outcome.notes, *(drawn.notes if drawn else ())]
    if outcome.clipped:
        warnings.append(f"{outcome.clipped} voxels were outside the range of {job.out_dtype} and were clipped")
    if job.statistics.finite_fraction < 1:
        share = 1 - job.statistics.finite_fraction
        warnings.append(f"{share:.2%} of the voxels are NaN or infinite; they were left as they are")
    return {
        "ruska": ruska.__version__,
        "task": task,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command(job, task, output, settings),
        "method": job.method_name,
        "method_reason": job.reason,
        "settings": settings,
        "weights": card.sha256 if (card := card_of(settings, job.method_name)) else None,
        "noise": list(getattr(job.method, "notes", ())),
        "seed": job.options.seed,
        "samples": _samples(drawn, names, job.options.seed),
        "input": {
            "path": str(image.path) if image.path else image.name,
            "hash": digest,
            "detector": image.provenance.get("detector"),
            "shape": list(image.shape),
            "axes": image.axes,
            "dtype": str(image.dtype),
        },
        "output": {"path": output.name if output else "(in memory)", "dtype": str(job.out_dtype)},
        "statistics": job.statistics.as_dict(),
        "normalisation": {"offset": job.normalisation.offset, "scale": job.normalisation.scale},
        "plan": {**job.plan.as_dict(), "workers": job.plan.workers, "memory_bytes": job.plan.memory_bytes},
        "times": {**job.seconds, "run": outcome.seconds, "in_method": outcome.method_seconds},
        "blocks": {"computed": outcome.blocks, "resumed": outcome.resumed},
        "clipped": outcome.clipped,
        "warnings": warnings,
        "versions": {"python": platform.python_version(), **_versions(), "platform": platform.platform()},
    }


def _samples(drawn: Drawn | None, names: Beside | None, seed: int) -> dict[str, Any] | None:
    if drawn is None:
        return None
    files = [file.name for file in companions(names, len(drawn.samples))] if names else [None]
    return {**drawn.facts(seed), "std": files[0], "files": files[1:]}


def command(job: Prepared, task: str, output: Path | None, settings: Mapping[str, Any]) -> str:
    """The command line that repeats the run with the settings it resolved to."""
    words = ["ruska", task, no_option(_source(job.image))]
    if output is not None:
        words += ["-o", no_option(str(output))]
    words += ["--method", job.method_name] if task == "denoise" else []
    for name, value in settings.items():
        if value is not None:
            words += ["--set", f"{name}={value}"]
    for name, path in references(job.image).items():
        words += [f"--{name}", no_option(path)]
    words += ["--axes", job.image.axes, "--dtype", job.options.dtype]
    words += ["--samples", str(job.options.samples)] if job.options.samples else []
    words += ["--seed", str(job.options.seed)] if task == "denoise" or job.options.samples else []
    if job.options.memory:
        words += ["--memory", job.options.memory]
    if job.options.roi:
        words += ["--roi", ",".join(f"{a}={s.start}:{s.stop}" for a, s in job.options.roi.items())]
    return command_line(words)


def references(image: Image) -> dict[str, str]:
    """The detector's ``dark`` and ``gain`` files that an image was corrected with. A file may claim anything here."""
    used = image.provenance.get("detector")
    if not isinstance(used, Mapping):
        return {}
    found = {name: used[name].get("path") for name in ("dark", "gain") if isinstance(used.get(name), Mapping)}
    return {name: str(path) for name, path in found.items() if isinstance(path, str | Path)}


def _source(image: Image) -> str:
    """The input as it is opened: ``file.h5:/dataset`` where it lies inside a file. Files may have colons in names."""
    if image.path is None:
        return image.name
    file = f"{shown_name(image.path)}:"
    return str(image.path) + (image.name[len(file) - 1 :] if image.name.startswith(file) else "")


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
