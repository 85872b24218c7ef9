"""What is settled is on the disk, as far as the disk can say."""

from __future__ import annotations

import errno
import os

import pytest

from ruska.disk import settle


def test_what_was_written_is_flushed_before_it_is_synced(tmp_path, monkeypatch):
    sizes = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: sizes.append(os.fstat(descriptor).st_size))
    with (tmp_path / "a").open("wb") as file:
        file.write(b"abc")
        settle(file)
    assert sizes == [3]


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP])
def test_a_share_that_cannot_sync_is_no_error(number, tmp_path, monkeypatch):
    def refuse(descriptor):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refuse)
    with (tmp_path / "a").open("wb") as file:
        settle(file)


def test_a_full_disk_is_one(tmp_path, monkeypatch):
    def refuse(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    with (tmp_path / "a").open("wb") as file, pytest.raises(OSError, match="No space left"):
        settle(file)
