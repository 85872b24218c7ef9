"""The ledger: resumes its own job, discards another's, survives a line cut short."""

from __future__ import annotations

import os

import pytest

from ruska.engine.ledger import PLACING, Ledger, any_block_done, clear_delivered, empty_work, face, work_folder
from ruska.errors import JobBusyError, OutputError


def test_it_remembers_what_was_done(tmp_path):
    first = Ledger(tmp_path, {"input": "a"})
    first.add("block 0", clipped=3)
    again = Ledger(tmp_path, {"input": "a"})
    assert again.resumed
    assert again.entries == {"block 0": {"clipped": 3}}


def test_another_job_starts_from_nothing(tmp_path):
    Ledger(tmp_path, {"input": "a"}).add("block 0")
    (tmp_path / "blocks").mkdir()
    (tmp_path / "blocks" / "0_0.npy").write_bytes(b"old")
    other = Ledger(tmp_path, {"input": "b"})
    assert not other.resumed
    assert other.entries == {}
    assert not (tmp_path / "blocks").exists()


@pytest.mark.parametrize("cut", range(1, 12))
def test_a_torn_last_line_is_done_again(tmp_path, cut):
    ledger = Ledger(tmp_path, {})
    ledger.add("block 0")
    ledger.add("block 1")
    text = ledger.file.read_bytes()
    ledger.file.write_bytes(text[:-cut])
    resumed = Ledger(tmp_path, {})
    assert set(resumed.entries) == {"block 0"}
    resumed.add("block 2")
    assert set(Ledger(tmp_path, {}).entries) == {"block 0", "block 2"}


@pytest.mark.parametrize("torn", [b"\0\0\0\0\n", b"\xff\xfe\n", b"[1]\n", b'{"clipped": 1}\n', b"\n"])
def test_what_a_power_cut_left_and_what_comes_behind_it_is_done_again(tmp_path, torn):
    ledger = Ledger(tmp_path, {})
    for index in range(2):
        ledger.add(f"block {index}")
    lines = ledger.file.read_bytes().splitlines(keepends=True)
    ledger.file.write_bytes(b"".join([*lines[:2], torn, lines[2]]))
    resumed = Ledger(tmp_path, {})
    assert set(resumed.entries) == {"block 0"}
    resumed.add("block 1")
    assert set(Ledger(tmp_path, {}).entries) == {"block 0", "block 1"}


def test_a_torn_first_line_starts_from_nothing(tmp_path):
    Ledger(tmp_path, {}).file.write_bytes(b'{"jo')
    assert Ledger(tmp_path, {}).entries == {}


def test_two_runs_cannot_share_an_output(tmp_path):
    target = tmp_path / "clean.tif"
    with work_folder(target) as folder:
        with pytest.raises(JobBusyError, match="another run"), work_folder(target):
            pass
        (folder / "work").write_text("unfinished")
    with work_folder(target) as folder:
        assert (folder / "work").read_text() == "unfinished"
        empty_work(folder)
    assert list(tmp_path.iterdir()) == []


def test_only_finished_blocks_are_worth_keeping(tmp_path):
    assert not any_block_done(tmp_path)
    ledger = Ledger(tmp_path, {"method": "tv"})
    ledger.add("plan")
    assert not any_block_done(tmp_path)
    ledger.add("block 0")
    assert any_block_done(tmp_path)


def test_a_line_is_on_the_disk_when_its_work_counts_as_done(tmp_path, monkeypatch):
    ledger = Ledger(tmp_path, {"a": 1})
    sizes = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: sizes.append(os.fstat(descriptor).st_size))
    ledger.add("block 0")
    assert sizes == [ledger.file.stat().st_size]


def test_a_link_in_place_of_the_work_folder_is_refused_and_what_it_leads_to_stays(tmp_path):
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis").write_text("all I have")
    target = tmp_path / "clean.tif"
    work = tmp_path / ".clean.tif.ruska-work"
    try:
        work.symlink_to(mine, target_is_directory=True)
    except OSError:
        pytest.skip("this system lets nobody make links")
    with pytest.raises(OutputError, match="is a symbolic link"), work_folder(target) as folder:
        empty_work(folder)
    work.unlink()
    work.mkdir()
    (work / "ledger.jsonl").symlink_to(mine / "thesis")
    with pytest.raises(OutputError, match="is a symbolic link"), work_folder(target):
        pass
    assert (mine / "thesis").read_text() == "all I have"


def test_work_that_was_begun_on_another_computer_is_gone_on_with_and_said(tmp_path, caplog):
    target = tmp_path / "clean.tif"
    with work_folder(target) as folder:
        ledger = Ledger(folder, {})
        for key in ("plan", "block 0"):
            ledger.add(key)
        (folder / "owner").write_text("lab3-0123abcd-7-8\n")
    with work_folder(target) as folder:
        assert Ledger(folder, {}).resumed
    assert "started on lab3" in caplog.text
    with work_folder(target):
        pass
    assert caplog.text.count("started on") == 1


@pytest.mark.parametrize("changed", [False, True])
def test_only_the_result_itself_ends_its_work(tmp_path, changed):
    target = tmp_path / "clean.npy"
    target.write_bytes(b"result")
    with work_folder(target) as folder:
        ledger = Ledger(folder, {})
        assert not clear_delivered(tmp_path / "other.npy")
        ledger.add("block 0")
        ledger.add(PLACING, **face(target))
    if changed:
        target.write_bytes(b"something else")
    assert clear_delivered(target) is not changed
    assert (tmp_path / ".clean.npy.ruska-work").exists() is changed
