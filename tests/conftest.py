"""Shared by all rooms: the slow tier, what must not depend on how busy the machine is, where real micrographs are."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# How long an example takes says how busy the machine is, nothing about the code.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

_ASKED = "slow tests run with --slow, and in continuous integration"

DATA = Path(os.environ.get("RUSKA_DATA", Path(__file__).parents[2] / "shared" / "data"))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="run the slow tests too")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--slow"):
        for item in items:
            if item.get_closest_marker("slow"):
                item.add_marker(pytest.mark.skip(reason=_ASKED))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    left_out = [report for report in terminalreporter.stats.get("skipped", []) if _ASKED in str(report.longrepr)]
    if left_out:
        terminalreporter.write_line(f"Left out: {len(left_out)}; {_ASKED}.")


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Networks this small gain little from a second thread, wait for it on a busy machine, and round otherwise.

    Processes that tests start are left as they are.
    """
    import torch

    torch.set_num_threads(1)


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
