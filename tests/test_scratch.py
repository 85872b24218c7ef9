"""What is not whole yet: gone when it is done, recognised after a kill, and left alone where it may be somebody's."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from filelock import FileLock

from ruska import scratch
from ruska.scratch import Owner, Scratch, put_in_place, remove, tidy, write_whole


@pytest.fixture(autouse=True)
def said(caplog):
    scratch._say_once.cache_clear()
    caplog.set_level(logging.WARNING, "ruska")
    return caplog


def left_by(folder: Path, owner: Owner, kind: str = "partial", name: str = "clean.tif") -> Path:
    """What a process leaves that is killed while it writes."""
    left = folder / f".ruska-{owner}-0123abcd.{kind}"
    left.mkdir()
    (left / "lock").touch()
    (left / name).write_bytes(b"half")
    return left


def dead() -> Owner:
    """This process's number, given out before."""
    here = Owner.here()
    return replace(here, start=here.start + 1)


def alive() -> Owner:
    pid = os.getppid()
    start = scratch._start(pid)
    assert start
    return replace(Owner.here(), pid=pid, start=start)


def test_nothing_stays_of_what_is_closed(tmp_path):
    with Scratch(tmp_path) as folder:
        (folder / "a").mkdir()
        (folder / "a" / "b").write_bytes(b"")
        tidy(tmp_path)
        assert (folder / "a" / "b").exists()  # our own, at work
    assert list(tmp_path.iterdir()) == []


def test_a_file_appears_whole(tmp_path, monkeypatch):
    write_whole(tmp_path / "a", b"old")
    monkeypatch.setattr(scratch.os, "replace", lambda *_: (_ for _ in ()).throw(OSError(5, "Input/output error")))
    with pytest.raises(OSError, match="Input/output"):
        write_whole(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_what_a_killed_process_left_goes_and_is_said(tmp_path, said):
    program = (
        "import sys, time; from pathlib import Path; from ruska.scratch import Scratch\n"
        "folder = Scratch(Path(sys.argv[1])).path; (folder / 'a').write_bytes(bytes(200000))\n"
        "print('ready', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    tidy(tmp_path)
    assert len(list(tmp_path.iterdir())) == 1
    assert "still going" in said.text
    process.kill()
    process.communicate()
    tidy(tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert "unfinished files of 1 killed run (0.2 MB)" in said.text


@pytest.mark.parametrize(
    ("owner", "words"),
    [(alive, "still going"), (lambda: replace(dead(), host="lab3-0123abcd"), "run on lab3"), (dead, "is in use")],
)
def test_what_may_be_alive_stays_and_is_said_once(tmp_path, said, owner, words):
    left = left_by(tmp_path, owner())
    lock = FileLock(left / "lock")
    if owner is dead:
        lock.acquire()
    tidy(tmp_path)
    tidy(tmp_path)
    lock.release()
    assert (left / "clean.tif").read_bytes() == b"half"
    assert said.text.count(words) == 1


def test_links_are_not_followed(tmp_path, said):
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis").write_text("all I have")
    left = left_by(tmp_path, dead())
    try:
        (left / "inside").symlink_to(mine, target_is_directory=True)
        (tmp_path / f".ruska-{dead()}-0123abce.partial").symlink_to(mine, target_is_directory=True)
    except OSError:
        pytest.skip("this system lets nobody make links")
    tidy(tmp_path)
    assert not left.exists()
    assert (mine / "thesis").exists()
    assert "is a link" in said.text
    (tmp_path / "link").symlink_to(mine, target_is_directory=True)
    remove(tmp_path / "link")
    assert (mine / "thesis").exists()


@pytest.mark.parametrize("name", [".clean.0123abcd.partial.tif", ".clean.ome.zarr.0123abcd.old"])
def test_what_older_versions_left_is_said_and_stays(tmp_path, said, name):
    (tmp_path / name).write_bytes(b"")
    tidy(tmp_path)
    assert (tmp_path / name).exists()
    assert "older version" in said.text


def test_names_like_ours_are_not_ours(tmp_path):
    names = [".ruska-x.partial", f".ruska-{dead()}.partial", f".ruska-{dead()}-0123abcd.partial.tif", "a.partial"]
    for name in names:
        (tmp_path / name).mkdir()
    tidy(tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == set(names)


@pytest.mark.parametrize("new_is_there", [False, True])
def test_the_old_one_comes_back_where_the_new_one_did_not_come(tmp_path, new_is_there):
    left = left_by(tmp_path, dead(), "replaced", "clean.ome.zarr")
    if new_is_there:
        (tmp_path / "clean.ome.zarr").write_bytes(b"new")
    tidy(tmp_path)
    assert not left.exists()
    assert (tmp_path / "clean.ome.zarr").read_bytes() == (b"new" if new_is_there else b"half")


def test_a_folder_takes_the_place_of_another(tmp_path):
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    put_in_place(tmp_path / "new", tmp_path / "old")
    assert [p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*")] == ["old", "old/new"]


def test_an_owner_says_itself_and_is_read_back():
    here = Owner.here()
    assert Owner.parse(f"{here}\n") == here
    assert not here.is_dead()
    assert Owner.parse("nobody") is None
