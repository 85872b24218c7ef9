"""Networks that learn from the noisy file: ``python -m benchmarks.blindspot kriss|synthetic|movie|curve -o FOLDER``.

Every finished row is a line of ``FOLDER/rows.jsonl``; rows that are there are not computed again. ``python -m
benchmarks.blindspot table -o FOLDER`` prints them as Markdown. Runs take minutes each: choose with ``--pairs``,
``--methods``, ``--minutes``.

kriss : real SEM line pairs, each file on its own, spot chosen by Ruska, scored by the data folder's ``score_pairs.py``.
synthetic : slices of real volume EM, 2 x 2 binned, with simulated noise, white and along the scan line; beside the
    method the same network with nothing hidden, trained on the clean target of the same pixels for as many steps.
movie : one frame at a time against five together: a simulated drifting movie, scored against the truth, and the
    repeated frames of hyperspy_demos, each scored against the mean of frames that were not looked at.
curve : PSNR against seconds of training on one KRISS pair.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import ruska
from benchmarks.cases import DATA, DATASETS, PAIRS, SCAN_LINE, clean_image, score_pairs
from benchmarks.cases import kriss as kriss_pair
from ruska import methods
from ruska.engine import ArraySource, Budget, NormalisedSource, measure_intensities
from ruska.engine.allocator import keep_freed_memory
from ruska.image import Image
from ruska.metrics import psnr, ssim
from ruska.physics import PoissonGaussian, cell_phantom

SYNTHETIC = ("isbi2012", "cdeep3m", "fib25")


def kriss(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """One row a pair and method."""
    for number in options.pairs:
        noisy, clean = kriss_pair(number)
        for name in options.methods:
            method, _, rest = name.partition(":")
            settings = dict(part.split("=") for part in rest.split(",") if part)
            if options.minutes and methods.learns(method):
                settings |= {"minutes": options.minutes, "steps": 1_000_000}
            yield from row(options, {"task": "kriss", "pair": number, "method": name, "minutes": options.minutes},
                           lambda m=method, s=settings, n=noisy, c=clean: denoised(n, m, s, c))  # fmt: skip


def denoised(noisy: NDArray[Any], method: str, settings: Mapping[str, Any], clean: NDArray[Any]) -> dict[str, Any]:
    """Result of one method on one side of a KRISS pair, and its score."""
    started = time.perf_counter()
    result = ruska.denoise(Image(noisy, "YX"), method=method, settings=settings, dtype="float32")
    found = score_pairs().score(result.image.numpy(), noisy, clean)
    notes = " ".join(map(str, result.record["noise"]))
    return {"psnr": found[0], "ssim": found[1], "seconds": time.perf_counter() - started, "notes": notes}


def synthetic(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Blind, blind with the hidden pixels folded in, and not blind with clean targets."""
    for dataset in DATASETS:
        if dataset.name not in SYNTHETIC:
            continue
        truth = clean_image(dataset)
        for kind, kernel in (("white", (1.0,)), ("scan line", SCAN_LINE)):
            noisy = PoissonGaussian(50, 0.02, kernel).simulate(truth, seed=7)
            about = {"task": "synthetic", "image": dataset.name, "noise": kind, "steps": options.steps}
            yield from row(options, about, lambda n=noisy, t=truth: against_clean_targets(n, t, options.steps))


def against_clean_targets(noisy: NDArray[Any], truth: NDArray[Any], steps: int) -> dict[str, Any]:
    """PSNR of both networks, and the slope of the blind result on smooth areas of the truth."""
    from scipy.ndimage import gaussian_gradient_magnitude

    source = normalised(noisy)
    recipe = methods.create("blindspot", {"steps": steps})
    blind = recipe.prepare(source, source.normalisation, Budget())
    hidden, folded = (restored(replace(blind, folding=f), source) for f in (None, blind.folding))
    seeing = restored(replace(blind, network=clean_targets(source, truth, steps), folding=None, slope=1.0, offset=0.0),
                      source)  # fmt: skip
    smooth = gaussian_gradient_magnitude(truth.astype(float), 2)
    smooth = smooth <= np.quantile(smooth, 0.5)
    scores = {"noisy": noisy, "blind": hidden, "folded": folded, "seeing": seeing}
    found: dict[str, Any] = {key: psnr(value, truth, 1.0) for key, value in scores.items()}
    return {**found, "ssim folded": ssim(folded, truth, 1.0), "ssim seeing": ssim(seeing, truth, 1.0),
            "slope of input": slope(hidden[smooth], noisy[smooth]),
            "slope of truth": slope(folded[smooth], truth[smooth]),
            "notes": " ".join(blind.notes)}  # fmt: skip


def slope(x: NDArray[Any], y: NDArray[Any]) -> float:
    """Of the least-squares line of ``y`` over ``x``: the noise must be in ``y``."""
    return float(np.polyfit(x.ravel(), y.ravel(), 1)[0])


def normalised(values: NDArray[Any]) -> NormalisedSource:
    """The image as a method sees it."""
    axes = "TYX"[-values.ndim :]
    statistics_ = measure_intensities(ArraySource(values, axes))
    return NormalisedSource(ArraySource(values, axes), statistics_.normalisation(), statistics_.mean)


def restored(method: Any, source: NormalisedSource) -> NDArray[np.float32]:
    """The method on the whole of a small image, on its own grey scale."""
    import torch

    y = source.read(tuple(slice(0, n) for n in source.shape))
    with torch.inference_mode():
        out = method({"image": torch.from_numpy(y)[None, None]}, None)["mean"][0, 0].numpy()
    return source.normalisation.undo(out)


def clean_targets(source: NormalisedSource, truth: NDArray[Any], steps: int) -> Any:
    """The method's network with nothing hidden, trained on the same pixels with the truth as target."""
    import torch

    from ruska.networks.blindspot import BlindSpotNet
    from ruska.training import PatchSampler, Schedule, train

    torch.manual_seed(0)
    network = BlindSpotNet(None, widths=(16, 32, 64, 64)).to(memory_format=torch.channels_last)
    target = NormalisedSource(ArraySource(truth, "YX"), source.normalisation, float(truth.mean()))
    inputs, targets = (PatchSampler([s], 256, multiple=network.multiple) for s in (source, target))

    def loss(net: Any, step: int) -> Any:
        x = inputs.batch(step, 1)[0].to(memory_format=torch.channels_last)
        return ((net(x).float() - targets.batch(step, 1)[0]) ** 2).mean()

    return train(network, loss, Schedule(steps, learning_rate=3e-3)).network


def movie(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """One frame against five."""
    truths = drifting(9)
    noise = PoissonGaussian(12, 0.04)
    simulated = np.stack([noise.simulate(t, seed=k) for k, t in enumerate(truths)])
    abf = ruska.read(DATA / "val" / "hyperspy_demos" / "stem_abf_data_imagestack.hspy").numpy()
    for frames in (1, 3, 5):
        about = {"task": "movie", "frames": frames, "steps": options.steps}
        yield from row(options, {**about, "image": "simulated"},
                       lambda f=frames: against_truths(simulated, truths, f, options.steps))  # fmt: skip
        if frames < 5:
            yield from row(options, {**about, "image": "hyperspy_demos"},
                           lambda f=frames: against_far_frames(abf, f, options.steps))  # fmt: skip


def drifting(count: int, per_frame: float = 0.4) -> NDArray[np.float32]:
    """A cell that moves by a fraction of a pixel from frame to frame."""
    from scipy.ndimage import shift

    still = cell_phantom((288, 288), seed=5)
    moved = [shift(still, (k * per_frame, -k * per_frame / 2), order=3, mode="nearest") for k in range(count)]
    return np.clip(np.stack(moved)[:, 16:-16, 16:-16], 0, 1)


def multi_frame(frames_: NDArray[Any], frames: int, steps: int) -> NDArray[np.float32]:
    """The stack denoised with ``frames`` looked at together."""
    settings = {"frames": frames, "steps": steps}
    image = Image(frames_.astype(np.float32), "TYX")
    return ruska.denoise(image, method="blindspot", settings=settings).image.numpy()


def against_truths(noisy: NDArray[Any], truths: NDArray[Any], frames: int, steps: int) -> dict[str, Any]:
    """Mean over the frames."""
    found = multi_frame(noisy, frames, steps)
    pairs = list(zip(found, truths, strict=True))
    return {"psnr": float(np.mean([psnr(f, t, 1.0) for f, t in pairs])),
            "ssim": float(np.mean([ssim(f, t, 1.0) for f, t in pairs])),
            "noisy": float(np.mean([psnr(n, t, 1.0) for n, t in zip(noisy, truths, strict=True)]))}  # fmt: skip


def against_far_frames(stack: NDArray[Any], frames: int, steps: int) -> dict[str, Any]:
    """Mean squared distance to frames that were not looked at, less their own noise, over that of the noisy frame.

    The noise of a far frame is independent of the result, so it adds the same to every method's distance.
    """
    scaled = (stack - stack.mean()) / stack.std()
    found = multi_frame(scaled, frames, steps)
    far = [(k, j) for k in range(len(stack)) for j in range(len(stack)) if abs(k - j) > 1]
    near = float(np.mean([np.mean((found[k] - scaled[j]) ** 2) for k, j in far]))
    raw = float(np.mean([np.mean((scaled[k] - scaled[j]) ** 2) for k, j in far]))
    return {"distance": near, "distance of the noisy frame": raw}


def curve(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """PSNR after each of ``--marks`` minutes; a method with a falling rate is trained anew for each."""
    noisy, clean = kriss_pair(options.pairs[0])
    source = normalised(noisy)
    for name in options.methods:
        recipe = methods.create(name, {"steps": 1_000_000})
        with tempfile.TemporaryDirectory() as folder:
            for minutes in options.marks:
                timed = replace(recipe, settings=recipe.settings.model_copy(update={"minutes": minutes}))
                kept = Path(folder) if recipe.settings.decay == "flat" else None

                def scored(timed: Any = timed, kept: Path | None = kept) -> dict[str, Any]:
                    method = timed.prepare(source, source.normalisation, Budget(folder=kept))
                    psnr_, ssim_ = score_pairs().score(restored(method, source), noisy, clean)
                    return {"psnr": psnr_, "ssim": ssim_, "notes": " ".join(method.notes)}

                about = {"task": "curve", "pair": options.pairs[0], "method": name, "minutes": minutes}
                yield from row(options, about, scored)


def row(options: argparse.Namespace, about: dict[str, Any], compute: Any) -> Iterator[dict[str, Any]]:
    """``about`` with what ``compute`` finds, unless it is known already."""
    if not any(all(known.get(k) == v for k, v in about.items()) for known in rows(options.output)):
        yield {**about, **compute()}


def rows(folder: Path) -> list[dict[str, Any]]:
    """What is known."""
    file = folder / "rows.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def table(folder: Path) -> None:
    """Markdown: KRISS means and medians a method, then every other row."""
    known = rows(folder)
    groups: dict[tuple[str, Any], list[dict[str, Any]]] = {}
    for found in known:
        if found["task"] == "kriss":
            groups.setdefault((found["method"], found["minutes"]), []).append(found)
    print("| kriss: method | minutes | pairs | mean | median | median seconds |\n|---|---|---|---|---|---|")
    for (name, minutes), group in groups.items():
        mean, median = (
            " / ".join(f"{middle(g[key] for g in group):.{digits}f}" for key, digits in (("psnr", 2), ("ssim", 3)))
            for middle in (statistics.mean, statistics.median)
        )
        seconds = statistics.median(g["seconds"] for g in group)
        numbers = ", ".join(str(g["pair"]) for g in group)
        print(f"| {name} | {minutes or ''} | {numbers} | {mean} | {median} | {seconds:.0f} |")
    for found in known:
        if found["task"] != "kriss":
            print({k: round(v, 4) if isinstance(v, float) else v for k, v in found.items()})


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=["kriss", "synthetic", "movie", "curve", "table"])
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--pairs", type=int, nargs="+", default=PAIRS)
    parser.add_argument("--methods", nargs="+", default=["blindspot"], help="NAME or NAME:setting=value,..")
    parser.add_argument("--minutes", type=float, default=None)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--marks", type=float, nargs="+", default=[1, 2, 4, 6, 10, 15])
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    if options.task == "table":
        table(options.output)
        return
    keep_freed_memory()
    for found in {"kriss": kriss, "synthetic": synthetic, "movie": movie, "curve": curve}[options.task](options):
        print(found, flush=True)
        with (options.output / "rows.jsonl").open("a") as file:
            print(json.dumps(found), file=file)


if __name__ == "__main__":
    main()
