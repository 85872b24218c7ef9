"""Folders for unfinished files, beside their destination; those left by killed runs are recognised and deleted.

The name of a folder says whose it is, ``.ruska-HOST-PID-START-xxxxxxxx.KIND``, and its lock is held while its process
lives. It is deleted only if it is a folder of this user and not a link, was made on this computer, its process is gone,
and nobody holds its lock. Everything else is left alone and reported.
"""

from __future__ import annotations

import hashlib
import logging
import os
import platform
import re
import shutil
import sys
import uuid
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Literal

Kind = Literal["partial", "replaced", "unpacked"]
"""An unfinished file; an old one that makes room for its successor; an unpacked copy."""

_LOCK = "lock"
_NAME = re.compile(
    r"\.ruska-(?P<owner>[a-z0-9]*-[0-9a-f]{8}-\d{1,10}-\d{1,20})-[0-9a-f]{8}\.(?P<kind>partial|replaced|unpacked)"
)
_OLD = re.compile(r"\..+\.[0-9a-f]{8}\.(?:partial\..+|old)")
"""Leftovers beside an output from versions that did not write the owner into the name."""
_MOST_NAMED = 3
_ENDED = (b"Z", b"X")
"""States of processes on Linux that have ended, but were not reaped by their parent."""
_UNKNOWN = 1
_log = logging.getLogger("ruska")


def say(text: str) -> None:
    """A line for the user that is not an error: on the error stream, unless the program has set up logging."""
    _log.warning("ruska: %s", text)


# Who


@dataclass(frozen=True)
class Owner:
    """The process that something belongs to.

    host : short name, and a digest of what else distinguishes computers and containers. start : when the process
    started, in a unit of its system, because process numbers are reused.
    """

    host: str
    pid: int
    start: int

    @classmethod
    def here(cls) -> Owner:
        """This process."""
        return cls.of(os.getpid())

    @classmethod
    def of(cls, pid: int) -> Owner:
        """A process on this computer that was just started."""
        return cls(_host(), pid, _start(pid) or 0)

    @classmethod
    def parse(cls, text: str) -> Owner | None:
        """Parse the result of `str`; None if it is something else."""
        host, *numbers = text.strip().rsplit("-", 2)
        if len(numbers) != 2 or not all(n.isdecimal() for n in numbers):
            return None
        return cls(host, int(numbers[0]), int(numbers[1]))

    def __str__(self) -> str:
        return f"{self.host}-{self.pid}-{self.start}"

    @property
    def computer(self) -> str:
        """Its name, if known."""
        return self.host.rpartition("-")[0] or "another computer"

    def is_elsewhere(self) -> bool:
        """Whether it is on another computer, or in another container on this one."""
        return self.host != _host()

    def is_dead(self) -> bool:
        """Whether the process was on this computer and is certainly gone."""
        if self.is_elsewhere() or not _start(os.getpid()):  # this system tells nothing about processes
            return False
        return _start(self.pid) not in (self.start, _UNKNOWN)


@cache
def _host() -> str:
    name = platform.node()
    facts = [name, _machine(), _process_space()]
    short = re.sub(r"[^a-z0-9]", "", name.partition(".")[0].lower())[:16]
    return f"{short}-{hashlib.sha256(repr(facts).encode()).hexdigest()[:8]}"


def _machine() -> str:
    """The system's identifier of this installation; empty if it has none."""
    if sys.platform == "win32":
        import winreg

        with suppress(OSError), winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, r"SOFTWARE\Microsoft\Cryptography") as key:
            return str(winreg.QueryValueEx(key, "MachineGuid")[0])
    for file in ("/etc/machine-id", "/var/lib/dbus/machine-id"):
        with suppress(OSError):
            return Path(file).read_text("ascii", "replace").strip()
    return ""


def _process_space() -> str:
    """Identifies the container, as each numbers its own processes."""
    with suppress(OSError):
        return os.readlink("/proc/self/ns/pid")
    return ""


def _start(pid: int) -> int | None:
    """When a process started, above 0; None if there is none, `_UNKNOWN` if access is denied."""
    if sys.platform == "linux":
        try:
            stat = Path(f"/proc/{pid}/stat").read_bytes()
        except OSError:
            return None
        fields = stat[stat.rindex(b")") + 1 :].split()
        return None if fields[0] in _ENDED else int(fields[19]) + 1  # setting the clock does not change it
    import psutil

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else int(process.create_time())
    except psutil.NoSuchProcess:
        return None
    except psutil.Error:
        return _UNKNOWN


# Making


class Scratch:
    """A folder of this process in ``parent``, deleted on close: ``with Scratch(target.parent) as folder``.

    Raises OSError if it cannot be made.
    """

    def __init__(self, parent: Path, kind: Kind = "partial") -> None:
        from filelock import FileLock, Timeout

        self.path = parent / f".ruska-{Owner.here()}-{uuid.uuid4().hex[:8]}.{kind}"
        # unpacked copies may lie in a shared folder; a result is as open as its folder
        self.path.mkdir(0o700 if kind == "unpacked" else 0o777)
        self._lock = FileLock(self.path / _LOCK, timeout=0, thread_local=False)
        with suppress(OSError, Timeout, NotImplementedError):  # a share without locks: the name must do
            self._lock.acquire()

    def close(self) -> None:
        """Delete the folder and what is in it; never raises."""
        _empty(self.path)
        self._lock.release()
        _drop(self.path)

    def __enter__(self) -> Path:
        return self.path

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def write_whole(path: Path, content: bytes) -> None:
    """Write a file that appears whole or not at all; OSError if it cannot be written."""
    with Scratch(path.absolute().parent) as folder:
        part = folder / path.name
        part.write_bytes(content)
        os.replace(part, path)


def put_in_place(part: Path, target: Path) -> None:
    """Move a finished file or folder to its final name; an existing folder is deleted only after that.

    After a kill in between, `tidy` puts the old one back.
    """
    if not target.is_dir() or target.is_symlink():
        os.replace(part, target)
        return
    with Scratch(target.absolute().parent, "replaced") as folder:
        aside = folder / target.name
        os.replace(target, aside)
        try:
            os.replace(part, target)
        except BaseException:
            os.replace(aside, target)
            raise


def remove(path: Path) -> None:
    """Delete a file or folder that we made, if it exists; of a link, only the link."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


# Tidying


def tidy(parent: Path, old_names: re.Pattern[str] = _OLD) -> None:
    """Delete what killed runs left in ``parent``, and say so; report what may be in use. Never raises OSError.

    old_names : names of leftovers of older versions, whose owner is unknown: these are reported, not deleted.
    """
    gone, size, old = 0, 0, []
    with suppress(OSError), os.scandir(parent) as entries:
        for entry in entries:
            if match := _NAME.fullmatch(entry.name):
                taken = _tidy_one(Path(entry.path), match["owner"], match["kind"])
                gone, size = gone + (taken is not None), size + (taken or 0)
            elif old_names.fullmatch(entry.name):
                old.append(entry.name)
    if gone:
        say(f"{parent}: deleted unfinished files of {gone} killed run{'s' * (gone > 1)} ({_bytes(size)}).")
    if old:
        _say_once(f"{parent}: {_listed(old)}: left unfinished by an older version of Ruska, owner unknown. "
                  "Delete it if no run is writing there.")  # fmt: skip


def _tidy_one(folder: Path, text: str, kind: str) -> int | None:
    """Delete one folder if allowed; returns how many bytes it held, or None if it stays."""
    from filelock import FileLock, Timeout

    owner = Owner.parse(text)
    if owner is None or owner == Owner.here():
        return None
    try:
        if not _is_own_folder(folder):
            _say_once(f"{folder}: is a link, or belongs to another user: left alone.")
        elif owner.is_elsewhere():
            _say_once(f"{folder}: belongs to a run on {owner.computer}: left alone. Delete it if that run has ended.")
        elif not owner.is_dead():
            _say_once(f"{folder}: belongs to a run that is still going (process {owner.pid}): left alone.")
        else:
            with FileLock(folder / _LOCK, timeout=0, thread_local=False):
                if kind == "replaced":
                    _bring_back(folder)
                size = _size(folder)
                _empty(folder)
            _drop(folder)
            return size
    except Timeout:
        _say_once(f"{folder}: is in use, perhaps by another computer: left alone.")
    except FileNotFoundError:
        pass  # another run was faster
    except OSError as error:
        _say_once(f"{folder}: was left by a killed run and cannot be deleted ({error.strerror or error}).")
    return None


def _bring_back(folder: Path) -> None:
    """Put back what made room for a successor that was never finished."""
    for old in folder.iterdir():
        target = folder.parent / old.name
        if old.name != _LOCK and not os.path.lexists(target):
            os.replace(old, target)
            say(f"{target}: the run that was replacing it was killed: the old one was put back.")


def _is_own_folder(folder: Path) -> bool:
    stat = folder.lstat()
    is_link = folder.is_symlink() or bool(getattr(stat, "st_reparse_tag", 0))
    return folder.is_dir() and not is_link and (not hasattr(os, "getuid") or stat.st_uid == os.getuid())


def _empty(folder: Path) -> None:
    with suppress(OSError):
        for inside in list(folder.iterdir()):
            if inside.name != _LOCK:
                with suppress(OSError):
                    remove(inside)


def _drop(folder: Path) -> None:
    """Delete the lock last: after a kill in between, the next run still recognises the folder."""
    with suppress(OSError):
        (folder / _LOCK).unlink(missing_ok=True)
        folder.rmdir()


def _size(folder: Path) -> int:
    return sum((Path(at) / name).lstat().st_size for at, _, names in os.walk(folder) for name in names)


def _bytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{size} bytes"


def _listed(names: list[str]) -> str:
    shown = ", ".join(sorted(names)[:_MOST_NAMED])
    return shown if len(names) <= _MOST_NAMED else f"{shown} and {len(names) - _MOST_NAMED} more"


@cache
def _say_once(text: str) -> None:
    say(text)
