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
from ruska.cli.arguments import (
    corpus_or_files,
    default_output,
    hint_at_dashes,
    open_image,
    parse_roi,
    settings_of,
    training_files,
)
from ruska.cli.corpus import corpus_app
from ruska.cli.ending import Watched, end_now, signals, stand_on_open_streams, watched_output
from ruska.cli.models import models_app
from ruska.cli.options import (
    Axes,
    Dark,
    DryRun,
    DType,
    Gain,
    Input,
    Json,
    Memory,
    Method,
    Model,
    Output,
    Overwrite,
    Prior,
    Report,
    Restored,
    Roi,
    Samples,
    Seed,
    Set,
    Steps,
    StepSize,
    VoxelSize,
    Workers,
)
from ruska.cli.run import Run, restoration, reuse_memory, with_model
from ruska.cli.terminal import complain, guard_streams, say, show_fault
from ruska.errors import InputError, OutputError, RuskaError, SettingsError

app = typer.Typer(
    name="ruska",
    help="Restores micrographs and says how far to trust the result.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.add_typer(models_app)
app.add_typer(corpus_app)


def main() -> NoReturn:
    """Entry point: one line for an error a user can repair, and an exit code that says its kind."""
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
            complain(f"the standard output cannot be written ({output.problem.strerror}). Send it elsewhere.")
        code = code or OutputError.exit_code
    sys.exit(code)


def _run(output: Watched) -> int:
    """Do what was asked, complain where it cannot be done, and return the exit code."""
    try:
        os.getcwd()
    except OSError:
        complain("the folder that this runs in was deleted, or may not be read. Change to another one (cd).")
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
        complain("this is a fault in Ruska. Please report the lines above with `ruska doctor --json`.")
        return 1


def _version(asked: bool) -> None:
    if asked:
        say(f"ruska {__version__}")
        raise typer.Exit


@app.callback()
def _global(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")] = False,
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
    gain: Gain = None,
    memory: Memory = None,
    workers: Workers = None,
    json: Json = False,
) -> None:
    """Show what a file is, the method Ruska suggests, and the memory and time it would take."""
    from ruska.cli import show
    from ruska.pipeline import Options, describe

    method, settings = with_model(model, method, settings_of(set_))
    reuse_memory(method)
    image = open_image(file, axes, voxel_size, dark, gain)
    with show.progress(quiet=json) as progress:
        facts = describe(image, method, settings, Options(memory=memory, workers=workers), progress=progress)
    show.json(facts) if json else show.facts(facts)


@app.command()
def denoise(
    file: Input,
    output: Output = None,
    method: Method = "auto",
    set_: Set = None,
    model: Model = None,
    axes: Axes = None,
    voxel_size: VoxelSize = None,
    dark: Dark = None,
    gain: Gain = None,
    dtype: Annotated[str, typer.Option(help="same as the input, or float32.")] = "same",
    roi: Roi = None,
    samples: Samples = 0,
    seed: Seed = 0,
    memory: Memory = None,
    workers: Workers = None,
    overwrite: Overwrite = False,
    report: Annotated[bool, typer.Option(help="Write an HTML and PNG report beside the output.")] = True,
    batch: Annotated[bool, typer.Option("--batch", help="FILE is a folder of unrelated images; -o a folder.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
    json: Json = False,
) -> None:
    """Remove noise from an image, stack or volume of any size; interrupted, the same command resumes."""
    from ruska.pipeline import Options

    options = Options(dtype, seed, memory, workers, parse_roi(roi), samples)  # type: ignore[arg-type]
    method, settings = with_model(model, method, settings_of(set_))
    run = Run("denoise", method, settings, options, (axes, voxel_size, dark, gain), overwrite, report, dry_run, json)
    if batch:
        run.folder(Path(file), output)
    else:
        run.one(file, output or default_output(file))


@app.command()
def deblur(
    file: Input,
    output: Restored = None,
    sigma: Annotated[float | None, typer.Option(help="Standard deviation of a Gaussian blur, in pixels.")] = None,
    psf: Annotated[str | None, typer.Option(help="File of a measured point spread function.")] = None,
    blind: Annotated[
        str | None, typer.Option(metavar="FAMILY", help="Find the blur: gaussian, defocus, astigmatic or free.")
    ] = None,
    steps: Steps = None,
    step_size: StepSize = None,
    set_: Set = None,
    model: Prior = None,
    axes: Axes = None,
    voxel_size: VoxelSize = None,
    dtype: DType = "same",
    samples: Samples = 0,
    seed: Seed = 0,
    memory: Memory = None,
    overwrite: Overwrite = False,
    report: Report = True,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Undo a blur in every slice, with the prior: a known one, or one that has to be found."""
    from ruska.pipeline import Options

    own = {"sigma": sigma, "psf": psf, "blind": blind, "steps": steps, "step_size": step_size, "model": model}
    options = Options(dtype, seed, memory, samples=samples)  # type: ignore[arg-type]
    run = restoration("deblur", own, set_, options, (axes, voxel_size), overwrite, report, dry_run, json)
    run.one(file, output or default_output(file, "_deblurred"))


@app.command()
def superres(
    file: Input,
    output: Restored = None,
    scale: Annotated[str, typer.Option(help="How many times finer pixels: 2, 3, 4, or 3/2.")] = "2",
    steps: Steps = None,
    step_size: StepSize = None,
    set_: Set = None,
    model: Prior = None,
    axes: Axes = None,
    voxel_size: VoxelSize = None,
    dtype: DType = "same",
    samples: Samples = 0,
    seed: Seed = 0,
    memory: Memory = None,
    overwrite: Overwrite = False,
    report: Report = True,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Finer pixels along Y and X in every slice, with the prior."""
    from ruska.pipeline import Options

    own = {"scale": scale, "steps": steps, "step_size": step_size, "model": model}
    options = Options(dtype, seed, memory, samples=samples)  # type: ignore[arg-type]
    run = restoration("superres", own, set_, options, (axes, voxel_size), overwrite, report, dry_run, json)
    run.one(file, output or default_output(file, "_superres"))


@app.command()
def isotropic(
    file: Input,
    output: Restored = None,
    factor: Annotated[
        str | None, typer.Option(help="Slice distance over pixel size. Default: what the file says.")
    ] = None,
    steps: Steps = None,
    step_size: StepSize = None,
    set_: Set = None,
    model: Prior = None,
    axes: Axes = None,
    voxel_size: VoxelSize = None,
    dtype: DType = "same",
    samples: Samples = 0,
    seed: Seed = 0,
    memory: Memory = None,
    overwrite: Overwrite = False,
    report: Report = True,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """As many slices as make the voxels of a volume isotropic, with the prior."""
    from ruska.pipeline import Options
    from ruska.pipeline.restoring import anisotropy

    if factor is None:
        factor = str(anisotropy(open_image(file, axes, voxel_size)))
    own = {"factor": factor, "steps": steps, "step_size": step_size, "model": model}
    options = Options(dtype, seed, memory, samples=samples)  # type: ignore[arg-type]
    run = restoration("isotropic", own, set_, options, (axes, voxel_size), overwrite, report, dry_run, json)
    run.one(file, output or default_output(file, "_isotropic"))


@app.command()
def evaluate(
    result: Annotated[str, typer.Argument(metavar="RESULT", help="The restored image.")],
    truth: Annotated[str | None, typer.Option(help="A clean image of the same place.")] = None,
    noisy: Annotated[str | None, typer.Option(help="The image that was restored.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for the numbers and a picture. Default: none.")
    ] = None,
    register: Annotated[bool, typer.Option("--register", help="Put the truth in place first.")] = False,
    model: Annotated[str | None, typer.Option("--model", help="To register: shift, rigid, affine or drift.")] = None,
    axes: Axes = None,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Score a result: against a clean image, against the noisy one it came from, or by itself."""
    from ruska import pipeline
    from ruska.cli import scores, show

    if model is not None and not register:
        raise SettingsError("--model", "says how the truth may be moved, which was not asked for", "Add --register.")
    opened = [None if f is None else open_image(f, axes, None) for f in (result, truth, noisy)]
    assert opened[0] is not None
    found = pipeline.evaluate(
        opened[0], opened[1], opened[2], output, overwrite=overwrite,
        register=(model or "shift") if register else None,  # type: ignore[arg-type]
    )  # fmt: skip
    show.json(found.scores.as_dict()) if json else scores.evaluation(found)


@app.command()
def noise(
    file: Input,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the picture and the numbers.")],
    axes: Axes = None,
    dark: Dark = None,
    gain: Gain = None,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Measure the noise: its level, how it grows with the signal, how far it reaches, the blind spot that follows."""
    from ruska.cli import show
    from ruska.pipeline.inspect import noise_report

    found = noise_report(open_image(file, axes, None, dark, gain), output, overwrite=overwrite)
    show.json(found) if json else show.table(f"Noise of {Path(file).name}", show.noise_rows(found))


@app.command()
def train(
    method: Annotated[str, typer.Argument(metavar="METHOD", help="blindspot, prior, or a baseline.")],
    data: Annotated[list[str], typer.Argument(metavar="DATA...", help="Images, stores, or folders of images.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the model.")],
    set_: Set = None,
    minutes: Annotated[
        float | None, typer.Option(help="Stop after this long. Default: after the method's steps.")
    ] = None,
    start: Annotated[str | None, typer.Option(help="Folder of a model to start from.")] = None,
    preset: Annotated[str | None, typer.Option(help="Of a prior: cpu, deep, gpu-30min or full.")] = None,
    axes: Axes = None,
    dark: Dark = None,
    gain: Gain = None,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Train a model on noisy files, for use on others like them, or a prior on clean ones.

    Interrupted, the same command goes on.
    """
    from ruska import pipeline
    from ruska.cli import show

    settings = settings_of(set_)
    settings |= {"minutes": str(minutes)} if minutes is not None else {}
    settings |= {"start": start} if start is not None else {}
    if minutes is not None and "steps" not in settings:
        settings["steps"] = "1000000"
    reuse_memory(method)
    if method == "prior":
        settings |= {"preset": preset} if preset is not None else {}
        with show.progress(quiet=json) as progress:
            card = pipeline.train(corpus_or_files(data), output, method=method, settings=settings,
                                  overwrite=overwrite, progress=progress)  # fmt: skip
        if card is not None:
            show.json(card.model_dump(mode="json")) if json else show.model(output, card)
        return
    images = [
        open_image(file, axes, None, dark, gain)
        for file in training_files(data, stacks=settings.get("frames", "1") != "1")
    ]
    with show.progress(quiet=json) as progress:
        card = pipeline.train(images, output, method=method, settings=settings, overwrite=overwrite, progress=progress)
    if card is not None:
        show.json(card.model_dump(mode="json")) if json else show.model(output, card)


@app.command()
def register(
    moving: Annotated[str, typer.Argument(metavar="MOVING", help="Image to put onto FIXED; or a stack to align.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Where to write; the suffix chooses the format.")],
    fixed: Annotated[
        str | None, typer.Argument(metavar="[FIXED]", help="The noisier image: it is never interpolated.")
    ] = None,
    model: Annotated[str, typer.Option("--model", help="shift, rigid, affine or drift (changing along Y).")] = "shift",
    reach: Annotated[float | None, typer.Option(help="Largest shift in pixels. Default: a quarter.")] = None,
    neighbours: Annotated[int, typer.Option(help="Of a stack: compare slices up to this many apart.")] = 3,
    trend: Annotated[str, typer.Option(help="Of a stack: correct a steady drift, or keep it.")] = "correct",
    crop: Annotated[bool, typer.Option("--crop", help="Of a stack: keep what all slices show.")] = False,
    whole_pixels: Annotated[bool, typer.Option("--whole-pixels", help="Of a stack: do not interpolate.")] = False,
    axes: Axes = None,
    voxel_size: VoxelSize = None,
    dtype: Annotated[str, typer.Option(help="same as MOVING, or float32.")] = "same",
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Put an image onto another of the same place, or the slices of a stack onto each other."""
    from ruska import pipeline
    from ruska.cli import show

    images = [None if file is None else open_image(file, axes, voxel_size) for file in (moving, fixed)]
    assert images[0] is not None
    with show.progress(quiet=json) as progress:
        result = pipeline.register(
            images[0], images[1], output, model=model, dtype=dtype, reach=reach, neighbours=neighbours,  # type: ignore[arg-type]
            trend=trend, crop=crop, whole_pixels=whole_pixels, overwrite=overwrite, progress=progress,  # type: ignore[arg-type]
        )  # fmt: skip
    show.json(result.record) if json else show.registration(result.record, output)


@app.command()
def demo(
    folder: Annotated[Path, typer.Option("--output", "-o", help="Where the demo's files go.")] = Path("ruska-demo"),
) -> None:
    """Simulate a micrograph, look at it, denoise it, score it, and say where the picture is."""
    from ruska.cli.demo import run_demo

    run_demo(folder)


@app.command()
def methods(json: Json = False) -> None:
    """List the methods, what they are for, and their settings."""
    from ruska import methods as room
    from ruska.cli import show

    found = {name: room.describe(name) for name in room.names()}
    show.json(found) if json else show.methods(found)


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
