"""``ruska models``: list, inspect, fetch and add trained models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ruska.cli.completion import model_names
from ruska.cli.options import Json
from ruska.cli.terminal import complain, say
from ruska.errors import RuskaError

models_app = typer.Typer(name="models", help="List, inspect, fetch and add trained models.", no_args_is_help=True)

Named = Annotated[
    str, typer.Argument(metavar="MODEL", help="A model, by folder or by name.", autocompletion=model_names)
]


@models_app.command("list")
def list_models(
    folder: Annotated[
        Path | None, typer.Argument(help="Folder to search, up to three levels deep. Default: installed models.")
    ] = None,
    json: Json = False,
) -> None:
    """List the models that come with Ruska, were fetched or were added; or those in a folder."""
    from ruska.cli import show
    from ruska.weights import ModelCard, find_models
    from ruska.weights.store import installed, models_folder

    if folder is None:
        cards = {str(found): card for found, card in installed()}
    else:
        cards = {str(found): ModelCard.read(found / "card.json") for found in find_models(folder)}
    if json:
        show.json({path: card.model_dump(mode="json") for path, card in cards.items()})
        return
    for path, card in cards.items():
        called = f"{card.name}: " if folder is None else ""
        say(f"{called}{path}: {card.method}, trained on {card.trained_on}")
    if not cards:
        say(f"There is no model in {(folder or models_folder()).resolve()}. `ruska train` makes one.")


@models_app.command("info")
def model_info(model: Named, json: Json = False) -> None:
    """Show a model's card."""
    from ruska.cli import show
    from ruska.weights import find_card, locate

    card = find_card(model)
    show.json(card.model_dump(mode="json")) if json else show.model(locate(model), card)


@models_app.command("verify")
def verify_models(
    models: Annotated[list[str], typer.Argument(metavar="MODEL...", help="Models, by folder or by name.")],
) -> None:
    """Check that the weights of models match their cards."""
    from ruska.weights import locate
    from ruska.weights.model import verify

    failed = None
    for model in models:
        try:
            say(f"{model}: intact, sha256 {verify(locate(model)).sha256[:12]}")
        except RuskaError as error:
            failed = error
            complain(str(error))
    if failed is not None:
        raise typer.Exit(failed.exit_code)


@models_app.command("fetch")
def fetch_model(
    model: Annotated[str, typer.Argument(metavar="NAME|SHA256", help="Its name, or the sha256 of its weights.")],
    mirrors: Annotated[
        list[str] | None, typer.Option("--from", metavar="MIRROR", help="https:// address or folder; may be repeated.")
    ] = None,
    offline: Annotated[
        bool, typer.Option("--offline", help="Do not use the network. RUSKA_OFFLINE=1 does the same.")
    ] = False,
    json: Json = False,
) -> None:
    """Fetch a model from a mirror, unless it is installed already. Its hash is checked before it is installed."""
    from ruska.cli import show
    from ruska.weights.mirror import fetch

    with show.progress(quiet=json) as progress:
        folder = fetch(model, mirrors or (), offline=offline, progress=progress)
    _say_where(folder, json)


@models_app.command("add")
def add_model(
    source: Annotated[Path, typer.Argument(metavar="FOLDER|FILE", help="A model's folder, or a zip file of it.")],
    json: Json = False,
) -> None:
    """Install a copy of a model, so that it can be used by name."""
    from ruska.weights.store import add

    _say_where(add(source), json)


def _say_where(folder: Path, json: bool) -> None:
    from ruska.cli import show
    from ruska.weights import ModelCard

    card = ModelCard.read(folder / "card.json")
    if json:
        show.json({"name": card.name, "sha256": card.sha256, "method": card.method, "folder": str(folder)})
    else:
        say(f"{card.name} ({card.method}, sha256 {card.sha256[:12]}) is in {folder}. Use it: --model {card.name}")
