"""The record that a run writes beside its output: what was done, and how to repeat it."""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ruska
from ruska import methods
from ruska.engine import ChannelScales
from ruska.io import tilts
from ruska.io.digest import digest_path
from ruska.io.names import shown_name
from ruska.methods.per_plane import PerPlane
from ruska.methods.settings import parse
from ruska.methods.settings import references as references_in
from ruska.pipeline.detector import KINDS
from ruska.pipeline.parts import part_facts, spread_facts
from ruska.pipeline.prepare import card_of
from ruska.pipeline.request import FLAGS, PASSING, Input, RunOptions
from ruska.pipeline.samples import companion, companions
from ruska.plain_text import command_line, no_option

if TYPE_CHECKING:
    from ruska.engine import Outcome
    from ruska.image import Image
    from ruska.pipeline.prepare import Prepared
    from ruska.pipeline.request import Request
    from ruska.pipeline.samples import Drawn
    from ruska.report import Beside

_PACKAGES = ("numpy", "scipy", "scikit-image", "torch", "tifffile", "zarr")


def job_identity(
    request: Request, image: Image, digest: str, others: Mapping[str, tuple[Image, str]] | None = None
) -> dict[str, Any]:
    """Everything that decides a job's bytes, known before it runs: two runs with the same identity are one job.

    This is the request, without options known to leave every byte unchanged, and the contents of the files it names.
    ``others`` : the other inputs by role, each with its digest.
    """
    card = card_of(request.settings, request.method)
    return {
        "ruska": ruska.__version__,
        "request": {**request.decides(), "settings": _resolved(request)},
        "input": digest,
        "others": {role: [found, _modified(other, found)] for role, (other, found) in (others or {}).items()},
        "modified": _modified(image, digest),
        "model": card.sha256 if card else None,
        "files": _files(request),
        "code": _code_of(request.method),
        "detector": image.provenance.get("detector"),
        "name": image.name,
        "shape": image.shape,
        "axes": image.axes,
    }


def _resolved(request: Request) -> dict[str, Any]:
    """The settings as the method understands them: ``"8"`` and 8 and the default 8 are the same."""
    if request.method == "auto":
        return dict(request.settings)
    return parse(methods.about(request.method).record, request.method, request.settings).model_dump(mode="json")


def _files(request: Request) -> dict[str, str]:
    """Digests of the files and code that settings name; models have their own."""
    if request.method == "auto":
        return {}
    record, found = methods.about(request.method).record, {}
    for kind in ("file", "code"):
        for name in references_in(record, kind):
            value = str(request.settings.get(name) or "")
            path = Path(value.rpartition(":")[0] if kind == "code" else value)
            if path.is_file():
                found[name] = digest_path(path)
    return found


def _code_of(method: str) -> str | None:
    """Digest of the source file of a method from another package; None for Ruska's own methods."""
    if method == "auto" or method in methods.METHODS:
        return None
    file = getattr(sys.modules.get(methods.about(method).record.__module__), "__file__", None)
    return digest_path(Path(file)) if file is not None and Path(file).is_file() else None


def _modified(image: Image, digest: str) -> int | None:
    """When a file was last changed, if the digest covers only a part of it."""
    if not digest.startswith("sha256-sampled:"):
        return None
    assert image.path is not None
    return image.path.stat().st_mtime_ns


def make_record(
    request: Request, job: Prepared, digest: str, names: Beside | None, outcome: Outcome, drawn: Drawn | None = None
) -> dict[str, Any]:
    """The record of a finished run, JSON-like. ``names`` : the output and what is beside it, None in memory."""
    image, output = job.image, names.target if names else None
    settings = dict(getattr(job.method, "settings", None) or _resolved(request))
    warnings = [*image.notes, *job.conditions.sentences(), *job.warnings, *outcome.notes]
    warnings += drawn.notes if drawn else ()
    if outcome.clipped:
        warnings.append(f"{outcome.clipped} voxels were outside the range of {job.out_dtype} and were clipped")
    if job.statistics.finite_fraction < 1:
        share = 1 - job.statistics.finite_fraction
        warnings.append(f"{share:.2%} of the voxels are NaN, infinite or masked, and were left unchanged")
    return {
        "ruska": ruska.__version__,
        "task": request.task,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command(request, job, output, settings),
        "request": request.to_json(),
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
            "tilt_deg": list(found.angles) if (found := tilts(image)) else None,
            "dtype": str(image.dtype),
        },
        "output": {"path": output.name if output else "(in memory)", "dtype": str(job.dtype_of(job.plan.outputs[0]))},
        "outputs": _outputs(job, drawn, names),
        "statistics": job.statistics.as_dict(),
        "normalisation": _scale(job),
        "noise_spread": spread_facts(job.looked),
        "parts": part_facts(job.parts, job.method.parts) if isinstance(job.method, PerPlane) else [],
        "plan": {**job.plan.as_dict(), "workers": job.plan.workers, "memory_bytes": job.plan.memory_bytes},
        "times": {**job.seconds, "run": outcome.seconds, "in_method": outcome.method_seconds},
        "blocks": {"computed": outcome.blocks, "resumed": outcome.resumed},
        "clipped": outcome.clipped,
        **job.conditions.facts(),
        "warnings": warnings,
        "versions": {"python": platform.python_version(), **_versions(), "platform": platform.platform()},
    }


def _scale(job: Prepared) -> dict[str, Any]:
    """Offset and scale of the grey levels; where channels have their own, those of the first, and all of them."""
    if isinstance(job.normalisation, ChannelScales):
        each = [asdict(scale) for scale in job.normalisation.each]
        return {**each[0], "channels": each}
    return asdict(job.normalisation)


def _samples(drawn: Drawn | None, names: Beside | None, seed: int) -> dict[str, Any] | None:
    if drawn is None:
        return None
    files = [file.name for file in companions(names, len(drawn.samples))] if names else [None]
    return {**drawn.facts(seed), "std": files[0], "files": files[1:]}


def _outputs(job: Prepared, drawn: Drawn | None, names: Beside | None) -> dict[str, Any]:
    """The further outputs, and whether they come from the method or its samples."""
    found = {}
    for output in job.plan.outputs[1:]:
        table = output.merge == "table"
        file = None if names is None else names.file(f"_{output.name}.csv") if table else companion(names, output.name)
        found[output.name] = {"file": file.name if file else None, "from": "the method", "values": output.values}
    if drawn is not None:
        file = companion(names, "std") if names is not None else None
        found.setdefault("std", {"file": file.name if file else None, "from": "samples", "values": "spread"})
    return found


def command(request: Request, job: Prepared, output: Path | None, settings: Mapping[str, Any]) -> str:
    """The command line that repeats the run with the settings it resolved to."""
    own, image = request.run, job.image
    words = ["ruska", request.task, no_option(_source(image))]
    if output is not None:
        words += ["-o", no_option(str(output))]
    words += ["--method", job.method_name] if job.method_name != request.task else []
    for name, value in settings.items():
        if value is not None:
            words += ["--set", f"{name}={value}"]
    for name, path in references(image).items():
        words += [f"--{name}", no_option(path), *_as_words(image, name)]
    for role, one in request.inputs.items():
        if role != "image" and isinstance(one, Input):
            words += [f"--{role}", no_option(one.path or f"({role} in memory)")]
    words += ["--axes", image.axes]
    first = request.inputs.get("image")
    if isinstance(first, Input) and first.voxel_size is not None:
        words += ["--voxel-size", first.voxel_size]
    words += _run_words(own, {"samples": 0, "seed": 0, "memory": None, "roi": None})
    return command_line(words)


def _run_words(run: RunOptions, usual: Mapping[str, Any]) -> list[str]:
    """Options of the run that decide its bytes and differ from ``usual``."""
    words = []
    for name in RunOptions.model_fields:
        value = getattr(run, name)
        if name in PASSING or (name in usual and value == usual[name]):
            continue
        if name in FLAGS:
            words += [f"--{value}-{name}"] if value == FLAGS[name] else []
            continue
        if isinstance(value, bool):
            words += [f"--{name.replace('_', '-')}"] if value else []
            continue
        shown = ",".join(f"{a}={start}:{stop}" for a, (start, stop) in value.items()) if name == "roi" else str(value)
        words += [f"--{name.replace('_', '-')}", shown]
    return words


def references(image: Image) -> dict[str, str]:
    """The detector's reference files that corrected an image, by kind. The file's own claim may hold anything."""
    used = image.provenance.get("detector")
    if not isinstance(used, Mapping):
        return {}
    found = {name: used[name].get("path") for name in KINDS if isinstance(used.get(name), Mapping)}
    return {name: str(path) for name, path in found.items() if isinstance(path, str | Path)}


def _as_words(image: Image, kind: str) -> list[str]:
    """The option that says what was done to a reference first."""
    done = image.provenance["detector"][kind].get("as")
    return [f"--{kind}-as", done] if isinstance(done, str) and done[:1].isalpha() else []


def _source(image: Image) -> str:
    """The input as `ruska.read` takes it: ``file.h5:/dataset`` if it lies inside a file. Names may hold colons."""
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
