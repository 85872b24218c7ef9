"""Shared fixtures: where the real micrographs are."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import pytest

DATA = Path(os.environ.get("RUSKA_DATA", Path(__file__).parents[2] / "shared" / "data"))


@pytest.fixture(scope="session")
def micrographs() -> Path:
    """Folder of real micrographs; tests that need it are skipped where it is absent, not where it was promised."""
    if not (DATA / "MANIFEST.csv").exists():
        if "RUSKA_DATA" in os.environ:
            pytest.fail(f"the real micrographs are missing: RUSKA_DATA is {DATA}")
        pytest.skip("needs the real micrographs: set RUSKA_DATA to their folder")
    return DATA


@pytest.fixture(scope="session")
def manifest(micrographs: Path) -> list[dict[str, str]]:
    """Rows of the micrographs' manifest."""
    with (micrographs / "MANIFEST.csv").open(newline="") as file:
        return list(csv.DictReader(file))
