"""Zip files of models: two plain members, counted as they come; nothing is left of any other."""

from __future__ import annotations

import io
import json
import os
import signal
import stat
import struct
import subprocess
import sys
import time
import warnings
import zipfile

import pytest
from tests.weights.small import FACTS, network

from ruska.errors import InputError
from ruska.weights import archive, find_card, save_model
from ruska.weights.model import CARD, WEIGHTS, pour
from ruska.weights.store import add, arriving, installed, models_folder


@pytest.fixture
def model(tmp_path, monkeypatch):
    """Card and weights of a model, as bytes; the store is empty."""
    monkeypatch.setenv("RUSKA_MODELS", str(tmp_path / "store"))
    save_model(tmp_path / "made", network().state_dict(), {**FACTS, "name": "mine"})
    return (tmp_path / "made" / CARD).read_bytes(), (tmp_path / "made" / WEIGHTS).read_bytes()


def nothing_is_left():
    found = list(models_folder().iterdir()) if models_folder().exists() else []
    return found == [] and len(installed()) == 1


def packed(path, *members, compression=zipfile.ZIP_DEFLATED):
    """members : pairs of a name, or a ZipInfo, and content."""
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w", compression) as file:
        warnings.simplefilter("ignore")  # of names that stand twice
        for name, content in members:
            file.writestr(name, content, compress_type=compression)
    return path


def link(name, mode=stat.S_IFLNK):
    info = zipfile.ZipInfo(name)
    info.create_system = 3
    info.external_attr = (mode | 0o777) << 16
    return info


@pytest.mark.parametrize("where", ["../", "/", "a/../../", "C:/", "a/b/../"])
@pytest.mark.parametrize("which", [CARD, WEIGHTS])
def test_names_that_lead_out_are_refused(model, tmp_path, where, which):
    names = [where + name if name == which else name for name in (CARD, WEIGHTS)]
    with pytest.raises(InputError, match="leads out of the archive"):
        add(packed(tmp_path / "a.zip", *zip(names, model, strict=True)))
    assert nothing_is_left()


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("mode", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFDIR])
def test_links_and_pipes_are_refused(model, tmp_path, which, mode):
    names = [CARD, WEIGHTS]
    names[which] = link(names[which], mode)
    contents = list(model)
    contents[which] = b"/etc/passwd"
    with pytest.raises(InputError, match="a link or another special file"):
        add(packed(tmp_path / "a.zip", *zip(names, contents, strict=True)))
    assert nothing_is_left()


@pytest.mark.parametrize("second", [CARD, WEIGHTS, f"other/{CARD}", f"./{WEIGHTS}"])
def test_a_file_that_stands_twice_is_refused(model, tmp_path, second):
    with pytest.raises(InputError, match="holds 2 files"):
        add(packed(tmp_path / "a.zip", (CARD, model[0]), (WEIGHTS, model[1]), (second, b"")))
    assert nothing_is_left()


def test_card_and_weights_stand_side_by_side(model, tmp_path):
    with pytest.raises(InputError, match="in two folders"):
        add(packed(tmp_path / "a.zip", (f"a/{CARD}", model[0]), (f"b/{WEIGHTS}", model[1])))


def test_other_files_do_no_harm(model, tmp_path):
    add(packed(tmp_path / "a.zip", (f"m/{CARD}", model[0]), ("m/log.csv", b""), (f"__MACOSX/m/._{CARD}", b"x"),
               (f"m/{WEIGHTS}", model[1]), (link("m/elsewhere"), b"/etc")))  # fmt: skip
    assert find_card("mine")
    assert sorted(p.name for p in next(models_folder().glob("[0-9a-f]*")).iterdir()) == [CARD, WEIGHTS]


def test_encrypted_files_are_refused(model, tmp_path):
    content = bytearray(packed(tmp_path / "a.zip", (CARD, model[0]), (WEIGHTS, model[1])).read_bytes())
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        place = content.find(mark)
        while place >= 0:
            content[place + offset] |= 1
            place = content.find(mark, place + 1)
    (tmp_path / "a.zip").write_bytes(bytes(content))
    with pytest.raises(InputError, match="is encrypted"):
        add(tmp_path / "a.zip")
    assert nothing_is_left()


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_unusual_compressions_are_refused(model, tmp_path, compression):
    with pytest.raises(InputError, match="expected deflate"):
        add(packed(tmp_path / "a.zip", (CARD, model[0]), (WEIGHTS, model[1]), compression=compression))


def test_too_many_members_are_refused(model, tmp_path, monkeypatch):
    members = [(CARD, model[0]), (WEIGHTS, model[1]), *((f"{k}.txt", b"") for k in range(30))]
    file = packed(tmp_path / "a.zip", *members)
    monkeypatch.setattr(archive, "MOST_MEMBERS", 31)
    with pytest.raises(InputError, match="holds 32 files, expected at most 31"):
        add(file)
    monkeypatch.setattr(archive, "_MOST_LISTED", 1000)
    with pytest.raises(InputError, match="list of members"):
        add(file)


@pytest.mark.parametrize("which", [CARD, WEIGHTS])
@pytest.mark.parametrize("claimed", [None, 100])
def test_a_bomb_is_stopped_at_what_it_can_hold(model, tmp_path, which, claimed, monkeypatch):
    """Whatever size the archive claims: it is counted."""
    bomb = bytes(64 << 20)
    contents = {CARD: model[0], WEIGHTS: model[1], which: bomb}
    file = packed(tmp_path / "a.zip", *contents.items())
    assert file.stat().st_size < 1 << 20
    if claimed is not None:
        lied = file.read_bytes().replace(struct.pack("<I", len(bomb)), struct.pack("<I", claimed))
        file.write_bytes(lied)
    else:
        monkeypatch.setattr(archive, "pour", lambda *_: pytest.fail("was unpacked, although it says its size"))
    said = "cannot be unpacked" if claimed else {CARD: "has more than", WEIGHTS: "has at most"}[which]
    with pytest.raises(InputError, match=said) as caught:
        add(file)
    assert "a.zip" in str(caught.value)
    assert nothing_is_left()


def test_no_more_is_poured_than_a_model_can_have(tmp_path):
    with pytest.raises(InputError, match="has at most"):
        pour(io.BytesIO(bytes(5 << 20)), tmp_path / "out", 2 << 20, "a model")
    assert (tmp_path / "out").stat().st_size <= 2 << 20


@pytest.mark.parametrize("cut", [0.2, 0.5, 0.9, 0.99])
def test_a_damaged_archive_is_one_line(model, tmp_path, cut):
    content = packed(tmp_path / "a.zip", (CARD, model[0]), (WEIGHTS, model[1])).read_bytes()
    for harmed in (content[: int(len(content) * cut)], content[int(len(content) * cut) :]):
        (tmp_path / "b.zip").write_bytes(harmed)
        with pytest.raises(InputError, match=r"b\.zip"):
            add(tmp_path / "b.zip")
        assert nothing_is_left()


def test_any_byte_of_an_archive_may_be_wrong(model, tmp_path):
    content = packed(tmp_path / "a.zip", (CARD, model[0]), (WEIGHTS, model[1])).read_bytes()
    start = content.rfind(b"PK\x01\x02", 0, content.rfind(b"PK\x01\x02"))
    for place in [*range(0, 30, 2), *range(start, len(content), 2)]:
        for value in (0x00, 0xFF):
            changed = bytearray(content)
            changed[place] = value
            (tmp_path / "b.zip").write_bytes(bytes(changed))
            (tmp_path / "out").mkdir(exist_ok=True)
            try:
                if archive.is_archive(tmp_path / "b.zip"):
                    archive.unpack(tmp_path / "b.zip", tmp_path / "out")
            except InputError:
                continue


def test_what_a_killed_process_left_goes_with_the_next(model, tmp_path):
    """And it is no model before it is whole, nor is what another process is at taken away."""
    program = """
import sys, time
from ruska.weights.store import arriving
from ruska.weights.model import CARD, WEIGHTS
with arriving() as folder:
    for name, source in zip((CARD, WEIGHTS), sys.argv[1:]):
        (folder / name).write_bytes(open(source, "rb").read())
    print("there", flush=True)
    time.sleep(100)
"""
    made = [tmp_path / "made" / name for name in (CARD, WEIGHTS)]
    words = [sys.executable, "-c", program, *map(str, made)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, env={**os.environ}) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline().strip() == b"there"
            assert len(installed()) == 1
            with arriving():
                pass
            left = list(models_folder().glob(f".ruska-*.partial/model/{WEIGHTS}"))
            assert len(left) == 1
        finally:
            process.send_signal(getattr(signal, "SIGKILL", signal.SIGTERM))
    time.sleep(0.1)
    assert left[0].exists()
    assert len(installed()) == 1
    with arriving():
        pass
    assert list(models_folder().iterdir()) == []
    assert json.loads(model[0])["name"] == "mine"
