"""Text of strangers through every command: what a terminal would obey comes out as an escape, on the line it is on."""

from __future__ import annotations

import io
import json
import logging
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

import ruska
from ruska.cli import main as cli
from ruska.cli import show, terminal
from ruska.image import Image, Quantity
from ruska.plain_text import lines, one_line
from ruska.weights import ModelCard

ESCAPES = "\x1b]0;title\x07\x1b[2J\r\x9b\u202e\u2028\u200b"
FORGED = "\nruska: all is well"
HOSTILE = f"[red]{ESCAPES}:smile:{FORGED}"
VALUES = np.random.default_rng(0).normal(1000, 100, (48, 40)).astype(np.uint16)

posix_names = pytest.mark.skipif(sys.platform == "win32", reason="Windows allows no control characters in names")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "400")
    return tmp_path


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def run(*words: str | Path) -> tuple[int, str]:
    """Exit code, and all that was printed on either stream."""
    shown = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["ruska", *map(str, words)])
        patch.setattr(sys, "stdout", shown)
        patch.setattr(sys, "stderr", shown)
        with pytest.raises(SystemExit) as stop:
            cli.main()
    return int(stop.value.code or 0), shown.getvalue()


def check(shown: str) -> None:
    assert lines(shown) == shown
    assert not [line for line in shown.splitlines() if line.startswith("ruska: all")]


def image_named(name: str) -> str:
    ruska.write("plain.tif", Image(VALUES, "YX"))
    Path("plain.tif").rename(name)
    return name


@posix_names
def test_names_of_files(here: Path) -> None:
    name = image_named(HOSTILE.replace("/", "") + ".tif")
    code, shown = run("info", name, "-m", "gaussian")
    check(shown)
    assert code == 0
    assert one_line(name) in shown  # whole: no markup, no picture for :smile:
    code, shown = run("denoise", name, "-o", f"{HOSTILE}.mrc", "-m", "gaussian", "--no-report")
    check(shown)
    assert f"Wrote {one_line(HOSTILE)}.mrc" in shown
    code, shown = run("denoise", name, "-o", f"{HOSTILE}.mrc", "-m", "gaussian", "--no-report")
    check(shown)
    assert code == 4
    assert len(shown.splitlines()) == 1


@posix_names
def test_names_that_are_no_unicode(here: Path) -> None:
    try:
        name = image_named("a\udcff.tif")
    except OSError:
        pytest.skip("this disk takes names in Unicode only")
    for words, expected in ((("info", name, "-m", "gaussian"), 0), (("denoise", name, "-m", "gaussian"), 4)):
        code, shown = run(*words)
        check(shown)
        assert code == expected
    code, shown = run("denoise", name, "-o", "out.tif", "-m", "gaussian", "--no-report", "--json")
    assert (code, json.loads(shown)["input"]["path"]) == (0, name)
    assert "a\\udcff.tif" in Path("out.record.json").read_text(encoding="ascii")


def test_names_of_channels(here: Path) -> None:
    image = Image(np.stack([VALUES, VALUES]), "CYX", channel_names=(HOSTILE, "b"), spacing={"Y": Quantity(4, "nm")})
    ruska.write("c.ome.zarr", image)
    code, shown = run("info", "c.ome.zarr", "-m", "gaussian")
    check(shown)
    assert code == 0
    assert f"{one_line(HOSTILE)}; b" in shown
    code, shown = run("info", "c.ome.zarr", "-m", "gaussian", "--json")
    assert json.loads(shown)["channels"] == [HOSTILE, "b"]
    check(shown)


def test_names_of_datasets(here: Path) -> None:
    import h5py

    with h5py.File("two.h5", "w") as file:
        file[f"A{HOSTILE}"], file[f"B{HOSTILE}"] = VALUES, VALUES
    for words in (("info", "two.h5"), ("info", f"two.h5:/{HOSTILE}")):
        code, shown = run(*words)
        check(shown)
        assert (code, len(shown.splitlines())) == (3, 1)


@pytest.mark.parametrize("words", [
    ("denoise", "a.tif", "--set", HOSTILE), ("denoise", "a.tif", "-m", HOSTILE), (HOSTILE,), (f"--{HOSTILE}",),
    ("denoise", "a.tif", "-m", "gaussian", "--set", f"{HOSTILE}=1"), ("info", HOSTILE), ("models", "info", HOSTILE),
    ("denoise", "a.tif", "-o", HOSTILE), ("denoise", "a.tif", "--roi", HOSTILE), ("train", HOSTILE, "a.tif", "-o", "m"),
    ("info", "a.tif", "--voxel-size", HOSTILE), ("info", "a.tif", "--axes", HOSTILE), ("models", "verify", HOSTILE),
    ("denoise", "a.tif", "-m", "gaussian", "--memory", HOSTILE), ("isotropic", "a.tif", "--factor", HOSTILE),
])  # fmt: skip
def test_what_the_user_typed(words: tuple[str, ...], here: Path) -> None:
    image_named("a.tif")
    code, shown = run(*words)
    check(shown)
    assert code in (2, 3, 4), shown
    assert len(shown.splitlines()) == 1


def test_cards_of_models(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUSKA_MODELS", str(here / "models"))
    network = {"kind": "halfplane", "spot": [1, 1], "frames": 1, "outputs": 1, "widths": [16, 32, 64, 64]}
    image = {"name": HOSTILE, "shape": [48, 40], "axes": "YX", "dtype": HOSTILE, "hash": "", "voxel_size_nm": {}}
    facts = {"name": HOSTILE, "method": "blindspot", "network": network, "settings": {},
             "training": {"notes": [HOSTILE]}, "licence": HOSTILE, "credits": [HOSTILE], "sha256": "0" * 64,
             "data": [image]}  # fmt: skip
    (here / "m").mkdir()
    (here / "m" / "card.json").write_text(ModelCard(**facts).model_dump_json())
    for words in (("models", "info", "m"), ("models", "list", "."), ("models", "verify", "m"), ("models", "add", "m")):
        shown = run(*words)[1]
        check(shown)
        assert words[1] in ("verify", "add") or one_line(HOSTILE) in shown


def test_a_fault_is_shown_whole_and_marked(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: object) -> None:
        raise ZeroDivisionError(HOSTILE) from ValueError(HOSTILE)

    monkeypatch.setattr("ruska.pipeline.inspect.foresee", broken)
    code, shown = run("info", "a.tif")
    check(shown)
    assert code == 1
    assert "Traceback" in shown
    assert "| ruska: all is well" in shown.splitlines()  # what is not ours has the mark
    assert shown.splitlines()[-1].startswith("ruska: this is a bug")


def test_warnings_logs_and_prints_of_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    errors = io.StringIO()
    monkeypatch.setattr(sys, "stderr", errors)
    monkeypatch.setattr(sys, "stdout", errors)
    terminal.guard_streams()
    terminal.guard_streams()  # twice is once
    sys.stderr.write(warnings.formatwarning(UserWarning(HOSTILE), UserWarning, f"{HOSTILE}.py", 3))
    record = logging.LogRecord("a", logging.WARNING, "", 0, HOSTILE, (), None)
    assert logging.lastResort is not None
    logging.lastResort.handle(record)
    check(errors.getvalue())
    assert len(errors.getvalue().splitlines()) == 2
    print(ESCAPES)
    sys.stderr.writelines([ESCAPES, "\n"])
    check(errors.getvalue())


def test_a_closed_stream_stays_closed(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image_named("a.tif")
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, None)
    monkeypatch.setattr(sys, "argv", ["ruska", "denoise", "a.tif", "-o", "b.tif", "-m", "gaussian", "--no-report"])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert (stop.value.code, (here / "b.tif").exists()) == (0, True)
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:  # led to nowhere
            stream.close()


def test_a_terminal_gets_our_colours_and_bars_only(monkeypatch: pytest.MonkeyPatch) -> None:
    shown, errors = Terminal(), Terminal()
    monkeypatch.setattr(sys, "stdout", shown)
    monkeypatch.setattr(sys, "stderr", errors)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "400")
    monkeypatch.delenv("NO_COLOR", raising=False)
    terminal.guard_streams()
    show.table(HOSTILE, {HOSTILE: HOSTILE, "more": {HOSTILE: [HOSTILE, 1.5]}})
    with show.progress() as progress:
        assert progress is not None
        progress(f"writing {HOSTILE}", 1, 2)
        sys.stderr.write(f"while it runs {ESCAPES}\n")
    for text in (shown.getvalue(), errors.getvalue()):
        assert "\x1b[" in text  # ours: bold names, a bar that moves
        for hostile in ("\x1b]", "\x07", "\x1b[2J\\r", "\x9b", "\u202e", "\u2028", "\u200b"):
            assert hostile not in text
        assert "[red]" in text
    assert "while it runs \\x1b]0;title" in errors.getvalue()


def test_a_console_escapes_what_nobody_made_one_line() -> None:
    out = io.StringIO()
    screen = terminal.screen()
    screen.file = out
    screen.print(f"[red]{ESCAPES}\n:smile:")
    check(out.getvalue())
    assert out.getvalue().startswith("[red]\\x1b]0;title")
    assert out.getvalue().endswith("\\u200b\n:smile:\n")


def test_help_keeps_its_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = Terminal()
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr(sys, "stdout", shown)
    monkeypatch.setattr(sys, "argv", ["ruska", "--help"])
    with pytest.raises(SystemExit):
        cli.main()
    assert "\\x1b" not in shown.getvalue()
    assert "denoise" in shown.getvalue()
