"""What an earlier run left: whose it is, and whether it is what would be made again."""

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
    """A finished run by the record beside its result. names : the result and what is beside it."""

    names: Beside
    record: Mapping[str, Any]

    @property
    def report(self) -> Path | None:
        return self.names.reports[0] if self.names.reports[0].is_file() else None

    def files(self) -> list[Path]:
        """Everything that the run wrote but its report: the result, the record, and the outputs and samples."""
        listed = [inside(other, "file") for other in dict(inside(self.record, "outputs") or {}).values()]
        listed += [inside(self.record, "samples", "std"), *(inside(self.record, "samples", "files") or ())]
        return [self.names.target, self.names.record, *(self._file(each) for each in listed if isinstance(each, str))]

    def _file(self, name: str) -> Path:
        """Beside the result, or in it where it is a store."""
        within = self.names.target / Path(name).name
        return within if within.exists() else self.names.target.with_name(Path(name).name)


def earlier_of(target: Path) -> Earlier | None:
    """The run that made ``target``; None where no record beside it says so."""
    for names in (Beside(target), Beside(target, whole=True)):
        if os.path.isfile(names.record) and names.is_own() and (record := read_record(names.record)) is not None:
            return Earlier(names, record)
    return None


def read_record(file: Path) -> dict[str, Any] | None:
    """A record as it is in its file, where strangers may have changed it; None where it is none."""
    try:
        if not file.is_file() or file.stat().st_size > _LONGEST_RECORD:
            return None
        found = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def inside(found: Any, *names: str) -> Any:
    """What is at a place of a record; None where there is nothing."""
    for name in names:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def result_digest(result: Path) -> str | None:
    """Of a result, to tell it from what was put in its place; of a store, of its attributes, which hold the record."""
    if not result.is_dir():
        return digest_path(result)
    marker = next((result / name for name in (*ZARR_MARKERS, ".zattrs") if (result / name).is_file()), None)
    return None if marker is None else digest_path(marker)


def finished_before(request: Request, images: Mapping[str, Image]) -> Earlier | None:
    """The run that made the output of ``request``, where it is what the request would make again; None where there is
    no output yet, or another one that may be replaced.

    Raises OutputError where something else has the name of the output, and the request does not allow to replace it.
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
    problem = "exists already, and no record beside it says that Ruska made it"
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
    """How what is there differs from what would be made; None where it does not."""
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
    """What of the request, the input or Ruska is another than it was."""
    if record.get("ruska") != ruska.__version__:
        return f"was made by Ruska {record.get('ruska')} (this is {ruska.__version__})"
    if inside(record, "input", "hash") != digest:
        name = Path(str(inside(record, "input", "path"))).name
        return f"was made from another image ({name}, or it has changed since)"
    try:
        before, now = Request.of(dict(record.get("request") or {})).decides(), request.decides()
    except RuskaError:
        return "its record cannot be understood"
    names = [name for name in ("task", "method", "settings") if before[name] != now[name]]
    names += [f"--{name}" for name in now["run"] if before["run"][name] != now["run"][name]]
    names += ["inputs"] if before["inputs"] != now["inputs"] else []
    return f"was made with other settings ({', '.join(names) or 'a model or a reference that has changed'})"
