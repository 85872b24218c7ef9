"""Links in folders that hold an image: stores and folders of slices. One that leads out of the folder is refused.

A folder from someone else may hold a link to any file of the user who opens it, whose bytes would then appear in the
result. Where a name really leads is compared, not how it gets there, so that links of every system count: symbolic
links, and junctions on Windows. A hard link is a second name of a file and cannot be recognised.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from ruska.errors import InputError

FOLLOW = "RUSKA_FOLLOW_LINKS"
_WAY_OUT = f"If you trust it, set {FOLLOW}=1 and run the same command again; otherwise put the file itself there."
_REPARSE_POINT = getattr(stat, "FILE_ATTRIBUTE_REPARSE_POINT", 0x400)


def links_are_followed() -> bool:
    """Whether RUSKA_FOLLOW_LINKS allows links that lead out of a store or folder."""
    return os.environ.get(FOLLOW, "").strip().lower() not in ("", "0", "false", "no")


class Bounds:
    """The bounds of one folder, whose files are looked at before they are opened.

    The folder itself may be reached through links; its real place counts. Each subfolder is resolved once, each file
    every time, which takes one ``lstat`` if it is not a link.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._real = os.path.realpath(root)
        self._free = links_are_followed()
        self._inside: set[str] = set()

    def check(self, name: str) -> None:
        """InputError when ``name`` (below the folder, with ``/``) leads out of it, to nothing, or to no file or folder.

        Missing files are not an error: formats have optional pieces.
        """
        if _leads_out(name):
            raise InputError(self.root, f"refers to '{name}', which is outside of it", "Copy it again from its source.")
        folder, _, last = name.rpartition("/")
        self._check_folder(folder)
        place = os.path.join(self.root, folder, last)
        try:
            found = os.lstat(place)
        except (OSError, ValueError):  # missing, or a name that the system does not allow
            return
        if _is_link(found):
            self._check_link(place)
            try:
                found = os.stat(place)
            except OSError as error:
                raise InputError(place, f"is a link to {_target(place)}, which cannot be reached ({error.strerror})",
                                 "Bring that file back, or copy the folder together with the files it links to.") \
                    from error  # fmt: skip
        if not (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)):
            raise InputError(place, "is a pipe or a device, not a file", "Put a file there, or remove it.")

    def is_inside(self, place: str | Path) -> bool:
        """Whether the real place of ``place`` is in the folder."""
        here, root = os.path.normcase(os.path.realpath(place)), os.path.normcase(self._real)
        return here == root or here.startswith(root.rstrip(os.sep) + os.sep)

    def _check_folder(self, folder: str) -> None:
        if folder not in self._inside:
            self._check_link(os.path.join(self.root, folder))
            self._inside.add(folder)

    def _check_link(self, place: str) -> None:
        if not self._free and not self.is_inside(place):
            link = self._first_link(place)
            raise InputError(link, f"is a link that points outside {self.root} (to {_target(link)})",
                             f"Ruska does not follow it. {_WAY_OUT}")  # fmt: skip

    def _first_link(self, place: str) -> str:
        """The first part of ``place`` that points outside the folder, for the error."""
        parts = os.path.relpath(place, self.root).split(os.sep)
        partial = (os.path.join(self.root, *parts[: n + 1]) for n in range(len(parts)))
        return next((part for part in partial if not self.is_inside(part)), place)


def _leads_out(name: str) -> bool:
    """Whether a name by itself points elsewhere. This is refused even when links are allowed."""
    return (
        (".." in name and ".." in name.replace("\\", "/").split("/"))
        or os.path.isabs(name)
        or bool(os.path.splitdrive(name)[0])
    )


def _is_link(found: os.stat_result) -> bool:
    return stat.S_ISLNK(found.st_mode) or bool(getattr(found, "st_file_attributes", 0) & _REPARSE_POINT)


def is_link(path: str | Path) -> bool:
    """Whether ``path`` itself is a symbolic link, or a junction or the like on Windows."""
    try:
        return _is_link(os.lstat(path))
    except OSError:
        return False


def _target(link: str) -> str:
    """The target of a link; the place itself if the target cannot be read."""
    try:
        return os.readlink(link)
    except (OSError, ValueError):
        return os.path.realpath(link)
