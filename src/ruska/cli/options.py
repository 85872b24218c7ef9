"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ruska.cli.completion import method_names, model_names, setting_names

Input = Annotated[str, typer.Argument(metavar="FILE", help="Image, OME-Zarr store, folder of slices or file.h5:/path.")]
Axes = Annotated[str | None, typer.Option(help="What each dimension is, e.g. ZYX or TYX; overrides the file.")]
VoxelSize = Annotated[str | None, typer.Option(help="e.g. 4nm, or 50nm,4nm,4nm for Z,Y,X; overrides the file.")]
Method = Annotated[
    str,
    typer.Option(
        "--method", "-m", help="A method by name, or auto. `ruska methods` lists them.", autocompletion=method_names
    ),
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", "-s", metavar="NAME=VALUE", help="A setting of the method.", autocompletion=setting_names),
]
Memory = Annotated[str | None, typer.Option(help="Upper bound, e.g. 2GB. Default: half of what is free.")]
Workers = Annotated[int | None, typer.Option(help="Blocks side by side. Default: every core.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]
Overwrite = Annotated[bool, typer.Option(help="Replace the output if it exists.")]
Model = Annotated[
    str | None,
    typer.Option(help="A model: its folder, or its name (`ruska models list`).", autocompletion=model_names),
]
Dark = Annotated[str | None, typer.Option(help="Dark reference of the detector: subtracted from every frame.")]
Gain = Annotated[str | None, typer.Option(help="Gain reference of the detector: multiplied with every frame.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]
Output = Annotated[
    Path | None,
    typer.Option("--output", "-o", help="Where to write; the suffix chooses the format. Default: beside FILE."),
]
Batch = Annotated[bool, typer.Option("--batch", help="FILE is a folder of unrelated images; -o a folder.")]
