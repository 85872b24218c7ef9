"""Denoising with the prior: one pass of a network trained to remove noise of any known kind from micrographs.

What the network is told is measured on the image itself: how strong the noise is and how it grows with the signal, how
much of it neighbours along a scan line share, and how strong the signal is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from ruska.compute.devices import device_of_choice
from ruska.compute.mirroring import averaged
from ruska.compute.padding import cropped, padded
from ruska.compute.precision import autocast
from ruska.compute.smoothing import smooth
from ruska.errors import InputError
from ruska.image import Output
from ruska.methods.about import DENOISE, About
from ruska.methods.looking import (
    Readable,
    planes_to_look_at,
    statistical_noise,
    told_level,
    typical_level,
    typical_noise,
    typical_plane,
)
from ruska.methods.network_memory import FIRST_CALL, ONE_PASS, Arrays
from ruska.methods.settings import FileRef, Settings
from ruska.physics.valid_part import valid_part

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from ruska.networks.denoiser import Denoiser
    from ruska.physics import NoiseEstimate, NoiseLevel

_STRONGEST = 30.0  # noise over signal that the networks are trained for, with a margin
_FAINTEST = 0.01
_SMOOTH = 6  # pixels that the look at the brightness reaches
_PLAUSIBLE = (0.8, 1.25)  # noise at the fitted line over noise as measured, where the line is believed
_DIFFERENT = 4.0  # variance where there is most noise over that where there is least, from which one level is no good
_OFF = 0.35  # root mean square of the logarithm of variances as measured over those of the line, that still fits
_LESS = 0.5  # by how much of that, at the most, noise that is less than the line counts as off it
_BLOCK = 8  # pixels
_SMALLEST = 64  # pixels each way, of a plane that a line over the grey level can be fitted to
_WEAK = 1.5  # noise over signal, above which the result says more of the prior than of the image
_FEWEST_COUNTS = 1000  # of a plane, from which their number says how many the result must hold
_MOST_KEPT = (0.5, 2.0)
_ASSUMED = 0.05  # noise as a share of the intensity range, where the image is too small to measure it


class PriorSettings(Settings):
    """Settings that all methods with a prior share."""

    model: FileRef | None = Field(
        None, description="Folder of a trained prior. Default: the one that comes with Ruska."
    )
    noise_std: float | None = Field(None, gt=0, le=2, description="Noise standard deviation, as a fraction of the "
                                    "intensity range. Default: estimated from the data.")  # fmt: skip
    strength: float = Field(
        1.0, gt=0, le=10, description="Noise level the prior is told, as a multiple of the measured one, 0 to 10."
    )
    precision: Literal["fp32", "bf16"] = Field("fp32", description="Precision of the network: fp32, or bf16 (faster "
                                               "where the processor or GPU supports it).")  # fmt: skip


class OnePassSettings(PriorSettings):
    """Settings of `Prior`."""

    basic: ClassVar[tuple[str, ...]] = ("noise_std", "strength", "model")
    ensemble: int = Field(1, ge=1, le=8, description="Orientations in which the network sees the image, 1 to 8; the "
                          "mean of 8 is 0.02 to 0.1 dB better and takes 8 times as long.")  # fmt: skip


@dataclass(frozen=True)
class Told:
    """The noise and the signal on the scale of the image.

    mean, signal : mean, and standard deviation of the noise-free image. std : of the noise.
    level : how the noise grows with the grey level; None when it is the same everywhere.
    lags : correlation of the noise with that 1 and 2 pixels further along X, and along Y.
    texture : what neighbours along both axes share of that which passed for noise: fine texture does, noise seldom.
    """

    mean: float
    signal: float
    std: float
    level: NoiseLevel | None = None
    lags: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    texture: float = 0.0

    def stronger(self, factor: float) -> Told:
        """With ``factor`` times the noise, and what is then left for the signal."""
        std = factor * self.std
        level = self.level
        if level is not None:
            level = replace(level, gain=factor**2 * level.gain, intercept=factor**2 * level.intercept,
                            variances=tuple(factor**2 * v for v in level.variances))  # fmt: skip
        return replace(self, std=std, level=level, signal=_signal(self.signal**2 + self.std**2, std))


@dataclass(frozen=True)
class Prior:
    """One pass of the embedded prior, at the image's own noise.

    Source: a network trained at every noise level is the posterior mean at each of them (Efron 2011, eq. 1.4: Tweedie's
    formula); Zhang et al. (2018), FFDNet (a map of the noise). Differs: told of the noise's correlation, too.
    """

    settings: OnePassSettings
    name: ClassVar[str] = "prior"

    def prepare(self, source: Readable, normalisation: object, budget: object) -> PriorMethod:
        network, about = load(self.settings.model)
        network = network.eval().to(device_of_choice())
        told, note = look(source, self.settings)
        own = self.settings
        method = PriorMethod(network, told, own.strength, own.precision, own.model_dump(), (about, note, *doubts(told)),
                             own.ensemble)  # fmt: skip
        if told.level is None or not told.level.counted or getattr(budget, "rehearsal", False):
            return method
        return replace(method, counts=counts_kept(method, source))


@dataclass(frozen=True)
class PriorMethod:
    """A prior told what the image's noise is, as a method of the engine."""

    network: Denoiser
    told: Told
    strength: float = 1.0
    precision: str = "fp32"
    settings: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    ensemble: int = 1
    counts: tuple[float, float] = (1.0, 0.0)  # factor on what is above a grey level, and that level
    outputs: tuple[Output, ...] = (Output(),)
    locality: Literal["exact", "approximate"] = "exact"
    domain: Literal["normalised", "raw"] = "normalised"
    threads: Literal["one", "many"] = "many"
    stays: float = FIRST_CALL

    @property
    def halo(self) -> tuple[int, ...]:
        step = self.network.multiple
        return (-(-(self.network.reach + _SMOOTH) // step) * step,) * 2

    @property
    def multiple(self) -> tuple[int, ...]:
        return (self.network.multiple,) * 2

    @property
    def scale(self) -> tuple[Fraction, ...]:
        return (Fraction(1),) * 2

    @property
    def bytes_per_voxel(self) -> float:
        return Arrays.of(self.network.widths).alive(maps=self.told.level is not None)

    def working_bytes(self, shape: Sequence[int], kept: bool) -> float:
        """Of a call on (b, c, Y, X): of one plane at a time, and of the results of the others."""
        pixels = float(np.prod(shape[2:]))
        waiting = 8 * pixels * np.prod(shape[:2]) if np.prod(shape[:2]) > 1 else 0.0
        arrays = Arrays.of(self.network.widths)
        return ONE_PASS.around(pixels, arrays, kept, maps=self.told.level is not None) + float(waiting)

    def __call__(self, inputs: Mapping[str, Tensor], random: object) -> dict[str, Tensor]:
        """The image: (b, c, Y, X), normalised."""
        import torch

        y = inputs["image"]
        planes = padded(y.reshape(-1, 1, *y.shape[-2:]).to(torch.float32), self.multiple)
        with torch.inference_mode():
            restored = cropped(torch.cat([self.restore(plane[None]) for plane in planes]), y.shape[-2:])
        factor, zero = self.counts
        if factor != 1:
            restored = zero + factor * (restored - zero)
        return {"mean": restored.reshape(y.shape).to(y.dtype)}

    def restore(self, plane: Tensor) -> Tensor:
        """The image (1, 1, Y, X), seen in as many orientations as ``ensemble`` says."""
        if self.ensemble == 1:
            return self.denoise(plane)
        lags = self.told.lags
        across = replace(self, told=replace(self.told, lags=(*lags[2:], *lags[:2])))
        return averaged(plane, self.ensemble, self.denoise, across.denoise)

    def denoise(self, plane: Tensor, level: float = 1.0, noise: Tensor | None = None) -> Tensor:
        """(1, 1, Y, X) on the image's scale, sizes multiples of the network's.

        level : of the noise in ``plane``, in that of the image. noise : the image's `noise_map`, where ``plane`` is not
        the image itself.
        """
        import torch

        device = next(self.network.parameters()).device
        told, signal = self.told, self.told.signal
        x = ((plane - told.mean) / signal).to(device)
        noise = self.noise_map(plane) if noise is None else noise
        sigma = (noise * (self.strength * level / signal)).clamp(_FAINTEST, _STRONGEST).to(device)
        lags = torch.tensor(told.lags, device=device).view(1, 4, 1, 1)
        with autocast(device, self.precision):
            restored = self.network(x, sigma, lags)
        return restored.to(plane.device) * signal + told.mean

    def noise_map(self, plane: Tensor) -> Tensor:
        """Standard deviation of the noise at each pixel; (1, 1, 1, 1) where it is the same everywhere."""
        import torch

        level = self.told.level
        if level is None:
            return torch.full((1, 1, 1, 1), self.told.std)
        line = level.gain * smooth(plane) + level.intercept
        return line.clamp(min=min(level.variances)).sqrt()


def look(source: Readable, settings: PriorSettings, *, by_statistics: bool = False) -> tuple[Told, str]:
    """What to tell the prior about ``source``, and a sentence for the user.

    by_statistics : without the network that reads noise, see `looking.statistical_noise`.
    """
    planes, given = planes_to_look_at(source), settings.noise_std
    mean = float(np.mean([np.nanmean(p) for p in planes]))
    variance = float(np.mean([np.nanmean((p - mean) ** 2) for p in planes]))
    plane = typical_plane(source)
    if plane is None:
        std = given or _ASSUMED
        note = f"Noise of {std:.3g} of the intensity range was {'given' if given else 'assumed'}."
        return Told(mean, _signal(variance, std), std), note
    found = statistical_noise(source) if by_statistics else typical_noise(source)
    assert found is not None  # as there is a typical plane
    known, level = (False, None) if by_statistics else typical_level(source)
    std, level = (found.std, level) if known else _by_statistics(plane, found.std, told_level(source))
    told = Told(mean, _signal(variance, std), std, level, _lags(found), max(0.0, min(found.lag1)))
    note = f"noise {given or std:.3g} of the intensity range{_form(level)}"
    if given is not None:
        return told.stronger(given / std), f"{note}. This level was given; only its form comes from the estimate."
    return told, f"{note}. {found.reason}"


def _by_statistics(plane: NDArray[Any], std: float, own: NoiseLevel | None) -> tuple[float, NoiseLevel | None]:
    """The noise and how it changes with the grey level, where statistics that say ``std`` are all there is.

    own : what repeated frames said.
    """
    from ruska.physics import noise_level

    level = own or (noise_level(plane, falling=True) if min(plane.shape) >= _SMALLEST else None)
    if level is not None and (level.counted or not _believed(level, plane, std)):
        level = level if level.counted or (own is None and _explains(level)) else None
        std = std if level is None else _along(level, plane)
    return std, level


def counts_kept(method: PriorMethod, source: Readable) -> tuple[float, float]:
    """Factor on what the prior leaves of a typical plane of single counts, so that it is as many as were recorded.

    And the grey level of no counts, from which it holds. Of a tenth of a count in a pixel, the prior takes an eighth
    for noise. The factor is 1 where too few were recorded to tell.
    """
    import torch

    plane, level = typical_plane(source), method.told.level
    assert level is not None
    zero = -level.intercept / level.gain
    if plane is None:
        return 1.0, zero
    valid = np.isfinite(plane)
    filled = np.where(valid, plane, plane[valid].mean() if valid.any() else zero)
    y = torch.from_numpy(filled.astype(np.float32))[None, None]
    restored = method({"image": y}, None)["mean"][0, 0].numpy()
    recorded, left = (float((values[valid].astype(np.float64) - zero).sum()) for values in (plane, restored))
    if recorded < _FEWEST_COUNTS * level.gain or left <= 0:
        return 1.0, zero
    return float(np.clip(round(recorded / left, 4), *_MOST_KEPT)), zero


def _form(level: NoiseLevel | None) -> str:
    """How the noise changes with the grey level, as the end of a note."""
    if level is None:
        return ""
    if level.counted:
        return ", of single counts"
    return ", growing with the signal" if level.gain > 0 else ", falling with the grey level"


def doubts(told: Told) -> tuple[str, ...]:
    """The warning for an image with much more noise than signal."""
    if told.std <= _WEAK * told.signal:
        return ()
    return (f"The noise is {told.std / told.signal:.1f} times as strong as the signal: much of what the result shows "
            "is what is usual in micrographs of cells and materials, not what was recorded here.",)  # fmt: skip


def likelier(network: Denoiser, told: Told, source: Readable) -> Told | None:
    """``told`` with the noise level that the prior finds most likely, taken for white; None for a small image.

    Measured on six micrographs: for denoising it is as good as the statistics (25.61 against 25.60 dB); where coarse,
    sharp pixels make texture look like noise it is twice as near to the truth.
    """
    from ruska.methods.likelihood import SMALLEST, likely_scale

    plane = typical_plane(source)
    plane = None if plane is None else valid_part(plane)
    if plane is None or min(plane.shape) < SMALLEST:
        return None
    white = replace(told, lags=(0.0, 0.0, 0.0, 0.0))
    factor = likely_scale(lambda y, f: PriorMethod(network, white.stronger(f)).denoise(y),
                         PriorMethod(network, white).noise_map, plane, network.multiple)  # fmt: skip
    return white.stronger(factor)


def _signal(variance: float, noise: float) -> float:
    """Standard deviation of the noise-free image; where there is none, so small that the noise is all there is."""
    return float(np.sqrt(max(variance - noise**2, (noise / _STRONGEST) ** 2, 1e-12)))


def _believed(level: NoiseLevel, plane: NDArray[Any], std: float) -> bool:
    along = float(np.sqrt(np.nanmean(level.std(plane) ** 2)))
    return level.gain != 0 and _PLAUSIBLE[0] * std < along < _PLAUSIBLE[1] * std


def _explains(level: NoiseLevel) -> bool:
    """Whether the line goes through all that was measured, over noise so different that one level would be wrong."""
    line = level.std(np.array(level.levels)) ** 2
    off = np.log(np.maximum(level.variances, 1e-30) / np.maximum(line, 1e-30))
    off = np.maximum(off, -_LESS)  # noise that is cut off is less than the line says, which does no harm
    return level.gain != 0 and line.max() > _DIFFERENT * line.min() and float(np.sqrt(np.mean(off**2))) < _OFF


def _along(level: NoiseLevel, plane: NDArray[Any]) -> float:
    """Root mean square of the noise over ``plane``, from the brightness of blocks: that of pixels is noise itself."""
    height, width = (n // _BLOCK for n in plane.shape)
    blocks = plane[: height * _BLOCK, : width * _BLOCK].reshape(height, _BLOCK, width, _BLOCK).swapaxes(1, 2)
    whole = blocks[np.isfinite(blocks).all((2, 3))].mean((1, 2))
    return float(np.sqrt(np.mean(level.std(whole if whole.size else np.array(level.levels)) ** 2)))


def _lags(found: NoiseEstimate) -> tuple[float, float, float, float]:
    """Correlations the networks know: of sums over up to three neighbours, never negative."""
    if not found.correlated:
        return (0.0, 0.0, 0.0, 0.0)
    first = [max(0.0, lags[0]) for lags in (found.lags_x, found.lags_y)]
    second = [min(max(0.0, lags[1]), one) for lags, one in zip((found.lags_x, found.lags_y), first, strict=True)]
    return first[0], second[0], first[1], second[1]


def load(folder: str | None) -> tuple[Denoiser, str]:
    """The network of the prior in ``folder``, or of the embedded one, and what to say of it.

    Raises InputError where there is none, or it is damaged.
    """
    if _kept is None:
        return _load(folder)
    from ruska.weights import locate
    from ruska.weights.embedded import EMBEDDED

    where = _state_of(locate(folder) if folder is not None else EMBEDDED)
    if where is None or where not in _kept:
        found = _load(folder)
        _kept.clear()
        if where is not None:
            _kept[where] = found
        return found
    return _kept[where]


_kept: dict[tuple[object, ...], tuple[Denoiser, str]] | None = None
"""The network that was loaded last, by what its files were then; None: none is kept."""


def keep_network() -> None:
    """Keep the network that is loaded last for the next image: for a process that does nothing else."""
    global _kept
    _kept = {} if _kept is None else _kept


@contextmanager
def one_network() -> Iterator[None]:
    """Keep the network that was loaded last until the end, for an image with parts that are prepared one by one."""
    global _kept
    before = _kept
    keep_network()
    try:
        yield
    finally:
        _kept = before


def _state_of(folder: Path) -> tuple[object, ...] | None:
    """Changes when the files of a model change; None where they cannot be read."""
    try:
        found = [(folder / name).stat() for name in ("weights.safetensors", "card.json")]
    except OSError:
        return None
    return (str(folder.absolute()), *((s.st_dev, s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns) for s in found))


def _load(folder: str | None) -> tuple[Denoiser, str]:
    from ruska.weights import load_model
    from ruska.weights.architecture import PriorFacts
    from ruska.weights.embedded import EMBEDDED

    if folder is None and not EMBEDDED.exists():
        raise InputError("the prior", "does not come with this copy of Ruska",
                         "Train one (`ruska train prior`) and pass it with --model, or use --method auto.")  # fmt: skip
    model = load_model(Path(folder) if folder is not None else EMBEDDED)
    if model.card.method != "prior":
        raise InputError(folder or "the embedded model", f"is a model for {model.card.method}, not for prior",
                         f"Use --method {model.card.method}.")  # fmt: skip
    network = PriorFacts.model_validate(model.card.network).build()
    model.fill(network)
    return network, f"Prior {model.card.name} ({model.card.sha256[:12]}), trained on {model.card.trained_on}."


PRIOR = About(
    "prior", DENOISE, "The prior that comes with Ruska: a network trained on many micrographs, one pass; fast.",
    OnePassSettings, Prior, learns=True, prior=True, each=True,
)  # fmt: skip
