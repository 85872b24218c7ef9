"""Options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

from ruska.cli.completion import method_names, model_names, setting_names

Input = Annotated[str, typer.Argument(metavar="FILE", help="Image, OME-Zarr store, folder of slices or file.h5:/path.")]
Axes = Annotated[str | None, typer.Option(help="Axis of each dimension, e.g. ZYX or TYX; overrides the file.")]
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
Memory = Annotated[str | None, typer.Option(help="Memory limit, e.g. 2GB. Default: half of the free memory.")]
Workers = Annotated[int | None, typer.Option(help="Blocks processed in parallel. Default: one per core.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]
Overwrite = Annotated[bool, typer.Option(help="Replace the output if it exists.")]
Model = Annotated[
    str | None,
    typer.Option(help="A model, by folder or by name (see `ruska models list`).", autocompletion=model_names),
]
Dark = Annotated[str | None, typer.Option(help="Dark reference of the detector: subtracted from every frame.")]
DarkAs = Annotated[
    str | None,
    typer.Option(metavar="STEPS", help="How to prepare it, e.g. times10 for sums of 10 frames; see --gain-as."),
]
Gain = Annotated[str | None, typer.Option(help="Gain reference of the detector: every frame is multiplied by it.")]
GainAs = Annotated[
    str | None,
    typer.Option(
        metavar="STEPS",
        help="How to prepare it: rot90, rot180, rot270 (clockwise), flip-y, flip-x, bin2, expand2, invert (for a flat "
        "field), keep; join several with commas; or MotionCor's RotGain,FlipGain such as 1,2. Default: turned to match "
        "the frames, where they show its pattern.",
    ),
]
Defects = Annotated[
    str | None,
    typer.Option(
        help="Bad pixels of the detector, to be mended: an image that is 1 there, or a list by SerialEM or MotionCor."
    ),
]
DefectsAs = Annotated[str | None, typer.Option(metavar="STEPS", help="How to prepare them; see --gain-as.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print what would be done, without doing it.")]
Files = Annotated[
    list[str],
    typer.Argument(
        metavar="FILE...",
        help="Image, OME-Zarr store, folder of slices or file.h5:/path. Several, or a pattern like '*.tif', are "
        "restored one by one.",
    ),
]
Output = Annotated[
    str | None,
    typer.Option(
        "--output", "-o", metavar="PATH",
        help="Where to write; the suffix chooses the format. For several files: a folder. Default: beside FILE.",
    ),
]  # fmt: skip
Batch = Annotated[
    bool,
    typer.Option(
        "--batch", help="Restore each image of a folder by itself, not as slices of one stack. -o is a folder."
    ),
]
Recursive = Annotated[
    bool, typer.Option("--recursive", help="With --batch: include subfolders; the results have the same tree.")
]
