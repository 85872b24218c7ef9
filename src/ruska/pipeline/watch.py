"""Watches input files while they are used, so that no result mixes two versions of a file."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ruska.errors import ChangedInputError, RuskaError
from ruska.io.digest import digest_image
from ruska.io.stamps import check_unchanged

if TYPE_CHECKING:
    from ruska.engine import Progress
    from ruska.image import Image

_EVERY = 10.0  # seconds from one glance to the next, and
_SHARE = 100  # at least this many times as long as a glance took, as there may be many files on a slow share


class Watch:
    """Checks the files of ``images`` from time to time. ``ours`` : the output, which may lie among them."""

    def __init__(self, images: Sequence[Image], ours: Path | None = None) -> None:
        self.images, self.ours = images, ours
        self._digests: dict[int, str] = {}
        opened = min((i.stamp.taken_ns / 1e9 for i in images if i.stamp is not None), default=time.time())
        self._next = time.monotonic() + _EVERY - (time.time() - opened)

    def check(self) -> None:
        """Raise ChangedInputError if a file changed since it was opened, InputError if it is gone."""
        for image in self.images:
            check_unchanged(image, ours=self.ours, digest=self._digests.get(id(image)))

    def digest(self, image: Image) -> str:
        """Digest of one image; with it, `check` can tell whether a replaced file still has the same contents."""
        self._digests[id(image)] = digest_image(image)
        return self._digests[id(image)]

    def glance(self) -> None:
        """A quick check by sizes and times, when one is due: called at every step, so that a run ends early."""
        if (started := time.monotonic()) < self._next:
            return
        for image in self.images:
            check_unchanged(image, thorough=False, ours=self.ours)
        ended = time.monotonic()
        self._next = ended + max(_EVERY, _SHARE * (ended - started))

    def over(self, progress: Progress | None) -> Progress:
        """``progress`` with a `glance` at every step."""

        def stepped(stage: str, done: int, total: int) -> None:
            self.glance()
            if progress is not None:
                progress(stage, done, total)

        return stepped


@contextmanager
def watched(*images: Image, ours: Path | None = None) -> Iterator[Watch]:
    """Watch the files of ``images`` while they are used; the caller calls `Watch.check` once the result is complete.

    If a file was truncated or rewritten meanwhile, that is raised instead of the error it may have caused.
    """
    watch = Watch(images, ours)
    watch.glance()
    try:
        yield watch
    except ChangedInputError:
        raise
    except Exception as error:
        try:
            watch.check()
        except RuskaError as found:
            raise found from error
        raise
