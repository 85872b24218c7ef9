"""``build``: files in, packed parts of a corpus out."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ruska.corpus.borders import Trimmed, trim
from ruska.corpus.contact import Tile, tile_left_out, tile_of, write_sheet
from ruska.corpus.pixel_sizes import stated
from ruska.corpus.planes import LEVELS, SMALLEST, grey_planes, targets, unfit
from ruska.corpus.statistics import statistics
from ruska.disk import settle
from ruska.engine import empty_work, work_folder
from ruska.errors import InputError, OutputError, RuskaError
from ruska.io import read
from ruska.io.digest import digest_image
from ruska.io.names import check_plain
from ruska.io.stamps import check_unchanged
from ruska.scratch import say

if TYPE_CHECKING:
    from numpy.typing import NDArray

PART_BYTES = 44 << 20  # of pixels in one part: it travels, with its list, in less than 48 MiB
MANIFEST, STATISTICS, SHEET = "manifest.json", "statistics.json", "contact.png"
_FORM = 1
_PART = re.compile(r"part\d{3,}(?:-[0-9a-f]{8})?\.safetensors")


@dataclass
class Report:
    """What became of the files.

    planes : targets written. pixels : in them. refused : why files or planes were left out, with how many.
    statistics : numbers of what was written, as of `corpus.statistics`.
    """

    planes: int = 0
    pixels: int = 0
    parts: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    statistics: dict[str, Any] = field(default_factory=dict)


def build(
    files: Sequence[str | os.PathLike[str]],
    output: str | os.PathLike[str],
    *,
    most_planes: int = 64,
    credits: Sequence[str] = (),
    pixel_sizes: Mapping[str, float] | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> Report:
    """Write every plane of ``files`` that can serve as a clean target, at every scale at which it can, into parts.

    Frames, data bars and rows with scale bars are cut off first (`corpus.borders`). A part is a safetensors file of
    float16 pixels; ``manifest.json`` says what they are, ``statistics.json`` how many of which kind and what was left
    out, and ``contact.png`` shows them, small. A file's ``group`` is the
    folder it lies in: training draws groups more evenly than their sizes. ``credits`` (whose data they are, under which
    licence) end in the card of every model that is trained on them. ``pixel_sizes`` are in nm, of files that do not
    state theirs, by patterns of ``folder/file`` or of the file's name (``{"fib25*": 10}``); the first that matches
    counts.

    A corpus that is there stays until the new one is whole. Raises InputError when nothing fit is found, SettingsError
    for a pixel size that is none, JobBusyError when another process builds there, and OutputError when ``output`` holds
    something else.
    """
    folder = Path(output).resolve()
    for child in folder.iterdir() if folder.is_dir() else ():
        check_plain(child)  # what is written into would be written elsewhere
    stated("", pixel_sizes or {})
    with _claimed(folder) as work:
        fresh = work / "corpus"
        fresh.mkdir()
        report, writer, seen = Report(), _Writer(fresh), _Seen()
        for done, file in enumerate(files):
            if progress is not None:
                progress("packing", done, len(files))
            _add(Path(file), most_planes, pixel_sizes or {}, writer, report, seen)
        if not report.planes:
            why = "; ".join(f"{reason} ({count})" for reason, count in report.refused.most_common(3))
            raise InputError(folder, f"no plane can serve as a clean target: {why or 'no files'}",
                             "Give micrographs of at least 96 pixels each way whose noise is low, or large ones: "
                             "they are tried at lower magnification, too.")  # fmt: skip
        writer.finish()
        report.parts = len(writer.parts)
        report.statistics = statistics(writer.planes)
        _describe(fresh, report, seen)
        manifest = {"form": _FORM, "parts": writer.parts, "planes": writer.planes, "sources": writer.sources,
                    "credits": list(credits)}  # fmt: skip
        (fresh / MANIFEST).write_text(json.dumps(manifest) + "\n", encoding="utf-8")
        _put_in_place(fresh, folder)
    return report


@contextmanager
def _claimed(folder: Path) -> Iterator[Path]:
    """The empty work folder of a corpus that is to be in ``folder``, for this process alone; it goes at the end."""
    if folder.exists() and not folder.is_dir():
        raise OutputError(folder, "is a file", "Give a folder for the corpus.")
    if folder.exists() and not (folder / MANIFEST).exists() and any(not _is_ours(p.name) for p in folder.iterdir()):
        raise OutputError(folder, "is not empty and holds no corpus", "Choose another folder.")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with work_folder(folder) as work:
            empty_work(work)  # a build that was killed begins anew
            try:
                yield work
            finally:
                empty_work(work)
    except OSError as error:
        raise OutputError(folder, f"cannot be written ({error.strerror or error})",
                          "Check free space and permissions, then run the same command again.") from error  # fmt: skip


def _is_ours(name: str) -> bool:
    return name in (MANIFEST, STATISTICS, SHEET) or _PART.fullmatch(name) is not None


def _put_in_place(fresh: Path, folder: Path) -> None:
    """Parts first, which nobody looks for yet, then the manifest, which is the corpus; older parts go last.

    Killed before the manifest, the old corpus is whole; killed behind it, the new one is, and the next build tidies.
    """
    folder.mkdir(exist_ok=True)
    before = _listed_parts(folder)
    order = {MANIFEST: 1, STATISTICS: 2, SHEET: 3}
    for file in sorted(fresh.iterdir(), key=lambda file: (order.get(file.name, 0), file.name)):
        with file.open("r+b") as written:
            settle(written)
        os.replace(file, folder / file.name)
    kept = _listed_parts(folder)
    unlisted = sorted(p.name for p in folder.iterdir() if _PART.fullmatch(p.name) and p.name not in kept)
    for name in unlisted:
        if name in before or "-" in name:
            with suppress(OSError):  # a training may have it open
                (folder / name).unlink()
        else:
            say(f"{folder / name}: is in no corpus, and may be of a build that was killed. Delete it if so.")


def _listed_parts(folder: Path) -> set[str]:
    """Names of the parts of the corpus in ``folder``; none where there is no valid manifest."""
    try:
        listed = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["parts"]
        return {name for name in listed if isinstance(name, str) and _PART.fullmatch(name)}
    except (OSError, ValueError, KeyError, TypeError):
        return set()


@dataclass
class _Seen:
    """Marks of the planes that are in, small pictures of all, and the planes that were left out with the reason."""

    marks: set[bytes] = field(default_factory=set)
    tiles: list[Tile] = field(default_factory=list)
    left_out: list[dict[str, str]] = field(default_factory=list)

    def leave_out(self, report: Report, source: str, reason: str, plane: NDArray[np.float32] | None = None) -> None:
        report.refused[reason.split(": ")[-1]] += 1
        self.left_out.append({"source": source, "reason": reason})
        if plane is not None and plane.size:
            self.tiles.append(tile_left_out(plane, source, reason.split(": ")[-1]))


def _describe(folder: Path, report: Report, seen: _Seen) -> None:
    found = {**report.statistics, "refused": dict(report.refused), "left_out": seen.left_out}
    (folder / STATISTICS).write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    refused = sum(report.refused.values())
    write_sheet(folder / SHEET, seen.tiles, f"{report.planes} planes, {report.pixels / 1e6:.1f} million pixels, "
                f"{refused} left out")  # fmt: skip


def _add(file: Path, most: int, pixel_sizes: Mapping[str, float], writer: _Writer, report: Report, seen: _Seen) -> None:
    try:
        image = read(file)
        found = list(grey_planes(image, most))
        check_unchanged(image)
    except RuskaError as error:
        seen.leave_out(report, file.name, f"cannot be read ({type(error).__name__})")
        return
    before, name_of_file = report.planes, f"{file.parent.name}/{file.name}"
    voxel_size = dict(image.voxel_size_nm)
    if "X" not in voxel_size and (size := stated(name_of_file, pixel_sizes)) is not None:
        voxel_size |= {"Y": size, "X": size}
    # blocks of a JPEG file are 8 pixels wide and plain to see
    levels = LEVELS[1:] if file.suffix.lower() in (".jpg", ".jpeg") else LEVELS
    for name, whole in found:
        source = file.name + (f":{name}" if name else "")
        trimmed = trim(whole) if np.isfinite(whole).all() else Trimmed(whole)
        reason = unfit(trimmed.plane)
        if reason is None and (mark := _fingerprint(trimmed.plane)) in seen.marks:
            reason = "is there already"
        if reason is not None:
            seen.leave_out(report, source, reason, whole)
            continue
        seen.marks.add(mark)
        kept = list(targets(trimmed.plane, levels))
        if not kept:
            small_one = min(trimmed.plane.shape) // levels[0] < SMALLEST
            seen.leave_out(
                report, source, "is too small" if small_one else "is too noisy or blurred at every scale", whole
            )
        for target in kept:
            facts = {"source": source, "group": file.parent.name, "level": target.level,
                     "noise": round(target.noise, 4), "detail": round(target.detail, 4),
                     "pixel_size_nm": voxel_size["X"] * target.level if "X" in voxel_size else None,
                     **({"cut": trimmed.rows()} if trimmed.cuts else {})}  # fmt: skip
            writer.add(target.values, facts)
            seen.tiles.append(tile_of(target.values, facts))
            report.planes += 1
            report.pixels += target.values.size
    if report.planes > before:
        writer.sources.append({
            "name": name_of_file, "shape": image.shape, "axes": image.axes,
            "dtype": str(image.dtype), "hash": digest_image(image), "voxel_size_nm": voxel_size,
        })  # fmt: skip


def _fingerprint(plane: NDArray[np.float32]) -> bytes:
    """Equal for copies of one image whatever their grey scale: signs of neighbouring differences, 16 x 16."""
    rows, columns = (np.linspace(0, n, 17).astype(int)[:-1] for n in plane.shape)
    coarse = np.add.reduceat(np.add.reduceat(plane, rows, 0), columns, 1)
    return np.packbits(np.diff(coarse, axis=1) > 0).tobytes()


class _Writer:
    """Collects planes and writes a part whenever enough are there, under a name that only the same planes have."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.parts: list[str] = []
        self.planes: list[dict[str, Any]] = []
        self.sources: list[dict[str, Any]] = []
        self._waiting: dict[str, NDArray[np.float16]] = {}
        self._bytes = 0

    def add(self, values: NDArray[np.float16], facts: dict[str, Any]) -> None:
        key = f"{len(self.planes):06d}"
        self.planes.append({**facts, "part": len(self.parts), "key": key, "shape": values.shape})
        self._waiting[key] = np.ascontiguousarray(values)
        self._bytes += values.nbytes
        if self._bytes >= PART_BYTES:
            self.finish()

    def finish(self) -> None:
        if self._waiting:
            from safetensors.numpy import save

            content = save(self._waiting)
            name = f"part{len(self.parts):03d}-{hashlib.sha256(content).hexdigest()[:8]}.safetensors"
            (self.folder / name).write_bytes(content)
            self.parts.append(name)
            self._waiting, self._bytes = {}, 0
