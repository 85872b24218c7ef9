"""Training a prior on a packed corpus: ``python -m ruska.training.prior CORPUS -o FOLDER --minutes 60``.

Needs torch, NumPy and safetensors only, so that a machine with a GPU and little else can run it. The same command goes
on where it stopped; ``ruska train prior`` does the same and writes the card.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args

import torch
from torch import Tensor, nn

from ruska.compute.devices import device_of_choice
from ruska.diffusion.coordinates import PathName, coordinates, levels_on, path_of
from ruska.diffusion.prediction import Prediction
from ruska.errors import RuskaError, SettingsError, did_you_mean
from ruska.networks.denoiser import Denoiser
from ruska.networks.growth import deepened
from ruska.networks.limits import MOST_BLOCKS, MOST_NUMBERS, MOST_SCALES, WIDEST
from ruska.networks.unet import Bounds
from ruska.plain_text import one_line
from ruska.training.loop import Schedule, Trained
from ruska.training.need import check_room, prior_bytes
from ruska.training.noising import Levels, Noised, add_noise, usual_levels
from ruska.training.packed import Packed
from ruska.training.previews import Previews
from ruska.training.recipe import Prepared, follow
from ruska.training.recording import Recorded
from ruska.training.restoring import EDGE, Course, Met, meet, pixels_of, set_out
from ruska.training.trainee import Single
from ruska.weights.tensors import fill, load_weights, save_weights

Decay = Literal["cosine", "flat"]
_SAMPLES = 3  # patches that are drawn while it is trained
_LOOKS = 60  # batches that tell how large values in the network become
_LONG_MINUTES, _LONG_STEPS = 10, 30_000  # from which a training gains more by compiling, on CUDA, than that takes
_CYCLE = 10  # steps in which the share of those that restore is kept to
_COORDINATES = {"prediction": "x0", "path": "exploding"}
_WORDS = ("decay", "prediction", "path")  # settings that are no numbers
CHECKPOINT, WEIGHTS = "training.safetensors", "weights.safetensors"


@dataclass(frozen=True)
class PriorSettings:
    """How a prior is built and trained.

    widths, blocks : of the U-Net (see `UNet`). patch, batch : pixels and number of the patches of one step.
    samples : minutes between drawings of what it makes of a few patches (see `Previews`); 0: none.
    restoring : share of the steps that learn from images between the passes of a restoration (see `walk`), of
        ``walks`` patches each.
    prediction : what the network says: the clean image (``x0``), the noise (``epsilon``), ``v`` or the ``velocity``.
    path : between image and noise, on which it is trained: ``exploding`` adds noise of any strength, normal in
        logarithms; ``flow``, ``ddpm``, ``cosine`` and ``zero-terminal-snr`` draw the time evenly (see
        `diffusion.path`). Whatever they are, the prior is used in the same way.
    """

    widths: tuple[int, ...] = (48, 96, 128, 192)
    blocks: tuple[int, ...] = (1, 1, 2, 3)
    patch: int = 128
    batch: int = 16
    steps: int = 60_000
    learning_rate: float = 8e-4
    decay: Decay = "cosine"
    average: float = 0.9995
    restoring: float = 0.4
    walks: int = 3
    seed: int = 0
    minutes: float | None = None
    samples: float = 5
    prediction: Prediction = "x0"
    path: PathName = "exploding"

    def lasting(self) -> dict[str, Any]:
        """What makes a training another one: not how long it is, nor how it ends."""
        passing = ("steps", "minutes", "decay", "learning_rate", "samples", *_COORDINATES)
        return {k: v for k, v in asdict(self).items() if k not in passing} | self._coordinates()

    def network(self) -> dict[str, Any]:
        """What a card says of the network."""
        return {"widths": self.widths, "blocks": self.blocks, **self._coordinates()}

    def build(self) -> Denoiser:
        return Denoiser(coordinates(self.path, self.prediction), widths=self.widths, blocks=self.blocks)

    def _coordinates(self) -> dict[str, Any]:
        """Those that are not the usual ones: trainings and cards from before know of no others."""
        return {name: getattr(self, name) for name, usual in _COORDINATES.items() if getattr(self, name) != usual}

    def identity(self) -> str:
        return json.dumps(self.lasting(), sort_keys=True)


PRESETS: dict[str, PriorSettings] = {
    "cpu": PriorSettings(),
    "gpu-30min": PriorSettings(patch=160, batch=128, steps=60_000, learning_rate=1.2e-3, walks=24, minutes=24),
    "deep": PriorSettings(blocks=(2, 2, 4, 5), patch=96, batch=28, learning_rate=5e-4, average=0.998),
    "full": PriorSettings((80, 128, 160, 224), (2, 2, 3, 3), 192, 64, 400_000, 6e-4, average=0.9998, walks=12),
}


def train_prior(
    corpus: Path, folder: Path, own: PriorSettings, *, start: Path | None = None, overwrite: bool = False,
    progress: Callable[[str, int, int], None] | None = None,
) -> Trained:  # fmt: skip
    """Train on the packed ``corpus``; leaves ``training.safetensors`` to go on from, and the averaged weights.

    start : weights to begin with, of the same network or of a shallower one (see `deepened`).
    overwrite : begin anew where ``folder`` holds another training; OutputError otherwise.
    """
    recipe = PriorRecipe(own, start)
    found = follow(recipe, corpus, folder, device_of_choice(), checkpoint=CHECKPOINT, overwrite=overwrite,
                   progress=progress)  # fmt: skip
    save_weights(folder / WEIGHTS, found.network.state_dict(), recipe.card(found))
    return found


def check_memory(own: PriorSettings, corpus: Path, room: float) -> None:
    """ResourceError where training on the packed ``corpus`` would take more than ``room`` bytes of this process."""
    pixels = 0  # of batches that are on a GPU
    if device_of_choice().type == "cpu":
        pixels = max(own.batch * own.patch**2, pixels_of(own.walks) if own.restoring else 0)
    size = sum(part.stat().st_size for part in corpus.glob("*.safetensors"))
    needed = prior_bytes(own.widths, own.blocks, _numbers(own), pixels, size)
    check_room(room, needed, "train on fewer and smaller patches (--set batch=4 --set patch=64 --set walks=1)")


def _numbers(own: PriorSettings) -> int:
    """Weights of the network."""
    with torch.device("meta"):
        return sum(value.numel() for value in own.build().state_dict().values())


@dataclass(frozen=True)
class PriorRecipe:
    """A `TrainingRecipe` for packed corpora. start : weights to begin with, see `train_prior`."""

    own: PriorSettings
    start: Path | None = None
    record: ClassVar[type] = PriorSettings

    def prepare(self, data: Path, folder: Path, device: torch.device) -> Prepared:
        own, packed = self.own, Packed.load(data, device)
        torch.manual_seed(own.seed)
        network = own.build()
        if self.start is not None:
            fill(network, deepened(load_weights(self.start)[0], network) or self.start)
            Bounds(network).lift()  # what training needs is measured anew at its end
        lessons = Lessons(packed, own, levels_of(own))
        schedule = Schedule(own.steps, own.minutes, own.learning_rate, own.decay, "bf16", average=own.average,
                            checkpoint_seconds=180)  # fmt: skip
        watch = _previews(folder, packed, own)
        return Prepared(trainee(network, lessons, device), schedule, own.identity(), watch=watch, finish=lessons.bound)

    def card(self, trained: Trained) -> dict[str, Any]:
        return {"network": self.own.network(), "steps": trained.steps, "seconds": trained.seconds}


def trainee(network: Denoiser, lessons: Lessons, device: torch.device) -> Single:
    """What the loop trains: on CUDA, its weights lie as convolutions there read them, and its steps are recorded."""
    if device.type != "cuda":
        return Single(network, lessons.loss)
    network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    own = lessons.own
    long = own.steps >= _LONG_STEPS if own.minutes is None else own.minutes >= _LONG_MINUTES
    return Recorded(network, lessons.loss, lessons.asked, {"noise": denoising, "walk": restoring},
                    network.network if long else None)  # fmt: skip


@dataclass(frozen=True)
class Lessons:
    """What a prior is asked, by number of the step."""

    packed: Packed
    own: PriorSettings
    levels: Levels

    def loss(self, network: nn.Module, step: int) -> Tensor:
        """One an example."""
        kind, asked = self.asked(network, step)
        return (restoring if kind == "walk" else denoising)(network, *asked)

    def asked(self, network: nn.Module, step: int) -> tuple[str, tuple[Tensor, ...]]:
        """Which of the two it is, and what the function of that name takes."""
        assert isinstance(network, Denoiser)
        if step % _CYCLE < round(self.own.restoring * _CYCLE):
            return "walk", self.course(network, step)
        given, x = self.batch(step)
        return "noise", (given.y, given.sigma, given.lags, x)

    def batch(self, step: int) -> tuple[Noised, Tensor]:
        with torch.autocast(self.packed.pixels.device.type, enabled=False):
            random, choices = self._random(step)
            x, noise = vary(*self.packed.draw(self.own.batch, self.own.patch, random, choices), random)
            return add_noise(x, noise, random, self.levels, choices), x

    def walked(self, network: Denoiser, step: int) -> Met:
        return _met(network, *self.course(network, step))

    def course(self, network: Denoiser, step: int) -> tuple[Tensor, ...]:
        with torch.autocast(self.packed.pixels.device.type, enabled=False):
            random, choices = self._random(step)
            x, _ = vary(*self.packed.draw(self.own.walks, EDGE, random, choices), random)
            course, white = set_out(len(x), network.multiple, random, choices)
        return x[..., : course.edge, : course.edge], white, *course.flat()

    def bound(self, network: nn.Module, steps: int) -> None:
        """Set the limits of a trained network, by batches that were not seen in training."""
        assert isinstance(network, Denoiser)
        with torch.inference_mode(), Bounds(network):
            for step in range(steps, steps + _LOOKS):
                given, _ = self.batch(step)
                network(given.y, given.sigma, given.lags)
                if self.own.restoring and (step - steps) % 6 == 0:
                    met = self.walked(network, step)
                    network(met.y, met.sigma, None, met.spread)

    def _random(self, step: int) -> tuple[torch.Generator, torch.Generator]:
        """For tensors, where these are; and for what the processor has to know, so that it need not wait for a GPU."""
        seed, device = self.own.seed * 1_000_003 + step, self.packed.pixels.device
        random = torch.Generator(device).manual_seed(seed)
        return random, random if device.type == "cpu" else torch.Generator().manual_seed(seed)


def denoising(network: nn.Module, y: Tensor, sigma: Tensor, lags: Tensor, x: Tensor) -> Tensor:
    """Losses of noisy patches."""
    assert isinstance(network, Denoiser)
    return network.losses(y, sigma, lags, x)


def restoring(network: nn.Module, *course: Tensor) -> Tensor:
    """Losses of the images on the way of a walk."""
    assert isinstance(network, Denoiser)
    met = _met(network, *course)
    return network.losses(met.y, met.sigma, None, met.x, met.spread)


def _met(network: Denoiser, x: Tensor, white: Tensor, *course: Tensor) -> Met:
    return meet(network, x, white, Course.of(course))


def _previews(folder: Path, packed: Packed, own: PriorSettings) -> Previews | None:
    if not own.samples:
        return None
    clean, _ = packed.draw(_SAMPLES, own.patch, torch.Generator(packed.pixels.device).manual_seed(own.seed))
    return Previews(folder / "samples", clean, own.samples)


def levels_of(own: PriorSettings) -> Levels:
    """How strong noise is drawn; `add_noise` keeps it within what a network is ever told."""
    path = path_of(own.path)
    if path is None:
        return usual_levels

    def evenly(count: int, random: torch.Generator) -> Tensor:
        return levels_on(path, torch.rand(count, generator=random, device=random.device))

    return evenly


def vary(x: Tensor, noise: Tensor, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """Contrast inverted half the time, gain and offset off by as much as an estimate of them may be."""
    count, device = x.shape[0], x.device
    sign = torch.where(torch.rand(count, generator=random, device=device) < 0.5, -1.0, 1.0)
    gain = torch.exp(0.2 * torch.randn(count, generator=random, device=device))
    offset = 0.2 * torch.randn(count, generator=random, device=device)
    return (sign * gain).view(-1, 1, 1, 1) * x + offset.view(-1, 1, 1, 1), noise * gain


def main() -> None:
    """Train from the command line, without what else Ruska needs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--preset", default="cpu", choices=list(PRESETS))
    parser.add_argument("--start", type=Path, help="weights to start from")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting of the preset")
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--overwrite", action="store_true", help="start over if the folder holds another training")
    options = parser.parse_args()
    given = dict(text.partition("=")[::2] for text in options.set)
    if options.minutes is not None:
        given["minutes"] = str(options.minutes)
    try:
        own = settings_of(options.preset, given)
        found = train_prior(options.corpus, options.output, own, start=options.start, overwrite=options.overwrite)
    except RuskaError as error:
        sys.exit(f"ruska: {error}")
    except KeyboardInterrupt:
        print("Stopped. The same command resumes from here.", file=sys.stderr)
        sys.exit(130)
    recent = f", loss {found.losses[-1]:.4f}" if found.losses else ""
    print(f"{found.steps} steps in {found.seconds:.0f} s{recent}: {one_line(options.output / WEIGHTS)}")


def settings_of(preset: str, given: Mapping[str, Any]) -> PriorSettings:
    """The preset with what is ``given`` (numbers, or text as JSON); SettingsError names the nearest valid name."""
    if preset not in PRESETS:
        raise SettingsError("prior.preset", f"'{preset}' is unknown", did_you_mean(preset, PRESETS))
    kinds = {f.name: f.type for f in fields(PriorSettings)}
    values: dict[str, Any] = {}
    for name, value in given.items():
        if name not in kinds:
            raise SettingsError(f"prior.{name}", "is not a setting", did_you_mean(name, kinds))
        try:
            found = json.loads(value) if isinstance(value, str) and name not in _WORDS else value
            values[name] = tuple(int(n) for n in found) if name in ("widths", "blocks") else found
        except (ValueError, TypeError) as error:
            raise SettingsError(f"prior.{name}", f"{value!r} is not valid", "Like --set batch=8, or "
                                "--set widths=[48,96,192].") from error  # fmt: skip
    own = replace(PRESETS[preset], **values)
    _check(own)
    return own


def _check(own: PriorSettings) -> None:
    """SettingsError unless numbers are numbers within their ranges and the network can be built."""
    for name in ("patch", "batch", "steps", "learning_rate", "average", "walks", "minutes"):
        value = getattr(own, name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or value <= 0):
            raise SettingsError(f"prior.{name}", f"{value!r} is not valid", "Give a positive number.")
    if isinstance(own.samples, bool) or not isinstance(own.samples, int | float) or own.samples < 0:
        raise SettingsError("prior.samples", f"{own.samples!r} is not valid", "Give minutes, or 0 for none.")
    if isinstance(own.restoring, bool) or not isinstance(own.restoring, int | float) or not 0 <= own.restoring <= 1:
        raise SettingsError("prior.restoring", f"{own.restoring!r} is not valid", "Give a fraction from 0 to 1.")
    if own.decay not in get_args(Decay):
        raise SettingsError("prior.decay", f"is {own.decay!r}", did_you_mean(str(own.decay), get_args(Decay)))
    try:
        coordinates(own.path, own.prediction)
    except SettingsError as error:
        raise SettingsError(f"prior.{error.subject}", error.problem, error.fix) from error
    if len(own.widths) != len(own.blocks) or not own.widths or min(*own.widths, *own.blocks) < 1:
        raise SettingsError("prior.widths", f"are {own.widths}, with blocks {own.blocks}",
                            "Give equally many of both, all positive.")  # fmt: skip
    if max(own.widths) > WIDEST or max(own.blocks) > MOST_BLOCKS or len(own.widths) > MOST_SCALES:
        raise SettingsError("prior.widths", f"are {own.widths}, with blocks {own.blocks}",
                            f"Give at most {MOST_SCALES} scales, {WIDEST} wide, of {MOST_BLOCKS} blocks.")  # fmt: skip
    numbers = _numbers(own)
    if numbers > MOST_NUMBERS:  # no card of it could be read again
        raise SettingsError("prior.widths", f"are {own.widths}, with blocks {own.blocks}: {numbers / 1e6:,.0f} million "
                            "weights", f"Make it smaller: at most {MOST_NUMBERS / 1e6:.0f} million.")  # fmt: skip
    multiple = 2 ** len(own.widths)
    if own.patch % multiple:
        raise SettingsError("prior.patch", f"is {own.patch}", f"Give a multiple of {multiple}.")


if __name__ == "__main__":
    main()
