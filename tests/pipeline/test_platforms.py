"""A whole run without what only some systems have: no fork, no POSIX modules, no /proc, another C library."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np

import ruska

PROGRAM = """
import ctypes, json, os, platform, signal, sys

import psutil  # its own business

for name in ("resource", "pwd", "grp", "termios", "pty"):
    sys.modules[name] = None
for name in ("fork", "forkpty", "posix_spawn", "sched_getaffinity", "getuid", "geteuid", "statvfs", "mkfifo",
             "killpg", "setsid", "sync"):
    delattr(os, name)
for name in ("SIGKILL", "SIGHUP", "SIGALRM", "SIGUSR1"):
    delattr(signal, name)
platform.libc_ver = lambda *given: ("", "")

import ruska.cli.main
from ruska.engine import allocator, memory

def not_there(path, *given, **more):
    raise FileNotFoundError(path)

memory.open = not_there  # where it looks into /proc and /sys

class Windows:
    peak_wset = rss = 400 << 20

psutil.Process.memory_info = lambda self: Windows

folder, name = sys.argv[1:]
result = ruska.denoise(f"{folder}/{name}", f"{folder}/clean {name}", method="gaussian", workers=2)
print(json.dumps({
    "shape": result.image.shape, "report": str(result.report), "peak": memory.peak_memory(),
    "cores": memory.usable_cores(), "told": [allocator.keep_freed_memory(), allocator.share_one_heap()],
}))
"""


def test_a_run_needs_nothing_that_only_some_systems_have(tmp_path):
    folder = tmp_path / "données 試料"
    folder.mkdir()
    noisy = np.random.default_rng(0).normal(100, 9, (3, 64, 70)).astype(np.float32)
    ruska.write(folder / "überblick 1.tif", ruska.Image(noisy, "ZYX"))
    words = [sys.executable, "-X", "utf8", "-c", PROGRAM, str(folder), "überblick 1.tif"]
    done = subprocess.run(words, capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr[-1500:]
    assert "Warning" not in done.stderr
    said = json.loads(done.stdout)
    assert said["shape"] == [3, 64, 70]
    assert (said["peak"], said["told"]) == (400 << 20, [False, False])
    assert said["cores"] >= 1
    assert ruska.read(folder / "clean überblick 1.tif").numpy().std() < noisy.std()
    assert (folder / "clean überblick 1.report.html").exists()
    assert not [f for f in folder.iterdir() if f.name.startswith(".")]
