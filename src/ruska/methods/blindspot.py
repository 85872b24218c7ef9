"""Blind-spot denoising: a network learns to predict each pixel from its surroundings, on the noisy file alone.

Noise that is not shared between a pixel and what the network sees cannot be predicted, so what it learns is the
signal. Pixels that share the noise of the one predicted are hidden too: the spot is as large as the noise is wide.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from pydantic import Field, field_validator

from ruska.compute.devices import device_of_choice
from ruska.errors import InputError, SettingsError
from ruska.methods.about import DENOISE, About
from ruska.methods.blindspot_learning import Hidden, learn, level_of
from ruska.methods.blindspot_method import BlindSpotMethod, calibrate
from ruska.methods.folding import Folding, Posterior
from ruska.methods.looking import Readable, Workplace, middles_to_look_at, stacks_to_look_at, typical_noise
from ruska.methods.settings import FileRef, Settings

if TYPE_CHECKING:
    from ruska.methods.blindspot_learning import Learned
    from ruska.physics.noise_statistics import NoiseEstimate
    from ruska.weights import Model

_SHARED = 0.2  # correlation of neighbours below which an axis counts as independent
_SHARED_ACROSS = 0.33  # the same for the weaker axis of streaky noise: fine structure alone reaches 0.28
_NEGLIGIBLE = 0.06  # correlation that may stay visible: hiding more costs detail
_MOST_MEASURED = 8  # sources that are looked at to choose the spot
Losses = Literal["l2", "l1", "charbonnier", "poisson-gaussian"]


class BlindSpotSettings(Settings):
    """Settings of `BlindSpot`."""

    basic: ClassVar[tuple[str, ...]] = ("steps", "minutes", "spot", "frames", "model")
    spot: str | None = Field(None, description="Hidden rectangle, rows x columns, odd, up to 11: 1x1, 1x5, 3x3. "
                             "Default: as wide as the noise is correlated.")  # fmt: skip
    frames: int = Field(1, ge=1, le=9, description="Neighbouring frames or slices used together: odd, 1 to 9.")
    steps: int = Field(1000, ge=1, le=1_000_000, description="Training steps.")
    minutes: float | None = Field(None, gt=0, description="Stop training after this long. Default: after all steps.")
    batch: int | None = Field(
        None, ge=1, le=256, description="Patches per step, 1 to 256. Default: about 65 000 pixels."
    )
    patch: int = Field(256, ge=32, le=1024, description="Edge of the patches in pixels, 32 to 1024.")
    learning_rate: float = Field(3e-3, gt=0, le=0.1, description="Highest learning rate (of Adam).")
    decay: Literal["cosine", "flat"] = Field("cosine", description="How the learning rate ends: cosine (low) or flat.")
    loss: Losses = Field("l2", description="l2 (mean), l1 (median), charbonnier, or poisson-gaussian (likelihood).")
    precision: Literal["bf16", "fp16", "fp32"] = Field("bf16", description="Precision of the training: bf16 "
                                                       "(faster), fp16 (older GPUs) or fp32.")  # fmt: skip
    fold: bool = Field(True, description="Fold the values of the hidden pixels back in.")
    flips: bool = Field(True, description="Average the result over the four flips of the image.")
    seed: int = Field(0, ge=0, description="Random seed, for the starting weights and the choice of patches.")
    model: FileRef | None = Field(None, description="Folder of a trained model. Default: train on the file itself.")
    start: FileRef | None = Field(None, description="Folder of a trained model to start the training from.")

    @field_validator("spot")
    @classmethod
    def _is_spot(cls, text: str | None) -> str | None:
        if text is not None:
            parse_spot(text)
        return text

    @field_validator("frames")
    @classmethod
    def _is_odd(cls, frames: int) -> int:
        if frames % 2 == 0:
            raise ValueError("must be odd")
        return frames


class ShineSettings(BlindSpotSettings):
    """Settings of `Shine`, as in its authors' scripts, except for the spot, which is measured."""

    batch: int | None = Field(8, ge=1, le=256, description="Patches per step, 1 to 256.")
    patch: int = Field(128, ge=32, le=1024, description="Edge of the patches in pixels, 32 to 1024.")
    learning_rate: float = Field(1e-3, gt=0, le=0.1, description="Highest learning rate (of Adam).")
    decay: Literal["cosine", "flat"] = Field("flat", description="How the learning rate ends: cosine (low) or flat.")
    loss: Literal["l2", "l1", "charbonnier"] = Field("l2", description="l2 (mean), l1 (median) or charbonnier.")
    fold: bool = Field(False, description="Fold the values of the hidden pixels back in.")
    flips: bool = Field(False, description="Average the result over the four flips of the image.")


class UdvdSettings(ShineSettings):
    """Settings of `Udvd`."""

    frames: int = Field(5, ge=1, le=9, description="Neighbouring frames or slices used together: odd, 1 to 9.")
    learning_rate: float = Field(1e-4, gt=0, le=0.1, description="Highest learning rate (of Adam).")


class Noise2VoidSettings(ShineSettings):
    """Settings of `Noise2Void`. A ``spot`` of several pixels is StructN2V (Broaddus et al. 2020)."""

    spot: str | None = Field("1x1", description="Masked rectangle, rows x columns, odd, up to 11; none: as wide as the "
                             "noise is correlated.")  # fmt: skip
    batch: int | None = Field(16, ge=1, le=256, description="Patches per step, 1 to 256.")
    patch: int = Field(64, ge=32, le=1024, description="Edge of the patches in pixels, 32 to 1024.")
    learning_rate: float = Field(4e-4, gt=0, le=0.1, description="Highest learning rate (of Adam).")


def parse_spot(text: str) -> tuple[int, int]:
    """``"1x5"`` as (1, 5); ValueError unless both are odd and 1 to 11."""
    rows, cross, columns = text.lower().partition("x")
    if not cross or not all(p.isdigit() and int(p) % 2 and int(p) <= 11 for p in (rows, columns)):
        raise ValueError("write rows x columns, both odd and 1 to 11, like 1x5")
    return int(rows), int(columns)


@dataclass(frozen=True)
class BlindSpot:
    """Self-supervised denoising of the file with nothing but the file.

    Sources: Laine et al. (2019), NeurIPS (the network); Broaddus et al. (2020), ISBI "Removing structured noise with
    self-supervised blind-spot networks" (a spot of the noise's shape).
    """

    settings: BlindSpotSettings
    name: ClassVar[str] = "blindspot"
    network: ClassVar[str] = "halfplane"

    def prepare(self, source: Readable, normalisation: object, budget: Workplace) -> BlindSpotMethod:
        return self.prepare_each([source], budget)[0]

    def prepare_each(self, sources: Sequence[Readable], budget: Workplace) -> list[BlindSpotMethod]:
        """One training on all ``sources`` of an image (normalised); each gets its own grey scale and folding."""
        from ruska.methods.blindspot_learning import LEFT_BY_TRAINING

        own, room = self.settings, budget.room  # most of what training takes is free again after it
        if own.model is not None:
            return [self._from_model(source, own.model, budget) for source in sources]
        learned = self.learn(sources, budget)
        method = self._method(learned, learned.notes)
        if budget.rehearsal:
            return [method] * len(sources)
        return [self._fitted(method, source, room - LEFT_BY_TRAINING, budget.tidy) for source in sources]

    def learn(
        self, sources: Sequence[Readable], budget: Workplace, log: Path | None = None, overwrite: bool = True
    ) -> Learned:
        """Train on all of ``sources`` (normalised); resumes from ``budget.folder``.

        overwrite : whether another training there may be begun anew, as in a run's work folder.
        """
        own = self.settings
        if own.frames > 1 and min(len(s.shape) for s in sources) < 3:
            raise SettingsError(
                f"{self.name}.frames", f"is {own.frames}, but an image is a single frame", "Use frames=1."
            )
        spot, notes = self._spot(sources)
        start = load(own.start, self.name) if own.start else None
        hidden = Hidden(self.network, spot, own.frames, 2 if own.loss == "poisson-gaussian" else 1)
        learned = learn(sources, hidden, own, budget, start=start, log=log, overwrite=overwrite)
        return replace(learned, notes=(*notes, *learned.notes))

    def _method(self, learned: Learned, notes: tuple[str, ...]) -> BlindSpotMethod:
        spot = learned.network.spot
        settings = {**self.settings.model_dump(), "spot": f"{spot[0]}x{spot[1]}", "batch": learned.batch}
        return BlindSpotMethod(learned.network, self.settings.flips, None, settings, notes, learned.seconds)

    def _from_model(self, source: Readable, name: str, budget: Workplace) -> BlindSpotMethod:

        model = load(name, self.name)
        network = Hidden.of(model.card.network).build(0)
        model.fill(network)
        if network.frames > 1 and len(source.shape) < 3:
            raise InputError(name, f"was trained on {network.frames} neighbouring frames, the image is a single one",
                             "Train another model with --set frames=1.")  # fmt: skip
        network = network.eval().to(device_of_choice())
        settings = {**self.settings.model_dump(), **model.card.settings, "model": str(model.folder),
                    "fold": self.settings.fold, "flips": self.settings.flips, "start": None}  # fmt: skip
        notes = (f"Model {model.card.name} ({model.card.sha256[:12]}), trained on {model.card.trained_on}.",)
        method = BlindSpotMethod(network, self.settings.flips, None, settings, notes)
        return self._fitted(method, source, budget.room, budget.tidy)

    def _fitted(
        self, method: BlindSpotMethod, source: Readable, room: float, tidy: Callable[[], None]
    ) -> BlindSpotMethod:
        """The method with its grey scale, and what it folds in, measured on ``source`` within ``room`` bytes."""
        stacks = stacks_to_look_at(source, method.network.frames)
        noisy_planes = middles_to_look_at(source, method.network.frames)
        pairs = [(*method.predict_within(stack, room, tidy), noisy)
                 for stack, noisy in zip(stacks, noisy_planes, strict=True)]  # fmt: skip
        slope, offset = calibrate([(predicted, noisy) for predicted, _, noisy in pairs])
        method = replace(method, slope=slope, offset=offset)
        if not self.settings.fold or self.network == "noise2void":
            return method
        if method.network.outputs == 2 and method.network.spot == (1, 1):
            return replace(method, folding=Posterior(level_of([source])))
        folding = Folding.fit([(slope * p + offset, noisy) for p, _, noisy in pairs], method.network.spot,
                              typical_noise(source))  # fmt: skip
        if folding is None:
            return replace(method, notes=(*method.notes, "The prediction's error is too small to fold anything in."))
        return replace(method, folding=folding)

    def _spot(self, sources: Sequence[Readable]) -> tuple[tuple[int, int], tuple[str, ...]]:
        if self.settings.spot is not None:
            return parse_spot(self.settings.spot), ("The spot was given.",)
        step = -(-len(sources) // _MOST_MEASURED)
        found = [noise for noise in map(typical_noise, sources[::step]) if noise is not None]
        if not found:
            return (1, 1), ("The image is too small to measure its noise: the spot is one pixel.",)
        spots = [spot_for(noise) for noise in found]
        spot = max(s[0] for s in spots), max(s[1] for s in spots)
        widest = found[int(np.argmax([s[0] * s[1] for s in spots]))]
        return spot, (widest.reason, f"The blind spot is {spot[0]} x {spot[1]} (rows x columns).")


@dataclass(frozen=True)
class Shine(BlindSpot):
    """SHINE's network in Ruska's training loop, as a baseline."""

    name: ClassVar[str] = "shine"
    network: ClassVar[str] = "shine"


@dataclass(frozen=True)
class Udvd(BlindSpot):
    """UDVD's network in Ruska's training loop, as a baseline."""

    name: ClassVar[str] = "udvd"
    network: ClassVar[str] = "udvd"


@dataclass(frozen=True)
class Noise2Void(BlindSpot):
    """Noise2Void: a plain U-Net trained on masked pixels; with a wider spot, StructN2V. A baseline."""

    name: ClassVar[str] = "noise2void"
    network: ClassVar[str] = "noise2void"


def load(name: str, method: str) -> Model:
    """The model in folder ``name``; InputError when it was made by another method."""
    from ruska.weights import load_model

    model = load_model(Path(name))
    if model.card.method != method:
        raise InputError(name, f"is a model for {model.card.method}, not for {method}",
                         f"Use --method {model.card.method}.")  # fmt: skip
    return model


def spot_for(noise: NoiseEstimate) -> tuple[int, int]:
    """The rectangle (rows, columns) outside which a pixel's noise is not found again, up to 11 x 11."""
    across = min(noise.lag1)
    limits = [_SHARED_ACROSS if lag == across and max(noise.lag1) > 1.2 * across else _SHARED for lag in noise.lag1]
    return _extent(noise, noise.lags_y, limits[0]), _extent(noise, noise.lags_x, limits[1])


def _extent(noise: NoiseEstimate, lags: tuple[float, ...], shared: float) -> int:
    if not noise.correlated or lags[0] < shared:
        return 1
    reach = next((k for k, value in enumerate(lags) if abs(value) < _NEGLIGIBLE), len(lags))
    return min(2 * reach + 1, 11)


BLIND_SPOT = About(
    "blindspot", DENOISE,
    "Blind-spot network trained on the file itself for a few minutes: best without a clean example; slow.",
    BlindSpotSettings, BlindSpot, learns=True, each=True,
)  # fmt: skip
NOISE2VOID = About(
    "noise2void", DENOISE, "Baseline: Noise2Void (masked pixels; spot=1x5 makes it StructN2V), on the file itself.",
    Noise2VoidSettings, Noise2Void, learns=True, each=True,
)  # fmt: skip
UDVD = About(
    "udvd", DENOISE, "Baseline: UDVD's network for movies (half planes turned four ways), on the file itself.",
    UdvdSettings, Udvd, learns=True, each=True,
)  # fmt: skip
SHINE = About(
    "shine", DENOISE, "Baseline: SHINE's blind-spot network (every layer at full resolution), on the file itself.",
    ShineSettings, Shine, learns=True, each=True,
)  # fmt: skip
