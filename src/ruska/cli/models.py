"""``ruska models``: looking at trained models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ruska.cli.arguments import complain
from ruska.cli.options import Json
from ruska.errors import RuskaError

models_app = typer.Typer(name="models", help="Look at trained models.", no_args_is_help=True)


@models_app.command("list")
def list_models(
    folder: Annotated[Path, typer.Argument(help="Where to look, and up to three folders below.")] = Path(),
    json: Json = False,
) -> None:
    """List the models in a folder and below."""
    from ruska.cli import show
    from ruska.weights import ModelCard, find_models

    cards = {str(found): ModelCard.read(found / "card.json") for found in find_models(folder)}
    if json:
        show.json({path: card.model_dump(mode="json") for path, card in cards.items()})
    elif cards:
        for path, card in cards.items():
            print(f"{path}: {card.method}, trained on {card.trained_on}")
    else:
        print(f"There is no model in {folder.resolve()}. `ruska train` makes one.")


@models_app.command("info")
def model_info(
    folder: Annotated[Path, typer.Argument(metavar="MODEL", help="Folder of the model.")], json: Json = False
) -> None:
    """Show a model's card."""
    from ruska.cli import show
    from ruska.weights import ModelCard

    card = ModelCard.read(folder / "card.json")
    show.json(card.model_dump(mode="json")) if json else show.model(folder, card)


@models_app.command("verify")
def verify_models(
    folders: Annotated[list[Path], typer.Argument(metavar="MODEL...", help="Folders of models.")],
) -> None:
    """Check that weights are the ones their card speaks of."""
    from ruska.weights.model import verify

    failed = None
    for folder in folders:
        try:
            print(f"{folder}: whole, sha256 {verify(folder).sha256[:12]}")
        except RuskaError as error:
            failed = error
            complain(str(error))
    if failed is not None:
        raise typer.Exit(failed.exit_code)
