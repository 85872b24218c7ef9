"""Write the tables of docs/methods.md from what the methods say of themselves: ``python docs/make_tables.py``."""

from __future__ import annotations

import sys
from pathlib import Path

from ruska import methods
from ruska.methods.tables import table_of

PAGE = Path(__file__).parent / "methods.md"
BEGIN, END = "<!-- settings: made by docs/make_tables.py -->\n", "<!-- end of settings -->\n"


def with_table(text: str) -> str:
    """The page with the table between its markers made anew."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"{PAGE} has no place for the table: {BEGIN.strip()} ... {END.strip()}")
    return before + BEGIN + "\n" + table_of(methods.about(name) for name in methods.METHODS) + "\n" + END + after


def main() -> int:
    """0: the page is as it should be, or was written; 1: ``--check``, and it is not."""
    text = PAGE.read_text(encoding="utf-8")
    made = with_table(text)
    if "--check" in sys.argv:
        return int(made != text)
    PAGE.write_text(made, encoding="utf-8", newline="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
