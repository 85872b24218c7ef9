"""The pages of docs/: commands parse, links lead somewhere, messages that are quoted are in the program."""

from __future__ import annotations

import ast
import re
import shlex
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer

from ruska.cli.main import app
from ruska.pipeline import methods

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
NAMES = [page.name if page.parent == ROOT else f"docs/{page.name}" for page in PAGES]
OTHERS = {"segment", "train dull"}  # commands of the packages that docs/extending.md shows


def commands(text: str) -> list[str]:
    """Every command of Ruska in the code blocks of a page, comments left out."""
    blocks = re.findall(r"```(?:sh)?\n(.*?)```", text, re.DOTALL)
    blocks += re.findall(r"(?:^    \S.*\n)+", text, re.MULTILINE)
    lines = [line.strip() for block in blocks for line in block.splitlines()]
    parts = [part.strip() for line in lines for part in re.split(r" ; | && ", line)]
    return [re.sub(r"^(?:\w+=\S+ )*", "", part) for part in parts if re.match(r"(?:\w+=\S+ )*ruska ", part)]


def parsed(line: str) -> dict[str, Any]:
    """What the innermost command of the line is given, its options checked; nothing is run.

    Raises AssertionError with what the command line would say.
    """
    words = shlex.split(line, comments=True)[1:]
    command, context = typer.main.get_command(app), None
    try:
        context = command.make_context("ruska", words)
        while hasattr(command, "resolve_command"):
            name, command, words = command.resolve_command(context, [*context._protected_args, *context.args])
            context = command.make_context(name, words, parent=context)
    except Exception as error:
        if type(error).__name__ == "Exit":  # of --version
            return {}
        raise AssertionError(f"{line}: {error}") from error
    return context.params


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_command_on_a_page_has_only_options_and_settings_that_exist(page):
    for line in commands(page.read_text(encoding="utf-8")):
        if any(line.startswith(f"ruska {other}") for other in OTHERS):
            continue
        given = parsed(line)
        if given.get("set_") and "file" in given:
            method = given.get("method", line.split()[1])
            known = methods.about("prior" if method == "auto" else method).record.model_fields
            assert {pair.partition("=")[0] for pair in given["set_"]} <= set(known), line


def test_commands_are_found_on_the_pages_and_wrong_ones_are_told():
    assert sum(len(commands(page.read_text(encoding="utf-8"))) for page in PAGES) > 80
    assert commands("```\nA=1 ruska info x ; ruska doctor   # why\n```\n") == ["ruska info x", "ruska doctor   # why"]
    assert commands("text\n\n    ruska info x\n") == ["ruska info x"]
    for wrong in ("ruska denoise x --no-such", "ruska models lits", "ruska evaluate x --model drift", "ruska info"):
        with pytest.raises(AssertionError):
            parsed(wrong)


def anchors(text: str) -> set[str]:
    """Of the headings of a page, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_link_on_a_page_leads_somewhere(page):
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith("http"):
            continue
        name, _, anchor = target.partition("#")
        there = page.parent / name if name else page
        assert there.exists(), target
        if anchor:
            assert anchor in anchors(there.read_text(encoding="utf-8")), target


def test_every_page_can_be_reached_from_the_index():
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    for page in PAGES[2:]:
        assert page.name == "README.md" or f"({page.name}" in index, page.name


@cache
def said() -> str:
    """All texts of the program, a line each; what is filled in is …"""
    lines: list[str] = []
    for file in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                lines.append("".join(str(v.value) if isinstance(v, ast.Constant) else "…" for v in node.values))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                lines.append(node.value.replace("\n", " "))
    return "\n".join(lines)


def test_every_message_that_troubleshooting_quotes_is_one_of_the_program():
    page = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (.*?) \| [^|]*\|$", page.partition("## Questions")[0], re.MULTILINE)
    assert len(rows) > 20
    for quoted in (text for row in rows for text in re.findall(r"`([^`]+)`", row)):
        for part in (part.strip(" '") for part in re.split("…", quoted)):
            assert part in said(), f"{quoted}: {part}"
