"""The files beside an output: what they are called, whether they may be written, and writing them whole."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ruska.errors import OutputError
from ruska.io.names import check_plain
from ruska.scratch import write_whole

RECORD, REPORT = ".record.json", (".report.html", ".report.png")
_DOUBLE = (".ome.tif", ".ome.tiff", ".ome.btf", ".ome.zarr")
_LONGEST_RECORD = 1 << 26
"""How many bytes of a record are read to know which output it belongs to."""


def sidecar(target: Path, suffix: str) -> Path:
    """The file beside ``target`` that has ``suffix`` in place of its own: ``a.ome.tif`` -> ``a.report.html``."""
    name = target.name
    own = next((s for s in _DOUBLE if name.lower().endswith(s) and len(name) > len(s)), target.suffix)
    return target.with_name(name[: len(name) - len(own)] + suffix)


@dataclass(frozen=True)
class Beside:
    """Names of the files beside an output.

    whole : they begin with its whole name (``a.mrc.record.json``), not with its stem (``a.record.json``).
    """

    target: Path
    whole: bool = False

    def file(self, suffix: str) -> Path:
        return self.target.with_name(self.target.name + suffix) if self.whole else sidecar(self.target, suffix)

    @property
    def suffix(self) -> str:
        """The output's own, ``.ome.tif`` in one piece."""
        return self.target.name[len(sidecar(self.target, "").name) :]

    @property
    def record(self) -> Path:
        return self.file(RECORD)

    @property
    def reports(self) -> tuple[Path, ...]:
        return tuple(self.file(suffix) for suffix in REPORT)

    def is_own(self) -> bool:
        """Whether a record is there and says that it belongs to the output."""
        name = _owner(self.record)
        if name is None or name == self.target.name:
            return name is not None
        other = self.target.with_name(name)  # the same file on disks that do not know A from a
        return other.exists() and self.target.exists() and other.samefile(self.target)


def beside(target: Path, *, whole: bool = False) -> Beside:
    """Names beside ``target``: by its stem, or by its whole name where the record of that stem is another's.

    ``x.tif`` written after ``x.mrc`` gets ``x.tif.record.json``, now and later, and leaves ``x.record.json`` alone.
    """
    short, long = Beside(target), Beside(target, whole=True)
    there = short.record.is_file() and not short.record.is_symlink()
    return long if whole or (there and not short.is_own()) or long.is_own() else short


def _owner(record: Path) -> str | None:
    """The name of the output that a record is about; None where it is not a record."""
    try:
        found = record.lstat()
        if not stat.S_ISREG(found.st_mode) or found.st_size > _LONGEST_RECORD:
            return None
        return Path(json.loads(record.read_bytes())["output"]["path"]).name
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def check_beside(names: Beside, files: Sequence[Path], *, overwrite: bool, inputs: Iterable[Path] = ()) -> None:
    """OutputError unless all ``files`` beside an output may be written: before any work is done.

    Files of an earlier run of the same output, whose record says so, are replaced, others only with ``overwrite``.
    Links, pipes, devices and ``inputs`` never are.
    """
    own = names.is_own()
    for file in files:
        check_plain(file)
        if not file.exists():
            continue
        if any(used.exists() and file.samefile(used) for used in inputs):
            raise OutputError(
                file,
                "is the input file or one of its references, which Ruska never overwrites",
                "Choose another output name.",
            )
        if file.is_dir():
            raise OutputError(file, "is a folder", "Move it away, or choose another output name.")
        if not (overwrite or own):
            raise OutputError(file, "exists already and belongs to another output",
                              "Choose another output name, or pass --overwrite.")  # fmt: skip


def place(path: Path, content: bytes) -> None:
    """Write under another name first, so that a half-written file never has its final name; or OutputError.

    What has the name, left by a kill or put there as a link to elsewhere, is replaced, not written to.
    """
    try:
        write_whole(path, content)
    except OSError as error:
        raise OutputError(path, f"could not be written ({error.strerror or error})",
                          "Check free space and permissions, or run without a report.") from error  # fmt: skip
