"""The result of an earlier run: which run made it, and whether the same request would make it again."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ruska
from ruska.engine.ledger import clear_delivered, fingerprint
from ruska.errors import OutputError, RuskaError
from ruska.io.digest import digest_image, digest_path
from ruska.io.formats import ZARR_MARKERS
from ruska.pipeline.record import job_identity
from ruska.pipeline.request import Request
from ruska.report import Beside

if TYPE_CHECKING:
    from ruska.image import Image

_LONGEST_RECORD = 1 << 26  # bytes


@dataclass(frozen=True)
class Earlier:
    """A finished run, as its record tells. names : the result and the files beside it."""

    names: Beside
    record: Mapping[str, Any]

    @property
    def report(self) -> Path | None:
        return self.names.reports[0] if self.names.reports[0].is_file() else None

    def files(self) -> list[Path]:
        """All files of the run except its report: the result, the record, other outputs and samples."""
        listed = [inside(other, "file") for other in dict(inside(self.record, "outputs") or {}).values()]
        listed += [inside(self.record, "samples", "std"), *(inside(self.record, "samples", "files") or ())]
        return [self.names.target, self.names.record, *(self._file(each) for each in listed if isinstance(each, str))]

    def _file(self, name: str) -> Path:
        """Beside the result, or in it where it is a store."""
        within = self.names.target / Path(name).name
        return within if within.exists() else self.names.target.with_name(Path(name).name)


def earlier_of(target: Path) -> Earlier | None:
    """The run that made ``target``; None without a record of it."""
    for names in (Beside(target), Beside(target, whole=True)):
        if os.path.isfile(names.record) and names.is_own() and (record := read_record(names.record)) is not None:
            return Earlier(names, record)
    return None


def read_record(file: Path) -> dict[str, Any] | None:
    """The record in a file, which others may have edited; None if it is not a record."""
    try:
        if not file.is_file() or file.stat().st_size > _LONGEST_RECORD:
            return None
        found = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def inside(found: Any, *names: str) -> Any:
    """The value at a place in a record; None if it is missing."""
    for name in names:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def result_digest(result: Path) -> str | None:
    """Digest that shows whether a result was replaced; for a store, of its attributes, which hold the record."""
    if not result.is_dir():
        return digest_path(result)
    marker = next((result / name for name in (*ZARR_MARKERS, ".zattrs") if (result / name).is_file()), None)
    return None if marker is None else digest_path(marker)


def finished_before(request: Request, images: Mapping[str, Image]) -> Earlier | None:
    """The run that made the output of ``request``, if the request would make the same again; None if there is no output
    yet, or it may be replaced.

    Raises OutputError when another file has the output's name and the request does not allow replacing it.
    """
    assert request.output is not None
    target = Path(request.output)
    clear_delivered(target)
    if not target.exists():
        return None
    if any(image.path is not None and _same(image.path, target) for image in images.values()):
        raise OutputError(target, "is the input file itself, which Ruska never overwrites",
                          "Choose another folder for the results.")  # fmt: skip
    earlier = earlier_of(target)
    problem = "exists already, but no record beside it says that Ruska made it"
    if earlier is not None:
        found = _differs(earlier, request, images)
        if found is None:
            return earlier
        problem = f"exists already, and {found}"
    if request.run.overwrite:
        return None
    raise OutputError(target, problem, "Choose another folder, or pass --overwrite.")


def _same(one: Path, other: Path) -> bool:
    try:
        return os.path.samefile(one, other)
    except OSError:
        return False


def _differs(earlier: Earlier, request: Request, images: Mapping[str, Image]) -> str | None:
    """How the existing result differs from the one that would be made; None if it does not."""
    record, target = earlier.record, earlier.names.target
    digests = {role: digest_image(image) for role, image in images.items()}
    others = {role: (image, digests[role]) for role, image in images.items() if role != "image"}
    same = record.get("identity") == fingerprint(job_identity(request, images["image"], digests["image"], others))
    if not same:
        return _why(record, request, digests["image"])
    if inside(record, "output", "hash") != result_digest(target):
        return "was changed after it was made"
    if missing := [file.name for file in earlier.files() if not file.exists()]:
        return f"{missing[0]}, which belongs to it, is missing"
    if request.run.report and earlier.report is None:
        return "its report is missing"
    return None


def _why(record: Mapping[str, Any], request: Request, digest: str) -> str:
    """What has changed since: the request, the input or Ruska."""
    if record.get("ruska") != ruska.__version__:
        return f"was made by Ruska {record.get('ruska')} (this is {ruska.__version__})"
    if inside(record, "input", "hash") != digest:
        name = Path(str(inside(record, "input", "path"))).name
        return f"was made from another image ({name}), or that image has changed since"
    try:
        before, now = Request.of(dict(record.get("request") or {})).decides(), request.decides()
    except RuskaError:
        return "its record cannot be read"
    names = [name for name in ("task", "method", "settings") if before[name] != now[name]]
    names += [f"--{name}" for name in now["run"] if before["run"][name] != now["run"][name]]
    names += ["inputs"] if before["inputs"] != now["inputs"] else []
    return f"was made with other settings ({', '.join(names) or 'a model or reference has changed'})"
