"""Micrographs with noise that is known, made on the device that trains: truths at random scales, then the detector."""

from __future__ import annotations

import json
import lzma
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

FACTORS = {1.0: 0.1, 1.5: 0.15, 2.0: 0.3, 2.5: 0.1, 3.0: 0.2, 4.0: 0.15}
"""Area-downsampling of the truths, which averages their own noise away, and how often."""
ABOVE = 2.0  # how many times as strong as a truth's own noise is what is added to it
SQUARE, STEP = 8, 4  # as of `ruska.networks.noise_reader`
_SMALLEST = 48  # pixels of a truth each way; mirrored to fill the window
_MOST_OWN = 0.12  # of the range, own noise of a truth
_REACH = 3  # neighbours each way that share noise
_MADE_UP = 0.15  # share of the images that no micrograph was needed for


@dataclass(frozen=True)
class Batch:
    """y (b, 1, Y, X). variance, valid (b, h, w): of the noise in each square, and the share of it that has any.

    lags (b, 4): correlation of the noise at x + 1, x + 2, y + 1, y + 2. truth : (b, 1, Y, X). kind : 0 electron
    microscopy, 1 fluorescence, 2 made up.
    """

    y: Tensor
    variance: Tensor
    valid: Tensor
    lags: Tensor
    truth: Tensor
    kind: Tensor

    @property
    def whole(self) -> Tensor:
        """Mean variance (b,) of the noise where there is any."""
        return (self.variance * self.valid).sum((1, 2)) / self.valid.sum((1, 2)).clamp(min=1e-6)


class Corpus:
    """Planes on a device: all that were packed, or of these the ones that are ``held_back`` or are not."""

    def __init__(self, facts: Mapping[str, Any], pixels: Tensor, *, held_back: bool = False) -> None:
        self.planes = [p for p in facts["planes"] if (p["group"] in facts["held_back"]) == held_back]
        self.pixels, self.device = pixels, pixels.device
        device = self.device
        self.fluorescence = torch.tensor([p["kind"] == "fluorescence" for p in self.planes], device=device)
        self.root = torch.tensor([p["root"] for p in self.planes], device=device)
        self.at = torch.tensor([p["at"] for p in self.planes], device=device)
        self.shape = torch.tensor([p["shape"] for p in self.planes], device=device)
        self.own = {f: torch.tensor([_own(p["own"], f) for p in self.planes], device=device) for f in FACTORS}
        self.chance = {f: torch.tensor(_chances(self.planes, f), device=device) for f in FACTORS}

    def truths(self, count: int, window: int, random: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """(count, 1, window, window) in 0 to 1, the standard deviation of their own noise, and whether fluorescence."""
        factor = _pick(FACTORS, random)
        which = torch.multinomial(self.chance[factor], count, replacement=True, generator=random)
        size = round(window * factor)
        rows, columns = (self._places(self.shape[which, axis], size, random) for axis in range(2))
        index = self.at[which, None, None] + rows[:, :, None] * self.shape[which, 1, None, None] + columns[:, None, :]
        x = self.pixels[index].float().div_(255)[:, None]
        x = torch.where(self.root[which, None, None, None], x.square(), x)
        if factor == int(factor):
            x = functional.avg_pool2d(x, int(factor))
        else:
            x = functional.interpolate(x, (window, window), mode="bilinear", antialias=True)
        return x, self.own[factor][which], self.fluorescence[which]

    def _places(self, length: Tensor, size: int, random: torch.Generator) -> Tensor:
        """Indices (b, size) along one axis, mirrored at the ends, half of them backwards."""
        free = torch.where(length > size, length - size + 1, 2 * length)
        start = (_uniform((len(length),), random) * free).long()
        index = (start[:, None] + torch.arange(size, device=self.device)) % (2 * length[:, None])
        index = torch.minimum(index, 2 * length[:, None] - 1 - index)
        back = _uniform((len(length), 1), random) < 0.5
        return torch.where(back, index.flip(1), index)


def unpacked(folder: Path) -> tuple[dict[str, Any], Tensor]:
    """What was packed, and all pixels, one plane after the other."""
    facts = json.loads((folder / "planes.json").read_text(encoding="utf-8"))
    raw = np.frombuffer(lzma.decompress((folder / "planes.bin").read_bytes()), np.uint8)
    pixels = np.empty(facts["pixels"], np.uint8)
    for plane in facts["planes"]:
        height, width = plane["shape"]
        part = slice(plane["at"], plane["at"] + height * width)
        np.cumsum(raw[part].reshape(height, width), axis=1, dtype=np.uint8, out=pixels[part].reshape(height, width))
    return facts, torch.from_numpy(pixels)


def _own(own: Sequence[float | None], factor: float) -> float:
    """Own noise after downsampling: no less than after more of it (where neighbours share it, it hides there)."""
    known = [(level, o) for level, o in zip((1, 2, 3, 4), own, strict=True) if o is not None]
    found = [o for level, o in known if level >= factor]
    if factor != int(factor):  # blended over more pixels than it shrinks by
        found += [0.8 * o * level / factor for level, o in known if level == int(factor)]
    return max(found, default=1.0)


def _chances(planes: Sequence[Mapping[str, Any]], factor: float) -> list[float]:
    """Folders by the fourth root of their pixels: what counts is how many specimens there are."""
    usable = [min(p["shape"]) / factor >= _SMALLEST and _own(p["own"], factor) < _MOST_OWN for p in planes]
    sizes: dict[str, float] = {}
    for p, use in zip(planes, usable, strict=True):
        sizes[p["group"]] = sizes.get(p["group"], 0) + use * math.prod(p["shape"])
    return [
        use * math.prod(p["shape"]) / max(sizes[p["group"]], 1) ** 0.75 for p, use in zip(planes, usable, strict=True)
    ]


def batch(corpus: Corpus, count: int, window: int, random: torch.Generator, *, real: bool = False) -> Batch:
    """``count`` images, a multiple of 8; ``real`` : none that is made up."""
    parts = [_part(corpus, count // 8, window, random, real=real) for _ in range(8)]
    return Batch(*(torch.cat([getattr(p, name) for p in parts]) for name in Batch.__dataclass_fields__))


def _part(corpus: Corpus, count: int, window: int, random: torch.Generator, *, real: bool) -> Batch:
    if not real and _chance(_MADE_UP, random):
        x, own = made_up(count, window, random), torch.zeros(count, device=random.device)
        kind = torch.full((count,), 2, device=random.device)
    else:
        x, own, fluorescence = corpus.truths(count, window, random)
        x, own = _varied(x, own, fluorescence, random)
        kind = fluorescence.long()
    return detected(x.clamp(min=0), own, kind, random)


def _varied(x: Tensor, own: Tensor, fluorescence: Tensor, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """Of other contrast, inverted, or blurred."""
    count = len(x)
    if _chance(0.3, random):  # the range of what is seen, not that of the file
        coarse = functional.avg_pool2d(x, SQUARE).flatten(1)
        low, high = coarse.amin(1), coarse.amax(1)
        spread = (high - low).clamp(min=0.1)
        x, own = ((x - low[:, None, None, None]) / spread[:, None, None, None]).clamp(0, 1.5), own / spread
    inverted = _uniform((count, 1, 1, 1), random) < torch.where(fluorescence, 0.03, 0.2)[:, None, None, None]
    x = torch.where(inverted, (1 - x).clamp(min=0), x)
    if _chance(0.5, random):
        gamma = torch.exp(0.35 * torch.randn((count, 1, 1, 1), generator=random, device=random.device))
        x = x.clamp(min=1e-4) ** gamma  # its own noise changes, too: by less than it is known
    if _chance(0.25, random):
        low = 0.5 * _uniform((count, 1, 1, 1), random)
        part = 0.3 + 0.7 * _uniform((count, 1, 1, 1), random)
        x, own = low + part * (1 - low) * x, own * (part * (1 - low)).flatten()
    if _chance(0.2, random):
        sigma = 0.3 + 1.0 * _uniform((count,), random)
        kernel = _gaussian(sigma)
        x = _convolve(x, kernel, kernel)
    return x, own


def made_up(count: int, window: int, random: torch.Generator) -> Tensor:
    """Flat images, slopes, fields with a power law, some with sharp edges, lattices; (count, 1, window, window)."""
    shape = (count, 1, window, window)
    kind = int(float(_uniform((1,), random)) * 5)
    along = torch.linspace(0, 1, window, device=random.device)
    if kind == 0:
        return _uniform((count, 1, 1, 1), random).expand(shape).clone()
    if kind == 1:
        slope = torch.randn((count, 2, 1, 1), generator=random, device=random.device)
        x = slope[:, :1] * along[:, None] + slope[:, 1:] * along
        return _to_range(x)
    if kind == 2:
        waves = 0.3 + 2.5 * _uniform((count, 3, 2, 1, 1), random)  # radians a pixel, along Y and X
        waves[:, :, 0] *= torch.where(_uniform((count, 3, 1, 1), random) < 0.5, -1.0, 1.0)
        at = along * window
        lattice = sum(torch.cos(waves[:, k, :1] * at[:, None] + waves[:, k, 1:] * at) for k in range(3))
        sharp = 1 + 3 * _uniform((count, 1, 1, 1), random)
        return _to_range(lattice) ** sharp
    frequency = torch.fft.fftfreq(window, device=random.device)
    radius = torch.hypot(frequency[:, None], frequency).clamp(min=1 / window)
    law = 1.0 + 1.3 * _uniform((count, 1, 1, 1), random)
    spectrum = torch.fft.fft2(torch.randn(shape, generator=random, device=random.device)) * radius**-law
    field = torch.fft.ifft2(spectrum).real
    field = field / field.std((2, 3), keepdim=True)
    if kind == 3:
        return _to_range(field)
    steep = torch.exp(1 + 3 * _uniform((count, 1, 1, 1), random))
    edges = torch.tanh(steep * torch.sin(field * (1 + 3 * _uniform((count, 1, 1, 1), random))))
    return _to_range(edges + 0.3 * field)


def detected(x: Tensor, own: Tensor, kind: Tensor, random: torch.Generator) -> Batch:
    """What a detector makes of truths ``x``, at least 0, whose own noise has the standard deviation ``own`` (b,)."""
    count = len(x)
    one = (count, 1, 1, 1)
    electrons, read, dark = _doses(x, own, random)
    expected = x + dark
    variance = expected / electrons + read.square()
    noise = torch.poisson(expected * electrons, generator=random) / electrons - expected
    noise = noise + read * torch.randn(x.shape, generator=random, device=random.device)
    lags = x.new_zeros(count, 4)
    if _chance(0.35, random):
        across, down = kernels(count, random)
        noise = _convolve(noise, across, down)
        variance = _convolve(variance, across.square(), down.square())
        lags = torch.cat([correlation(across), correlation(down)], 1)
    y = x + noise
    share = torch.where(kind == 1, 0.35, 0.1).view(one)
    y = torch.where(_uniform(one, random) < share, y.clamp(min=0), y)
    y = torch.where(_uniform(one, random) < 0.08, y.clamp(max=1), y)
    if _chance(0.5, random):
        spread = y.amax((2, 3), keepdim=True) - y.amin((2, 3), keepdim=True)
        step = spread * torch.exp(math.log(1 / 255) + math.log(6) * _uniform(one, random) ** 2)
        step = torch.minimum(step, 1.5 * variance.mean((2, 3), keepdim=True).sqrt()).clamp(min=1e-9)
        y = torch.round(y / step) * step
        variance = variance + step.square() / 12
    y, valid = _with_empty_part(y, random)
    variance = variance + own.view(one).square()
    squares = [functional.avg_pool2d(a, SQUARE, STEP)[:, 0] for a in (variance * valid, valid)]
    return Batch(y, squares[0] / squares[1].clamp(min=1e-6), squares[1], lags, x, kind)


def _doses(x: Tensor, own: Tensor, random: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Electrons for a value of 1, read noise and dark level (b, 1, 1, 1): noise well above the truths' own."""
    one = (len(x), 1, 1, 1)
    electrons = 4 * 500 ** (_uniform(one, random) ** 0.7)  # to 2000, mostly many
    electrons = torch.where(_uniform(one, random) < 0.05, electrons / 20, electrons)
    read = _between(0.003, 0.08, one, random) * (_uniform(one, random) > 0.15)
    dark = 0.5 * _uniform(one, random) * (_uniform(one, random) < 0.3)
    if _chance(0.3, random):  # the same everywhere
        electrons, read = electrons.new_full(one, 1e6), _between(0.008, 0.3, one, random)
    added = ((x + dark) / electrons + read.square()).mean((2, 3), keepdim=True)
    least = torch.maximum((ABOVE * own.view(one)).square(), torch.tensor(0.006**2, device=x.device))
    more = (least / added.clamp(min=1e-12)).clamp(min=1)
    return electrons / more, torch.sqrt(more) * read, dark


def kernels(count: int, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """With which a pixel takes up its neighbours' noise, along X and along Y: (count, 7) of unit energy."""
    none = functional.one_hot(torch.full((count,), _REACH, device=random.device), 2 * _REACH + 1).float()
    kind = float(_uniform((1,), random))
    if kind < 0.3:  # smoothed or resampled
        both = _gaussian(0.3 + 0.7 * _uniform((count,), random))
        both = both / both.norm(dim=1, keepdim=True)
        return both, both
    tail = torch.arange(2 * _REACH + 1, device=random.device) - _REACH
    decay = 0.1 + 0.65 * _uniform((count, 1), random)
    if kind < 0.6:  # a slow amplifier: what came before lingers
        taps = torch.where(tail >= 0, decay ** tail.clamp(min=0), torch.zeros_like(decay))
    else:
        taps = none + (tail.abs() == 1) * 0.8 * _uniform(none.shape, random)
        taps = taps + (tail == 2) * 0.3 * _uniform((count, 1), random)
    taps = taps / taps.norm(dim=1, keepdim=True)
    return (taps, none) if _chance(0.85, random) else (none, taps)


def correlation(kernel: Tensor) -> Tensor:
    """At distances 1 and 2, of white noise after ``kernel`` (b, taps) of unit energy."""
    return torch.stack([(kernel[:, lag:] * kernel[:, :-lag]).sum(1) for lag in (1, 2)], 1)


def _with_empty_part(y: Tensor, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """Sometimes a rectangle has one grey level, as where nothing was recorded; and where it has not."""
    valid = torch.ones_like(y)
    if not _chance(0.08, random):
        return y, valid
    window = y.shape[-1]
    edges = (_uniform((4,), random) * window).long().tolist()
    rows, columns = (slice(max(0, a - window // 4), min(window, a + b // 2)) for a, b in (edges[:2], edges[2:]))
    valid[..., rows, columns] = 0
    level = y.amin((2, 3), keepdim=True) if _chance(0.5, random) else y.mean((2, 3), keepdim=True)
    return torch.where(valid > 0, y, level), valid


def _convolve(x: Tensor, across: Tensor, down: Tensor) -> Tensor:
    """(b, 1, Y, X) with kernels (b, 7) along X and Y, round at the edges."""
    count = len(x)
    padded = functional.pad(x, (_REACH,) * 4, mode="circular").transpose(0, 1)
    found = functional.conv2d(padded, across[:, None, None, :], groups=count)
    return functional.conv2d(found, down[:, None, :, None], groups=count).transpose(0, 1)


def _gaussian(sigma: Tensor) -> Tensor:
    away = torch.arange(2 * _REACH + 1, device=sigma.device) - _REACH
    kernel = torch.exp(-0.5 * (away / sigma[:, None]).square())
    return kernel / kernel.sum(1, keepdim=True)


def _to_range(x: Tensor) -> Tensor:
    low, high = x.amin((2, 3), keepdim=True), x.amax((2, 3), keepdim=True)
    return (x - low) / (high - low).clamp(min=1e-6)


def _between(low: float, high: float, shape: tuple[int, ...], random: torch.Generator) -> Tensor:
    return torch.exp(math.log(low) + math.log(high / low) * _uniform(shape, random))


def _pick(shares: Mapping[float, float], random: torch.Generator) -> float:
    weights = torch.tensor(list(shares.values()), device=random.device)
    return list(shares)[int(torch.multinomial(weights, 1, generator=random))]


def _chance(share: float, random: torch.Generator) -> bool:
    return float(_uniform((1,), random)) < share


def _uniform(shape: tuple[int, ...], random: torch.Generator) -> Tensor:
    return torch.rand(shape, generator=random, device=random.device)
