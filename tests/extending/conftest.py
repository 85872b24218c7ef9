"""Packages of others, as an installer would leave them: one module, and what its entry points are."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ruska.methods import registry


@pytest.fixture
def install(tmp_path, monkeypatch) -> Callable[..., Path]:
    """``install("grains", source, {"ruska.methods": "grains = grains:GRAINS"})``, for this process and its children."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("PYTHONPATH", str(site))

    def put(module: str, source: str, entries: dict[str, str]) -> Path:
        (site / f"{module}.py").write_text(source, encoding="utf-8")
        about = site / f"{module}-1.0.dist-info"
        about.mkdir()
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n", encoding="utf-8")
        lines = [f"[{group}]\n{entry}" for group, entry in entries.items()]
        (about / "entry_points.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
        importlib.invalidate_caches()
        registry._elsewhere.cache_clear()
        registry._broken.clear()
        made.append(module)
        return site

    made: list[str] = []
    yield put
    for module in made:
        sys.modules.pop(module, None)
    registry._elsewhere.cache_clear()
    registry._broken.clear()
