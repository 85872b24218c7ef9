"""``ruska``: the command line.

Exit codes: 0 done, 1 unexpected error, 2 wrong options, 3 input, 4 output, 5 memory, 6 a missing optional package,
7 the output is being written by another run, 130 interrupted.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from ruska import __version__
from ruska.errors import RuskaError, SettingsError

if TYPE_CHECKING:
    from ruska.image import Image
    from ruska.pipeline import Options

app = typer.Typer(
    name="ruska",
    help="Restores micrographs and says how far to trust the result.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

models_app = typer.Typer(name="models", help="Look at trained models.", no_args_is_help=True)
app.add_typer(models_app)
corpus_app = typer.Typer(name="corpus", help="Pack micrographs for training a prior.", no_args_is_help=True)
app.add_typer(corpus_app)

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
Model = Annotated[str | None, typer.Option(help="Folder of a model that `ruska train` wrote.")]
Dark = Annotated[str | None, typer.Option(help="Dark reference of the detector: subtracted from every frame.")]
Gain = Annotated[str | None, typer.Option(help="Gain reference of the detector: multiplied with every frame.")]
Prior = Annotated[str | None, typer.Option("--model", help="Folder of a trained prior. Default: Ruska's own.")]
Steps = Annotated[int | None, typer.Option(help="Passes between measurement and prior. Default: 8.")]
StepSize = Annotated[float | None, typer.Option(help="Weight of the measurement, e.g. 0.3; 0: from its noise.")]
DType = Annotated[str, typer.Option(help="same as the input, or float32.")]
Report = Annotated[bool, typer.Option(help="Write an HTML and PNG report beside the output.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]
Restored = Annotated[Path | None, typer.Option("--output", "-o", help="Where to write; the suffix chooses the format.")]
Output = Annotated[
    Path | None,
    typer.Option("--output", "-o", help="Where to write; the suffix chooses the format. Default: FILE_denoised."),
]


def main() -> NoReturn:
    """Entry point: one line for an error a user can repair, and an exit code that says its kind."""
    try:
        sys.exit(app(standalone_mode=False) or 0)  # typer returns the code of a typer.Exit
    except RuskaError as error:
        _complain(str(error))
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        _complain("interrupted. The same command resumes where it stopped.")
        sys.exit(130)
    except typer.Abort:
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(1)
    except Exception as error:
        if hasattr(error, "exit_code") and hasattr(error, "format_message"):  # a click usage error
            _complain(f"{error.format_message()} Try `ruska --help`.")
            sys.exit(2)
        import traceback

        traceback.print_exc()
        _complain("this is a fault in Ruska. Please report the lines above with `ruska doctor --json`.")
        sys.exit(1)


def _complain(text: str) -> None:
    print(f"ruska: {text}", file=sys.stderr)


def _version(asked: bool) -> None:
    if asked:
        print(f"ruska {__version__}")
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

    method, settings = _with_model(model, method, _settings(set_))
    _reuse_memory(method)
    image = _open(file, axes, voxel_size, dark, gain)
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
    seed: Annotated[int, typer.Option(help="Of methods that draw samples.")] = 0,
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

    options = Options(dtype, seed, memory, workers, parse_roi(roi))  # type: ignore[arg-type]
    method, settings = _with_model(model, method, _settings(set_))
    run = _Run("denoise", method, settings, options, (axes, voxel_size, dark, gain), overwrite, report, dry_run, json)
    if batch:
        run.folder(Path(file), output)
    else:
        run.one(file, output or _default_output(file))


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
    memory: Memory = None,
    overwrite: Overwrite = False,
    report: Report = True,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Undo a blur in every slice, with the prior: a known one, or one that has to be found."""
    own = {"sigma": sigma, "psf": psf, "blind": blind, "steps": steps, "step_size": step_size, "model": model}
    run = _restoration("deblur", own, set_, dtype, memory, (axes, voxel_size), overwrite, report, dry_run, json)
    run.one(file, output or _default_output(file, "_deblurred"))


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
    memory: Memory = None,
    overwrite: Overwrite = False,
    report: Report = True,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Finer pixels along Y and X in every slice, with the prior."""
    own = {"scale": scale, "steps": steps, "step_size": step_size, "model": model}
    run = _restoration("superres", own, set_, dtype, memory, (axes, voxel_size), overwrite, report, dry_run, json)
    run.one(file, output or _default_output(file, "_superres"))


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
    memory: Memory = None,
    overwrite: Overwrite = False,
    report: Report = True,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """As many slices as make the voxels of a volume isotropic, with the prior."""
    from ruska.pipeline.restoring import anisotropy

    if factor is None:
        factor = str(anisotropy(_open(file, axes, voxel_size)))
    own = {"factor": factor, "steps": steps, "step_size": step_size, "model": model}
    run = _restoration("isotropic", own, set_, dtype, memory, (axes, voxel_size), overwrite, report, dry_run, json)
    run.one(file, output or _default_output(file, "_isotropic"))


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
    opened = [None if f is None else _open(f, axes, None) for f in (result, truth, noisy)]
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

    found = noise_report(_open(file, axes, None, dark, gain), output, overwrite=overwrite)
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
    preset: Annotated[str | None, typer.Option(help="Of a prior: cpu, gpu-30min or full.")] = None,
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

    settings = _settings(set_)
    settings |= {"minutes": str(minutes)} if minutes is not None else {}
    settings |= {"start": start} if start is not None else {}
    if minutes is not None and "steps" not in settings:
        settings["steps"] = "1000000"
    _reuse_memory(method)
    if method == "prior":
        settings |= {"preset": preset} if preset is not None else {}
        with show.progress(quiet=json) as progress:
            card = pipeline.train(_corpus_or_files(data), output, method=method, settings=settings,
                                  overwrite=overwrite, progress=progress)  # fmt: skip
        if card is not None:
            show.json(card.model_dump(mode="json")) if json else show.model(output, card)
        return
    images = [
        _open(file, axes, None, dark, gain) for file in _training_files(data, stacks=settings.get("frames", "1") != "1")
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

    images = [None if file is None else _open(file, axes, voxel_size) for file in (moving, fixed)]
    assert images[0] is not None
    with show.progress(quiet=json) as progress:
        result = pipeline.register(
            images[0], images[1], output, model=model, dtype=dtype, reach=reach, neighbours=neighbours,  # type: ignore[arg-type]
            trend=trend, crop=crop, whole_pixels=whole_pixels, overwrite=overwrite, progress=progress,  # type: ignore[arg-type]
        )  # fmt: skip
    show.json(result.record) if json else show.registration(result.record, output)


@corpus_app.command("build")
def build_corpus(
    data: Annotated[list[str], typer.Argument(metavar="DATA...", help="Images, stores, or folders of images.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the parts.")],
    planes: Annotated[int, typer.Option(min=1, help="At most so many planes of each stack.")] = 64,
    credit: Annotated[list[str] | None, typer.Option(help="Whose data, under which licence; for the card.")] = None,
    json: Json = False,
) -> None:
    """Pack what is clean enough of many micrographs, at every scale at which it is; masks are left out."""
    from dataclasses import asdict

    from ruska import corpus
    from ruska.cli import show

    with show.progress(quiet=json) as progress:
        report = corpus.build(_training_files(data, stacks=False), output, most_planes=planes, credits=credit or (),
                              progress=progress)  # fmt: skip
    show.json(asdict(report)) if json else show.corpus(output, report)


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
            _complain(str(error))
    if failed is not None:
        raise typer.Exit(failed.exit_code)


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


class _Run:
    """A restoration with its options, for one file or a folder of them."""

    def __init__(
        self, task: str, method: str, settings: dict[str, str], options: Options, opening: tuple[str | None, ...],
        overwrite: bool, report: bool, dry_run: bool, json: bool,
    ) -> None:  # fmt: skip
        self.task, self.method, self.settings, self.options, self.opening = task, method, settings, options, opening
        self.overwrite, self.report, self.dry_run, self.json = overwrite, report, dry_run, json

    def one(self, file: str, output: Path) -> None:
        from ruska.cli import show

        facts = self._restore(file, output)
        if self.json:
            show.json(facts)
        elif self.dry_run:
            show.dry_run(facts, output)
        else:
            show.result(facts, output)

    def folder(self, folder: Path, output: Path | None) -> None:
        """Denoise every image of ``folder``; a bad one is reported and does not stop the others."""
        from ruska.cli import show
        from ruska.io.folder import members

        target = output or folder.with_name(folder.name + "_denoised")
        if not self.dry_run:
            target.mkdir(exist_ok=True)
        done: dict[str, Any] = {}
        failed: list[RuskaError] = []
        for file in members(folder, every_format=True):
            try:
                done[file.name] = self._restore(str(file), target / _default_output(str(file), mark="").name)
            except RuskaError as error:
                failed.append(error)
                _complain(str(error))
        if self.json:
            show.json({"done": done, "failed": [str(e) for e in failed]})
        else:
            print(f"{len(done)} images denoised into {target}, {len(failed)} failed.")
        if failed:
            raise typer.Exit(failed[0].exit_code)

    def _restore(self, file: str, output: Path) -> dict[str, Any]:
        from ruska.cli import show
        from ruska.pipeline import predict_job, run_job

        _reuse_memory(self.method)
        image = _open(file, *self.opening)
        with show.progress(quiet=self.json) as progress:
            if self.dry_run:
                return predict_job(image, output, self.method, self.settings, self.options,
                                   overwrite=self.overwrite, progress=progress)  # fmt: skip
            result = run_job(self.task, image, output, self.method, self.settings, self.options,
                             overwrite=self.overwrite, report=self.report, progress=progress)  # fmt: skip
        report = str(result.report) if result.report else None
        return {**result.record, "report": report, "written": str(output)}


def _restoration(
    task: str, own: dict[str, Any], set_: list[str] | None, dtype: str, memory: str | None,
    opening: tuple[str | None, ...], overwrite: bool, report: bool, dry_run: bool, json: bool,
) -> _Run:  # fmt: skip
    """A run of ``task`` with its own options, those that were given, before ``--set``."""
    from ruska.pipeline import Options

    settings = {name: str(value) for name, value in own.items() if value is not None} | _settings(set_)
    options = Options(dtype, 0, memory)  # type: ignore[arg-type]
    return _Run(task, task, settings, options, opening, overwrite, report, dry_run, json)


def _reuse_memory(method: str) -> None:
    """Networks are faster when freed memory stays. Here and not in the pipeline: the process is ours alone."""
    from ruska import methods
    from ruska.engine.allocator import keep_freed_memory

    if methods.learns(method):
        keep_freed_memory()


def _with_model(model: str | None, method: str, settings: dict[str, str]) -> tuple[str, dict[str, str]]:
    """The method that runs ``model``, and the settings with it among them."""
    if model is None:
        return method, settings
    from ruska.weights import ModelCard

    card = ModelCard.read(Path(model) / "card.json")
    if method not in ("auto", card.method):
        raise SettingsError("--model", f"{model} is a model for {card.method}, not for {method}", "Leave --method out.")
    return card.method, {**settings, "model": model}


def _corpus_or_files(data: list[str]) -> list[str]:
    """A packed corpus as it is, or all image files."""
    if len(data) == 1 and (Path(data[0]) / "manifest.json").is_file():
        return data
    return _training_files(data, stacks=False)


def _training_files(data: list[str], *, stacks: bool) -> list[str]:
    """Files, and those in folders; a folder is one stack where neighbouring ``stacks`` are looked at together."""
    from ruska.io.folder import members
    from ruska.io.registry import format_of_name

    files = []
    for given in data:
        folder = Path(given)
        if folder.is_dir() and format_of_name(folder) is None and not stacks:
            files += [str(file) for file in members(folder, every_format=True)]
        else:
            files.append(given)
    return files


def _open(
    file: str, axes: str | None, voxel_size: str | None, dark: str | None = None, gain: str | None = None
) -> Image:
    from ruska import io
    from ruska.pipeline import correct_detector

    return correct_detector(io.read(file, axes=axes, voxel_size=voxel_size), dark, gain)


def _settings(pairs: list[str] | None) -> dict[str, str]:
    """``["h=0.1"]`` as a dict."""
    settings = {}
    for pair in pairs or []:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise SettingsError("--set", f"'{pair}' is not NAME=VALUE", "Example: --set noise_std=0.05.")
        settings[name.strip()] = value.strip()
    return settings


def parse_roi(text: str | None) -> dict[str, slice] | None:
    """``"10:20,30:40"`` (the last axes: Y,X or Z,Y,X) or ``"T=0:1,Y=10:20"``."""
    if text is None:
        return None
    parts = text.split(",")
    named = {}
    for letter, part in zip("ZYX"[-len(parts) :] if len(parts) <= 3 else "?" * len(parts), parts, strict=True):
        axis, equals, bounds = part.rpartition("=")
        start, colon, stop = bounds.partition(":")
        try:
            named[axis.strip().upper() if equals else letter] = slice(int(start), int(stop))
        except ValueError:
            colon = ""
        if not colon or "?" in named:
            raise SettingsError("--roi", f"'{text}' is not a region",
                                "Write 100:612,0:512 (Y,X) or Z=3:9,Y=0:512.")  # fmt: skip
    return named


def _default_output(file: str, mark: str = "_denoised") -> Path:
    """Beside the input (here, when that is on a server), same format where Ruska writes it, TIFF otherwise."""
    from ruska.io import is_url, split_inner
    from ruska.io.registry import format_of_name

    path, _ = split_inner(file)
    if is_url(file):
        path = Path(path.name.partition("?")[0])
    known = format_of_name(path)
    suffix, stem = ".tif", path.name if path.is_dir() else path.stem
    if known is not None:
        found = max((s for s in known.suffixes if path.name.lower().endswith(s)), key=len)
        stem = path.name[: -len(found)]
        if known.writes and known.name != "picture":
            suffix = path.name[-len(found) :]
    return path.with_name(stem + mark + suffix)


if __name__ == "__main__":
    main()
