"""How the program ends: signals, closed and full streams, a working folder that is gone, pipes as inputs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals and streams of POSIX")

COMMAND = [sys.executable, "-m", "ruska.cli.main"]
STUBBORN = "\n    except KeyboardInterrupt:\n        print('told', flush=True); time.sleep(60)"
# A shell's background jobs inherit SIGINT ignored, and so would the program under test: it starts as from a prompt.
PROGRAM = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)
from ruska.cli import ending, main as cli
ending._GRACE = 3
{before}
def app(**_):
    try:
        print("ready", flush=True)
        time.sleep({seconds}){then}
cli.app = app
cli.main()
"""


def started(then: str, before: str = "", seconds: float = 60) -> subprocess.Popen[str]:
    program = PROGRAM.format(then=then, before=before, seconds=seconds)
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
def test_a_signal_ends_with_its_code_and_a_line(name, code):
    process = started("\n    finally:\n        print('tidied', flush=True)")
    process.send_signal(getattr(signal, name))
    out, errors = process.communicate(timeout=120)
    assert process.returncode == code
    assert out == "tidied\n"
    assert errors.startswith("ruska: interrupted")
    assert errors.endswith("The same command resumes where it stopped.\n")
    assert errors.count("\n") == 1


@pytest.mark.parametrize("second", ["SIGINT", "SIGTERM", None])
def test_a_second_signal_or_the_time_ends_what_does_not_end(second):
    process = started(STUBBORN)
    process.send_signal(signal.SIGTERM)
    assert process.stdout is not None
    assert process.stdout.readline() == "told\n"
    if second is not None:
        process.send_signal(getattr(signal, second))
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 143
    assert errors == "ruska: interrupted (SIGTERM). The same command resumes where it stopped.\n"


def test_what_was_started_to_outlive_its_terminal_does():
    process = started("\n    finally:\n        pass", "signal.signal(signal.SIGHUP, signal.SIG_IGN)", 0.5)
    process.send_signal(signal.SIGHUP)
    assert process.communicate(timeout=120) == ("", "")
    assert process.returncode == 0


def shell(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """``line`` with $RUSKA as the command; none of them may wait for anything."""
    environment = {**os.environ, "RUSKA": " ".join(COMMAND)}
    return subprocess.run(["sh", "-c", line], cwd=folder, capture_output=True, text=True, timeout=240, env=environment)


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        ("$RUSKA denoise a.npy -m median --no-report -o b.npy 2>&-", 0, ""),
        ("$RUSKA methods >&- 2>&- <&-", 0, ""),
        ("$RUSKA info nothing.tif 2>&-", 3, ""),
        ("$RUSKA info nothing.tif 2>/dev/full", 3, ""),
        ("$RUSKA methods >/dev/full", 4, "No space left on device"),
        ("$RUSKA methods --json | true", 0, ""),
        ("mkdir gone; cd gone; rmdir ../gone; PYTHONPATH= $RUSKA methods", 3, "was deleted"),
        ("mkfifo pipe.tif; $RUSKA info pipe.tif", 3, "is a pipe"),
        ("$RUSKA info /dev/zero", 3, "is a device"),
    ],
)
def test_it_works_or_says_why_in_a_line(tmp_path, line, code, words):
    if "/dev/full" in line and not Path("/dev/full").exists():
        pytest.skip("this system has no device that is always full")
    np.save(tmp_path / "a.npy", np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8))
    done = shell(line, tmp_path)
    assert done.returncode == code
    assert words in done.stderr
    assert done.stderr.count("\n") == (1 if words else 0)


def test_files_do_not_take_the_place_of_closed_streams(tmp_path):
    """The next file that is opened gets the number of a closed stream, and what is printed would land in it."""
    program = "import sys; from ruska import streams; streams.stand_on_open_streams(); f = open('a', 'w'); f.write('a')"
    line = f'"{sys.executable}" -c "{program}; import os; os.write(2, b\'printed\')" <&- >&- 2>&-'
    assert shell(line, tmp_path).returncode == 0
    assert (tmp_path / "a").read_text() == "a"


def told_to_end() -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(1)


def test_a_watcher_ends_with_the_program():
    from threading import enumerate as threads

    from ruska.cli.ending import signals

    inherited = signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job's is "ignored"
    try:
        with signals() as stop:
            assert signal.getsignal(signal.SIGINT) is not signal.default_int_handler
            with pytest.raises(KeyboardInterrupt):
                told_to_end()
        assert stop.code == 143
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, inherited)
    assert "ruska-signals" not in [t.name for t in threads()]
