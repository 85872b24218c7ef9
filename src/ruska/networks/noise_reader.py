"""A network that reads the noise level of a micrograph, by brightness, and how certain it is.

It measures the strength of each spatial frequency in small squares (energies of the discrete cosine transform, at three
scales), decides from the squares and their surroundings which are free of structure, and averages the energies of
those, in groups by brightness. Its output is relative to the image's own fine detail, so it needs no grey levels.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

SQUARE, STEP = 8, 4  # pixels of a square, and from one to the next
COARSE = 4  # lowest frequencies, along each axis, that are used in binned images
BINNINGS = (2, 4)
RANKS = (0.1, 0.35, 0.65, 0.9)  # groups of squares by how many are darker
LEVELS = (0.1, 0.35, 0.65, 0.9)  # groups by grey level, between the 1 % and the 99.5 % quantile
_WIDE = 0.12  # standard deviation of a group, in either
_DARKEST, _BRIGHTEST = 0.01, 0.995
_FAINT = 0.02  # energy, relative to that of the fine detail, that counts as none
_HEADS = 3  # choices of squares
LAGS = 4
GROUPS = len(RANKS) + len(LEVELS)
BANDS = SQUARE**2 - 1 + len(BINNINGS) * (COARSE**2 - 1)
ENERGIES = SQUARE**2 - 1  # number of energies of the image itself
_SURE, _UNSURE = -4.0, 2.0  # limits of the logarithm of the error


class Reading(NamedTuple):
    """The network's output. Standard deviations are logarithms; each comes with the logarithm of its typical error.

    group, group_error : (b, groups), noise in each group. whole, whole_error : (b,), noise of all, root mean square.
    lags, lags_error : (b, 4), correlation at x + 1, x + 2, y + 1, y + 2. brightness : (b, groups), mean grey level of
    the chosen squares. shares : (b, groups, squares), weight of each square in a group.
    """

    group: Tensor
    group_error: Tensor
    whole: Tensor
    whole_error: Tensor
    lags: Tensor
    lags_error: Tensor
    brightness: Tensor
    shares: Tensor


class Squares(NamedTuple):
    """energies (b, bands, h, w), relative to the image's fine detail. mean (b, h, w) and ``scale`` (b,) in grey levels.

    flat : (b, 2, h, w), share of pixels equal to their right neighbour, and of pixels at an end of the range.
    """

    energies: Tensor
    mean: Tensor
    flat: Tensor
    scale: Tensor


def cosines(square: int, lowest: int) -> Tensor:
    """The ``lowest`` frequencies along each axis, without the mean: (lowest^2 - 1, 1, square, square), unit energy."""
    k, n = torch.arange(lowest, dtype=torch.float64), torch.arange(square, dtype=torch.float64)
    basis = torch.cos(math.pi * (n[None] + 0.5) * k[:, None] / square) * math.sqrt(2 / square)
    basis[0] /= math.sqrt(2)
    both = torch.einsum("iy,jx->ijyx", basis, basis).reshape(-1, 1, square, square)
    return both[1:].float()


def squares_of(images: Tensor) -> Squares:
    """The squares of ``images`` (b, 1, Y, X), float32, Y and X multiples of 16 and at least 64."""
    lowest, highest = (f(images, (2, 3), keepdim=True) for f in (torch.amin, torch.amax))
    centred = images - images.mean((2, 3), keepdim=True)
    fine = functional.conv2d(centred, cosines(SQUARE, SQUARE).to(images), stride=STEP)
    height, width = fine.shape[-2:]
    energies = [fine.square()]
    for binning in BINNINGS:
        binned = functional.avg_pool2d(centred, binning) * binning  # white noise keeps its strength
        reach = SQUARE - SQUARE // binning  # so that squares of all scales share their centres
        binned = functional.pad(binned, (reach // 2, reach - reach // 2) * 2, mode="reflect")
        coarse = functional.conv2d(binned, cosines(SQUARE, COARSE).to(images), stride=STEP // binning)
        energies.append(coarse.square()[..., :height, :width])
    equal = (images[..., 1:] == images[..., :-1]).float()
    ends = ((images == lowest) | (images == highest)).float()
    flat = torch.cat([functional.avg_pool2d(functional.pad(equal, (0, 1)), SQUARE, STEP),
                      functional.avg_pool2d(ends, SQUARE, STEP)], 1)  # fmt: skip
    mean = functional.avg_pool2d(images, SQUARE, STEP)[:, 0]
    finest = energies[0].unflatten(1, (ENERGIES,))[:, -SQUARE * 3 :].mean(1)  # the three finest rows of frequencies
    usual = finest.flatten(1).median(1).values
    usual = torch.maximum(usual, 1e-3 * finest.mean((1, 2))).clamp(min=1e-20)
    return Squares(torch.cat(energies, 1) / usual[:, None, None, None], mean, flat, usual.sqrt())


def memberships(mean: Tensor) -> tuple[Tensor, Tensor]:
    """Logarithm of how much each square (b, n) belongs to each group (b, groups, n); its ranks (b, 2, n), 0 to 1."""
    count = mean.shape[1]
    order = mean.argsort(dim=1, stable=True)
    rank = torch.empty_like(mean).scatter_(1, order, torch.linspace(0, 1, count, device=mean.device).expand_as(mean))
    ordered = mean.gather(1, order)
    low, high = (ordered[:, int(q * (count - 1))][:, None] for q in (_DARKEST, _BRIGHTEST))
    level = ((mean - low) / (high - low).clamp(min=1e-12)).clamp(-0.2, 1.2)
    groups = [-0.5 * ((place - middle) / _WIDE).square()
              for place, middles in ((rank, RANKS), (level, LEVELS)) for middle in middles]  # fmt: skip
    return torch.stack(groups, 1), torch.stack([rank, level], 1)


class NoiseReader(nn.Module):
    """See the module. width : channels of the part that examines squares; hidden : of the part that judges groups."""

    def __init__(self, width: int = 64, hidden: int = 128) -> None:
        super().__init__()
        self.look = nn.Conv2d(BANDS + 4, width, 1)
        self.around = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in range(3))
        self.overall = nn.Sequential(nn.Linear(2 * width, width), nn.ReLU(), nn.Linear(width, 2 * width))
        self.choose = nn.Conv2d(width, _HEADS, 1)
        per_group = (_HEADS + 1) * BANDS + width + _HEADS + 6 + width
        self.judge = nn.Sequential(nn.Linear(per_group, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU())
        self.compare = nn.Sequential(nn.Linear(2 * hidden, hidden), nn.ReLU())
        self.tell_group = nn.Linear(hidden, 2)
        self.tell_whole = nn.Sequential(nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, 2 + 2 * LAGS))
        for layer in (self.tell_group, self.tell_whole[2]):
            assert isinstance(layer, nn.Linear)
            if not layer.weight.is_meta:  # where there are shapes alone, `normal_` imports torch's compiler: a second
                nn.init.zeros_(layer.bias)
                nn.init.normal_(layer.weight, std=0.01)

    def forward(self, images: Tensor) -> Reading:
        """``images`` (b, 1, Y, X), float32."""
        with torch.autocast(images.device.type, enabled=False):
            squares = squares_of(images)
            energies = squares.energies.flatten(2)
            mean = squares.mean.flatten(1)
            member, place = memberships(mean)
        logs = torch.log(squares.energies + _FAINT)
        places = place.unflatten(2, squares.mean.shape[1:])
        x = functional.relu(self.look(torch.cat([logs, squares.flat, places], 1)))
        for layer in self.around[:2]:
            x = x + functional.relu(layer(x))
        flattened = x.flatten(2)
        overall = torch.cat([flattened.mean(2), flattened.amax(2)], 1)
        scale, shift = self.overall(overall).chunk(2, 1)
        x = functional.relu(x * (1 + scale[..., None, None]) + shift[..., None, None])
        x = x + functional.relu(self.around[2](x))
        with torch.autocast(images.device.type, enabled=False):
            features = x.float().flatten(2)
            liking = self.choose(x.float()).flatten(2)
            return self._judged(squares, energies, logs.flatten(2), mean, member, place, features, liking)

    def _judged(
        self, squares: Squares, energies: Tensor, logs: Tensor, mean: Tensor, member: Tensor, place: Tensor,
        features: Tensor, liking: Tensor,
    ) -> Reading:  # fmt: skip
        chosen = torch.softmax(liking[:, :, None] + member[:, None], -1)  # (b, heads, groups, squares)
        # share of the squares in the group that each head chose
        few = -torch.log(chosen.square().sum(-1)).transpose(1, 2) / 5  # (b, groups, heads)
        taken = torch.einsum("bhgn,bcn->bghc", chosen, energies)
        bands = torch.log(taken + 1e-3)  # (b, groups, heads, bands)
        # noise is equally strong everywhere, structure is not: the mean logarithm against the logarithm of the mean
        steady = torch.einsum("bgn,bcn->bgc", chosen[:, 0], logs) - bands[:, :, 0]
        seen = torch.einsum("bgn,bcn->bgc", chosen[:, 0], features)
        where = torch.einsum("bgn,bcn->bgc", chosen[:, 0], place)
        flat = torch.einsum("bgn,bcn->bgc", chosen[:, 0], squares.flat.flatten(2))
        brightness = torch.einsum("bgn,bn->bg", chosen[:, 0], mean)
        relative = (brightness - mean.mean(1, keepdim=True)) / mean.std(1, keepdim=True).clamp(min=1e-12)
        contrast = torch.log(mean.std(1) / squares.scale + 1e-2)[:, None].expand_as(relative)
        overall = features.mean(2)[:, None].expand(-1, GROUPS, -1)
        group = self.judge(torch.cat([bands.flatten(2), steady, seen, few, where, flat, relative[..., None] / 3,
                                      contrast[..., None] / 3, overall], 2))  # fmt: skip
        together = group.mean(1)
        compared = self.compare(torch.cat([group, together[:, None].expand_as(group)], 2))
        finest = 0.5 * torch.log(taken[:, :, 0, ENERGIES - SQUARE * 3 : ENERGIES].mean(2) + 1e-6)
        own, own_error = self.tell_group(compared).unbind(2)
        told = self.tell_whole(compared.mean(1))
        usual = torch.log(squares.scale)
        log_group = own + finest + usual[:, None]
        return Reading(
            log_group, own_error.clamp(_SURE, _UNSURE), told[:, 0] + finest[:, : len(RANKS)].mean(1) + usual,
            told[:, 1].clamp(_SURE, _UNSURE), told[:, 2 : 2 + LAGS], told[:, 2 + LAGS :].clamp(_SURE, _UNSURE),
            brightness, chosen[:, 0],
        )  # fmt: skip
