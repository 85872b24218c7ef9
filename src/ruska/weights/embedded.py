"""Where the models that come with Ruska lie."""

from __future__ import annotations

from pathlib import Path

EMBEDDED = Path(__file__).parent / "prior"
NOISE_READER = Path(__file__).parent / "noise_reader"
