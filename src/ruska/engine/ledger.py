"""The record of finished blocks that lets a killed run resume."""

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


class NoLedger:
    """For runs in memory: nothing is remembered."""

    def __init__(self) -> None:
        self.entries: dict[str, dict[str, Any]] = {}
        self.folder: Path | None = None

    def add(self, key: str, **facts: Any) -> None:
        self.entries[key] = facts


class Ledger(NoLedger):
    """A line per finished unit of work in ``folder/ledger.jsonl``, written after the work's data are in place.

    Lines from the first that is no JSON on are ignored, as a kill or a power cut may leave them: their blocks are
    simply done again.
    """

    def __init__(self, folder: Path, job: Mapping[str, Any]) -> None:
        """Open or begin the ledger of ``job``; work of another job in the same folder is discarded."""
        super().__init__()
        self.folder = folder
        self.file = folder / "ledger.jsonl"
        self.resumed = False
        self._open(fingerprint(job))

    def _open(self, identity: str) -> None:
        entries, length = _sound_lines(self.file.read_bytes()) if self.file.exists() else ([], 0)
        if entries and entries[0].get("job") == identity:
            self.entries = {e.pop("key"): e for e in entries[1:]}
            self.resumed = bool(self.entries)
            # Cut torn lines off, or the next entry would be glued to them. Never rewritten: the disk may be full.
            os.truncate(self.file, length)
            return
        empty_work(self.file.parent)
        self.file.write_text(json.dumps({"job": identity}) + "\n", encoding="utf-8")

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
    """Whether the ledger in ``folder`` holds work worth keeping: more than the job and its plan."""
    file = folder / "ledger.jsonl"
    return file.exists() and file.read_bytes().count(b"\n") > 2


def fingerprint(job: Mapping[str, Any]) -> str:
    """Digest of everything that decides a job's bytes."""
    return hashlib.sha256(json.dumps(job, sort_keys=True, default=str).encode()).hexdigest()


@contextmanager
def work_folder(target: Path) -> Iterator[Path]:
    """The locked folder beside ``target`` that holds unfinished work; JobBusyError when another process has it."""
    from filelock import FileLock, Timeout

    folder = target.with_name(f".{target.name}.ruska-work")
    if folder.is_symlink() or (folder / "lock").is_symlink():  # what is in it is deleted at the end
        raise OutputError(folder, "is or holds a symbolic link, and Ruska works in folders of its own", "Delete it.")
    folder.mkdir(exist_ok=True)
    lock = FileLock(folder / "lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as busy:
        raise JobBusyError(target, "another run is writing this output now", "Wait for it, or choose another name.") \
            from busy  # fmt: skip
    try:
        yield folder
    finally:
        empty = [entry.name for entry in folder.iterdir()] == ["lock"]
        lock.release()
        if empty:
            shutil.rmtree(folder, ignore_errors=True)


def empty_work(folder: Path) -> None:
    """Delete the work in ``folder``, whose lock the caller holds; the folder goes when the lock is released."""
    for old in folder.iterdir():
        if old.name != "lock":
            shutil.rmtree(old) if old.is_dir() else old.unlink()
