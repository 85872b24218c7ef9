"""Methods for the tests of jobs: one that is slow, block by block, and one that ends its process."""

from __future__ import annotations

import os
import time
from fractions import Fraction
from typing import Any

from ruska.image import Output
from ruska.methods.about import DENOISE, About
from ruska.methods.settings import Settings


class NoSettings(Settings):
    """Nothing to set."""


class Slow:
    """takes 0.4 s a block."""

    halo, multiple, scale = (0, 0), (1, 1), (Fraction(1), Fraction(1))
    outputs, locality, domain, threads = (Output(),), "exact", "normalised", "one"
    bytes_per_voxel = 16.0

    def __init__(self, settings: NoSettings) -> None:
        self.settings: dict[str, Any] = {}

    def prepare(self, source: object, normalisation: object, budget: object) -> Slow:
        return self

    def __call__(self, inputs: Any, random: object) -> Any:
        time.sleep(0.4)
        return {"mean": inputs["image"] * 0.5}


class Crash(Slow):
    """Ends the process at once, as a fault in a library would."""

    def __call__(self, inputs: Any, random: object) -> Any:
        os._exit(99)


SLOW = About("slow", DENOISE, "Slow.", NoSettings, Slow)
CRASH = About("crash", DENOISE, "Crashes.", NoSettings, Crash)
