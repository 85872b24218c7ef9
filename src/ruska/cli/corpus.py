"""``ruska corpus``: pack micrographs for training a prior, and inspect a packed corpus."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ruska.cli.options import Json, Overwrite

corpus_app = typer.Typer(name="corpus", help="Pack micrographs for training a prior.", no_args_is_help=True)


@corpus_app.command("build")
def build_corpus(
    data: Annotated[list[str], typer.Argument(metavar="DATA...", help="Images, stores, or folders of images.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the packed corpus.")],
    planes: Annotated[int, typer.Option(min=1, help="Use at most this many planes from each stack.")] = 64,
    credit: Annotated[list[str] | None, typer.Option(help="Source and licence of the data, for the card.")] = None,
    pixel_size: Annotated[
        list[str] | None,
        typer.Option(metavar="PATTERN=NM", help="Pixel size of files that lack it, e.g. 'fib25*=10'. Repeatable."),
    ] = None,
    json: Json = False,
) -> None:
    """Pack micrographs at every scale at which they are clean enough; masks are left out."""
    from dataclasses import asdict

    from ruska import corpus
    from ruska.cli import show
    from ruska.corpus.pixel_sizes import parse_sizes
    from ruska.pipeline.training import training_files

    sizes = parse_sizes(pixel_size or [])
    with show.progress(quiet=json) as progress:
        report = corpus.build(training_files(data, stacks=False), output, most_planes=planes, credits=credit or (),
                              pixel_sizes=sizes, progress=progress)  # fmt: skip
    show.json(asdict(report)) if json else show.corpus(output, report)


@corpus_app.command("show")
def show_corpus(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A folder that `ruska corpus build` wrote.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="PNG", help="Where to write thumbnails of all planes.")
    ] = None,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Show what a packed corpus holds, and draw a thumbnail of every plane."""
    from ruska import corpus
    from ruska.cli import show

    found = corpus.show(folder, output, overwrite=overwrite)
    left_out = [f"{reason} ({count})" for reason, count in found.get("refused", {}).items()]
    rows = {**show.corpus_rows(found), "left out": left_out or "unknown", "pictures": output}
    show.json(found) if json else show.table(f"Corpus {folder}", rows)
