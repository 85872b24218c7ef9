"""The record of finished blocks, from which a killed run resumes."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ruska.disk import settle
from ruska.errors import JobBusyError, OutputError
from ruska.scratch import Owner, say

PLACING = "placing"
"""Key of the entry with the `face` of the result, written right before the result gets its name."""
_LEDGER, _LOCK, _OWNER = "ledger.jsonl", "lock", "owner"
_KEPT = (_LOCK, _OWNER)
_CLOCK_GRAIN = 2_000_000_000  # ns, of file systems that round times


class NoLedger:
    """For runs in memory: nothing is kept on disk."""

    def __init__(self) -> None:
        self.entries: dict[str, dict[str, Any]] = {}
        self.folder: Path | None = None

    def add(self, key: str, **facts: Any) -> None:
        self.entries[key] = facts


class Ledger(NoLedger):
    """One line per finished unit of work in ``folder/ledger.jsonl``, written after the work's data are in place.

    From the first line that is not JSON, which a kill or a power cut may leave, all lines are ignored: their blocks are
    simply done again.
    """

    def __init__(self, folder: Path, job: Mapping[str, Any]) -> None:
        """Open or start the ledger of ``job``; work of another job in the same folder is discarded."""
        super().__init__()
        self.folder = folder
        self.file = folder / _LEDGER
        self.resumed = False
        self._open(fingerprint(job))

    def _open(self, identity: str) -> None:
        entries, length = _sound_lines(self.file.read_bytes()) if self.file.exists() else ([], 0)
        if entries and entries[0].get("job") == identity:
            self.entries = {e.pop("key"): e for e in entries[1:]}
            self.resumed = bool(self.entries)
            self.identity = identity
            # Cut torn lines off, or the next entry would be appended to them. Never rewritten: the disk may be full.
            os.truncate(self.file, length)
            return
        self._begin(identity)

    def _begin(self, identity: str) -> None:
        empty_work(self.file.parent)
        self.file.write_text(json.dumps({"job": identity}) + "\n", encoding="utf-8")
        self.identity = identity

    def restart(self) -> None:
        """Discard all finished work."""
        self.entries, self.resumed = {}, False
        self._begin(self.identity)

    def add(self, key: str, **facts: Any) -> None:
        """Record that ``key`` is done."""
        with self.file.open("a", encoding="utf-8") as out:
            out.write(json.dumps({"key": key, **facts}) + "\n")
            settle(out)
        super().add(key, **facts)


def _sound_lines(text: bytes) -> tuple[list[dict[str, Any]], int]:
    """The entries of a ledger up to the first that is torn, and how many bytes they take."""
    entries: list[dict[str, Any]] = []
    length = 0
    for line in text.splitlines(keepends=True):
        try:
            entry = json.loads(line) if line.endswith(b"\n") else None
        except ValueError:
            break
        if not isinstance(entry, dict) or ("key" if entries else "job") not in entry:
            break
        entries.append(entry)
        length += len(line)
    return entries, length


def any_block_done(folder: Path) -> bool:
    """Whether the ledger in ``folder`` holds work worth keeping, beyond the job and its plan."""
    file = folder / _LEDGER
    return file.exists() and file.read_bytes().count(b"\n") > 2


def fingerprint(job: Mapping[str, Any]) -> str:
    """Digest of everything that decides a job's bytes."""
    return hashlib.sha256(json.dumps(job, sort_keys=True, default=str).encode()).hexdigest()


@contextmanager
def work_folder(target: Path) -> Iterator[Path]:
    """Lock the folder beside ``target`` that holds unfinished work; JobBusyError if another process has it.

    Raises OutputError if it is a link or holds one: only our own files may be deleted.
    """
    from filelock import FileLock, Timeout

    folder = _work_of(target)
    _refuse_links(folder)
    folder.mkdir(exist_ok=True)
    lock = FileLock(folder / _LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout as busy:
        raise JobBusyError(target, "another run is writing this output now", "Wait for it, or choose another name.") \
            from busy  # fmt: skip
    try:
        _take_over(folder)
        yield folder
    finally:
        empty = all(entry.name in _KEPT for entry in folder.iterdir())
        if empty:
            (folder / _OWNER).unlink(missing_ok=True)
        lock.release()
        if empty:
            shutil.rmtree(folder, ignore_errors=True)


def _work_of(target: Path) -> Path:
    return target.with_name(f".{target.name}.ruska-work")


def _refuse_links(folder: Path) -> None:
    found = [folder] if folder.is_symlink() else []
    if folder.is_dir():
        found += [entry for entry in folder.iterdir() if entry.is_symlink()]
    if found:
        raise OutputError(
            found[0], "is a symbolic link, which Ruska never makes there", "Delete it, then run the same command again."
        )


def _take_over(folder: Path) -> None:
    """Sign the work; warn if it was started on another computer, whose locks may not reach here."""
    file = folder / _OWNER
    before = Owner.parse(file.read_text(encoding="ascii", errors="replace")) if file.exists() else None
    if before is not None and before.is_elsewhere() and any_block_done(folder):
        say(f"{folder}: was started on {before.computer} and continues here. Make sure that it no longer runs there.")
    file.write_text(f"{Owner.here()}\n", encoding="ascii")


def empty_work(folder: Path) -> None:
    """Delete the work in ``folder``. The caller holds its lock; the folder goes when the lock is released.

    The ledger is deleted first: without it, nothing that is left counts as finished.
    """
    for old in sorted(folder.iterdir(), key=lambda entry: entry.name != _LEDGER):
        if old.name not in _KEPT:
            shutil.rmtree(old) if old.is_dir() and not old.is_symlink() else old.unlink()


def face(result: Path) -> dict[str, int]:
    """What identifies a result, before and after it gets its name: size and time of its main file."""
    inside = (result / name for name in ("zarr.json", ".zattrs", ".zgroup"))
    stat = (next(filter(Path.exists, inside), result) if result.is_dir() else result).stat()
    return {"size": stat.st_size, "mtime_ns": stat.st_mtime_ns}


def clear_delivered(target: Path) -> bool:
    """Whether ``target`` is the complete result of a run killed before it tidied up; if so, its work is deleted."""
    if not (_work_of(target) / _LEDGER).exists() or not target.exists():
        return False
    try:
        with work_folder(target) as folder:
            entries, _ = _sound_lines((folder / _LEDGER).read_bytes())
            written = next((entry for entry in reversed(entries) if entry.get("key") == PLACING), None)
            if written is None or not _same_face(written, face(target)):
                return False
            empty_work(folder)
    except OSError:
        return False
    return True


def _same_face(written: Mapping[str, Any], now: Mapping[str, int]) -> bool:
    late = abs(int(written.get("mtime_ns", 0)) - now["mtime_ns"])
    return written.get("size") == now["size"] and late <= _CLOCK_GRAIN
