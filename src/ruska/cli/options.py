"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Input = Annotated[str, typer.Argument(metavar="FILE", help="Image, OME-Zarr store, folder of slices or file.h5:/path.")]
Axes = Annotated[str | None, typer.Option(help="What each dimension is, e.g. ZYX or TYX; overrides the file.")]
VoxelSize = Annotated[str | None, typer.Option(help="e.g. 4nm, or 50nm,4nm,4nm for Z,Y,X; overrides the file.")]
Method = Annotated[str, typer.Option("--method", "-m", help="A method by name, or auto. `ruska methods` lists them.")]
Set = Annotated[list[str] | None, typer.Option("--set", "-s", metavar="NAME=VALUE", help="A setting of the method.")]
Memory = Annotated[str | None, typer.Option(help="Upper bound, e.g. 2GB. Default: half of what is free.")]
Workers = Annotated[int | None, typer.Option(help="Blocks side by side. Default: every core.")]
Roi = Annotated[str | None, typer.Option(help="Region, e.g. 100:612,0:512 (Y,X) or Z=3:9,Y=0:512,X=0:512.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]
Overwrite = Annotated[bool, typer.Option(help="Replace the output if it exists.")]
Model = Annotated[str | None, typer.Option(help="A model: its folder, or its name (`ruska models list`).")]
Dark = Annotated[str | None, typer.Option(help="Dark reference of the detector: subtracted from every frame.")]
Gain = Annotated[str | None, typer.Option(help="Gain reference of the detector: multiplied with every frame.")]
Prior = Annotated[
    str | None, typer.Option("--model", help="A trained prior: its folder, or its name. Default: Ruska's own.")
]
Steps = Annotated[int | None, typer.Option(help="Passes between measurement and prior. Default: 8.")]
StepSize = Annotated[float | None, typer.Option(help="Weight of the measurement, e.g. 0.3; 0: from its noise.")]
Samples = Annotated[
    int, typer.Option(metavar="K", help="Also K posterior samples (2 to 100) and their standard deviation, beside it.")
]
Seed = Annotated[int, typer.Option(help="Of the samples.")]
DType = Annotated[str, typer.Option(help="same as the input, or float32.")]
Report = Annotated[bool, typer.Option(help="Write an HTML and PNG report beside the output.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]
Restored = Annotated[Path | None, typer.Option("--output", "-o", help="Where to write; the suffix chooses the format.")]
Output = Annotated[
    Path | None,
    typer.Option("--output", "-o", help="Where to write; the suffix chooses the format. Default: FILE_denoised."),
]
