"""Results on disk, by what they depend on, so that nothing is computed twice."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import ruska

_RESULT_ROOMS = ("physics", "networks", "diffusion", "methods", "engine", "training")


@dataclass(frozen=True)
class Notes:
    """JSON-like values in ``folder``, by a text that names all that they depend on."""

    folder: Path

    def recall(self, about: str, compute: Callable[[], Any]) -> Any:
        """The value that was kept under ``about``; else what ``compute`` gives, which is kept."""
        file = self.folder / f"note_{hashlib.sha256(about.encode()).hexdigest()[:24]}.json"
        if file.exists():
            return json.loads(file.read_text())["value"]
        value = compute()
        self.folder.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps({"about": about, "value": value}))
        return value


@cache
def source_digest(rooms: tuple[str, ...] = _RESULT_ROOMS) -> str:
    """Of Ruska's code that a result may depend on; of all of it for no rooms."""
    found = hashlib.sha256()
    package = Path(ruska.__file__).parent
    for folder in [package / room for room in rooms] or [package]:
        for file in sorted(folder.rglob("*.py")):
            found.update(file.read_bytes())
    return found.hexdigest()[:8]
