"""``ruska``: the command line.

Exit codes: 0 done, 1 unexpected error, 2 wrong options, 3 input, 4 output, 5 memory, 6 a missing optional package,
7 the output is being written by another run, 130 interrupted (143 by SIGTERM, 129 by SIGHUP).
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from ruska import __version__
from ruska.cli.arguments import hint_at_dashes, settings_of
from ruska.cli.completion import method_names
from ruska.cli.corpus import corpus_app
from ruska.cli.ending import Watched, end_now, signals, watched_output
from ruska.cli.models import models_app
from ruska.cli.options import (
    Axes,
    Dark,
    DarkAs,
    Defects,
    DefectsAs,
    Gain,
    GainAs,
    Input,
    Json,
    Memory,
    Method,
    Model,
    Overwrite,
    Set,
    VoxelSize,
    Workers,
)
from ruska.cli.tasks import Commands
from ruska.cli.terminal import complain, guard_streams, say, show_fault
from ruska.errors import InputError, OutputError, RuskaError, SettingsError
from ruska.streams import stand_on_open_streams

app = typer.Typer(
    name="ruska",
    help="Restores micrographs and says how far to trust the result.",
    no_args_is_help=True,
    cls=Commands,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.add_typer(models_app)
app.add_typer(corpus_app)


def main() -> NoReturn:
    """Entry point: prints one line for an error that the user can fix, and exits with the code of its kind."""
    stand_on_open_streams()
    with watched_output() as output, signals() as stop:
        guard_streams()
        try:
            code = _run(output)
        except KeyboardInterrupt:
            code = stop.code
        if stop.signal is not None and code:
            complain(stop.words)
            end_now(stop.code)
    if output.problem is not None:
        if not isinstance(output.problem, BrokenPipeError):  # a reader that has seen enough is no error
            complain(f"cannot write to the standard output ({output.problem.strerror}). Redirect it elsewhere.")
        code = code or OutputError.exit_code
    sys.exit(code)


def _run(output: Watched) -> int:
    """Run the command, report errors, and return the exit code."""
    try:
        os.getcwd()
    except OSError:
        complain("the current folder was deleted, or cannot be read. Change to another one (cd).")
        return InputError.exit_code
    try:
        return int(app(standalone_mode=False) or 0)  # typer returns the code of a typer.Exit
    except RuskaError as error:
        complain(str(error))
        return error.exit_code
    except typer.Abort:
        return 130
    except SystemExit as end:  # rich, where the reader of the standard output has gone
        return end.code if isinstance(end.code, int) else 1
    except Exception as error:
        if error is output.problem:
            return OutputError.exit_code
        if hasattr(error, "exit_code") and hasattr(error, "format_message"):  # a click usage error
            complain(f"{error.format_message()} {hint_at_dashes(sys.argv[1:])}Try `ruska --help`.")
            return 2
        with suppress(OSError):
            show_fault(error)
        complain("this is a bug in Ruska. Please report the lines above with the output of `ruska doctor --json`.")
        return 1


def _version(asked: bool) -> None:
    if asked:
        say(f"ruska {__version__}")
        raise typer.Exit


@app.callback()
def _global(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Restores micrographs and says how far to trust the result."""


@app.command()
def info(
    file: Input,
    axes: Axes = None,
    voxel_size: VoxelSize = None,
    method: Method = "auto",
    set_: Set = None,
    model: Model = None,
    dark: Dark = None,
    dark_as: DarkAs = None,
    gain: Gain = None,
    gain_as: GainAs = None,
    defects: Defects = None,
    defects_as: DefectsAs = None,
    memory: Memory = None,
    workers: Workers = None,
    json: Json = False,
) -> None:
    """Show what a file holds, the method Ruska suggests, and the memory and time it would take."""
    from ruska import pipeline
    from ruska.cli import show

    settings = settings_of(set_) | ({"model": model} if model is not None else {})
    image = pipeline.Input(path=file, axes=axes, voxel_size=voxel_size, dark=dark, dark_as=dark_as, gain=gain,
                           gain_as=gain_as, defects=defects, defects_as=defects_as)  # fmt: skip
    run = pipeline.RunOptions(memory=memory, workers=workers)
    request = pipeline.Request(task=pipeline.methods.task(method), method=method, settings=settings,
                               inputs={"image": image}, run=run)  # fmt: skip
    with show.progress(quiet=json) as progress:
        facts = pipeline.foresee(request, pipeline.Here(event=show.told(progress), own_process=True))
    show.json(facts) if json else show.facts(facts)


@app.command()
def evaluate(
    result: Annotated[str, typer.Argument(metavar="RESULT", help="The restored image.")],
    truth: Annotated[str | None, typer.Option(help="A clean image of the same place.")] = None,
    noisy: Annotated[str | None, typer.Option(help="The noisy image it was restored from.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for the scores and a picture. Default: none.")
    ] = None,
    register: Annotated[bool, typer.Option("--register", help="Align the truth first.")] = False,
    transform: Annotated[str | None, typer.Option(help="With --register: shift, rigid, affine or drift.")] = None,
    frames: Annotated[
        bool, typer.Option("--frames", help="RESULT is a stack of repeated frames: measure its SNR and FRC.")
    ] = False,
    apart: Annotated[
        int | None,
        typer.Option(help="With --frames: how many frames apart to compare. Default: from the file's record, or 1."),
    ] = None,
    axes: Axes = None,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Score a result against a clean image, its noisy input or repeated frames of the same place."""
    from ruska import pipeline
    from ruska.cli import scores, show

    if transform is not None and not register:
        raise SettingsError("--transform", "has no effect without --register", "Add --register.")
    if register and truth is None and not frames:
        raise SettingsError("--register", "needs a clean image to align", "Add --truth CLEAN.")
    files = {"image": result, "truth": truth, "noisy": noisy}
    settings = {"transform": (transform or "shift") if register else None, "frames": frames, "apart": apart}
    found = pipeline.run(pipeline.Request(
        task="evaluate", settings=settings,
        inputs={role: pipeline.Input(path=file, axes=axes) for role, file in files.items() if file is not None},
        output=None if output is None else str(output), run=pipeline.RunOptions(overwrite=overwrite),
    ))  # fmt: skip
    show.json(found.scores.as_dict()) if json else scores.evaluation(found)


@app.command()
def noise(
    file: Input,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for a picture and the numbers. Default: none.")
    ] = None,
    axes: Axes = None,
    dark: Dark = None,
    dark_as: DarkAs = None,
    gain: Gain = None,
    gain_as: GainAs = None,
    defects: Defects = None,
    defects_as: DefectsAs = None,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Measure the noise: its level, how it grows with the signal, its correlation, and the blind spot to use."""
    from ruska import pipeline
    from ruska.cli import show

    image = pipeline.Input(path=file, axes=axes, dark=dark, dark_as=dark_as, gain=gain,
                           gain_as=gain_as, defects=defects, defects_as=defects_as)  # fmt: skip
    found = pipeline.run(pipeline.Request(task="noise", inputs={"image": image},
                                          output=None if output is None else str(output),
                                          run=pipeline.RunOptions(overwrite=overwrite)))  # fmt: skip
    show.json(found) if json else show.table(f"Noise of {Path(file).name}", show.noise_rows(found))


@app.command()
def train(
    method: Annotated[
        str, typer.Argument(metavar="METHOD", help="blindspot, prior, or a baseline.", autocompletion=method_names)
    ],
    data: Annotated[list[str], typer.Argument(metavar="DATA...", help="Images, stores, or folders of images.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the model.")],
    set_: Set = None,
    minutes: Annotated[
        float | None, typer.Option(help="Stop after this many minutes. Default: train for the method's steps.")
    ] = None,
    start: Annotated[str | None, typer.Option(help="Folder of a model to start from.")] = None,
    preset: Annotated[str | None, typer.Option(help="For a prior: cpu, deep, gpu-30min or full.")] = None,
    memory: Annotated[
        str | None,
        typer.Option(help="Memory limit, e.g. 2GB. Default: half of the free memory; for a prior, no limit."),
    ] = None,
    axes: Axes = None,
    dark: Dark = None,
    dark_as: DarkAs = None,
    gain: Gain = None,
    gain_as: GainAs = None,
    defects: Defects = None,
    defects_as: DefectsAs = None,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Train a model on noisy files, to use on similar ones, or a prior on clean files.

    If it is interrupted, the same command resumes it.
    """
    from ruska import pipeline
    from ruska.cli import show

    own = {"minutes": minutes, "start": start, "preset": preset}
    settings = settings_of(set_) | {name: str(value) for name, value in own.items() if value is not None}
    files = tuple(pipeline.Input(path=file, axes=axes, dark=dark, dark_as=dark_as, gain=gain, gain_as=gain_as,
                                 defects=defects, defects_as=defects_as) for file in data)  # fmt: skip
    request = pipeline.Request(task="train", method=method, settings=settings, inputs={"data": files},
                               output=str(output),
                               run=pipeline.RunOptions(memory=memory, overwrite=overwrite))  # fmt: skip
    with show.progress(quiet=json) as progress:
        card = pipeline.run(request, pipeline.Here(event=show.told(progress), own_process=True))
    if isinstance(card, dict):  # of a training of another package
        show.json(card) if json else show.table(f"Model {output}", card)
    elif card is not None:
        show.json(card.model_dump(mode="json")) if json else show.model(output, card)


@app.command()
def register(
    moving: Annotated[str, typer.Argument(metavar="MOVING", help="Image to align to FIXED, or a stack to align.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Where to write; the suffix chooses the format.")],
    fixed: Annotated[
        str | None,
        typer.Argument(
            metavar="[FIXED]", help="Image to align to; it is never interpolated, so choose the noisier one."
        ),
    ] = None,
    transform: Annotated[str, typer.Option(help="shift, rigid, affine or drift (a shift varying along Y).")] = "shift",
    reach: Annotated[
        float | None, typer.Option(help="Largest shift in pixels. Default: a quarter of the shorter edge.")
    ] = None,
    neighbours: Annotated[int, typer.Option(help="For a stack: compare slices up to this many apart.")] = 3,
    trend: Annotated[str, typer.Option(help="For a stack: correct a steady drift, or keep it.")] = "correct",
    crop: Annotated[bool, typer.Option("--crop", help="For a stack: keep only the area that all slices show.")] = False,
    whole_pixels: Annotated[
        bool, typer.Option("--whole-pixels", help="For a stack: shift by whole pixels, without interpolating.")
    ] = False,
    axes: Axes = None,
    voxel_size: VoxelSize = None,
    dtype: Annotated[str, typer.Option(help="same as MOVING, or float32.")] = "same",
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Align an image to another of the same place, or the slices of a stack to each other."""
    from ruska import pipeline
    from ruska.cli import show
    from ruska.pipeline.request import checked

    settings = {"transform": transform, "reach": reach, "neighbours": neighbours, "trend": trend, "crop": crop,
                "whole_pixels": whole_pixels}  # fmt: skip
    files = {"image": moving, "fixed": fixed}
    request = pipeline.Request(
        task="register", settings=settings, output=str(output),
        inputs={r: pipeline.Input(path=f, axes=axes, voxel_size=voxel_size) for r, f in files.items() if f is not None},
        run=checked(pipeline.RunOptions, {"dtype": dtype, "overwrite": overwrite}, "options"),
    )  # fmt: skip
    with show.progress(quiet=json) as progress:
        result = pipeline.run(request, pipeline.Here(event=show.told(progress, quiet=json), own_process=True))
    show.json(result.record) if json else show.registration(result.record, output)


@app.command()
def demo(
    folder: Annotated[Path, typer.Option("--output", "-o", help="Where the demo's files go.")] = Path("ruska-demo"),
) -> None:
    """Simulate a micrograph, denoise it, score the result, and draw a picture."""
    from ruska.cli.demo import run_demo

    run_demo(folder)


@app.command()
def methods(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", help="Show this method and all its settings.", autocompletion=method_names),
    ] = None,
    json: Json = False,
) -> None:
    """List the methods, their purpose and their settings. NAME with --json prints its JSON Schema."""
    from ruska.cli import show
    from ruska.pipeline import TOOLS
    from ruska.pipeline import methods as room

    if name is None:
        found = {each: room.describe(each) for each in room.names()}
        show.json(found) if json else show.methods(found)
        return
    about = TOOLS[name] if name in TOOLS and name not in room.names() else room.about(name)
    show.json(about.schema()) if json else show.settings(about.schema())


@app.command()
def doctor(json: Json = False) -> None:
    """Check this installation: packages, processors, memory, formats."""
    from ruska.cli import show
    from ruska.cli.doctor import examine

    findings, healthy = examine()
    show.json({"healthy": healthy, **findings}) if json else show.table("This installation", findings)
    if not healthy:
        raise typer.Exit(1)


if __name__ == "__main__":
    main()
