"""The standard streams of a process: what a command and the process of a job need of them alike."""

from __future__ import annotations

import os
import sys
from contextlib import suppress


def stand_on_open_streams() -> None:
    """Lead closed streams (``2>&-``, a daemon) to nowhere; else the next file that is opened takes their place."""
    with suppress(OSError):
        while (spare := os.open(os.devnull, os.O_RDWR)) <= 2:
            os.set_inheritable(spare, True)
        os.close(spare)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115  # to the end of the program
