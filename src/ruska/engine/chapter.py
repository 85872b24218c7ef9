"""A part of a ledger, for one of several runs of the same job."""

from __future__ import annotations

from typing import Any

from ruska.engine.ledger import NoLedger


class Chapter(NoLedger):
    """The entries of ``ledger`` that begin with ``name``, without that name; it has its own folder in the ledger's."""

    def __init__(self, ledger: NoLedger, name: str) -> None:
        super().__init__()
        self.ledger, self.prefix = ledger, f"{name} "
        self.entries = {
            key.removeprefix(self.prefix): facts for key, facts in ledger.entries.items() if key.startswith(self.prefix)
        }
        if ledger.folder is not None:
            self.folder = ledger.folder / name
            self.folder.mkdir(exist_ok=True)

    def add(self, key: str, **facts: Any) -> None:
        """Record in the whole ledger that ``key`` of this part is done."""
        self.ledger.add(self.prefix + key, **facts)
        super().add(key, **facts)
