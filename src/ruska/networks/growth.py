"""A deeper network that starts from the weights of a shallower one."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby

from torch import Tensor, nn

_WAYS = {"down": 1, "up": 0}  # and how many more scales there are than steps between scales
_WIDTH = ".first.bias"  # of a block: its length is the width of the block


def deepened(weights: Mapping[str, Tensor], network: nn.Module) -> dict[str, Tensor] | None:
    """Weights for a new ``network`` (see `UNet`), from one of the same widths with fewer blocks at some scales.

    New blocks come last at their scale and change nothing, like every new `Modulated` block, so the network computes
    the same as the shallower one. None if it is not deeper, or if neighbouring scales are equally wide.

    Source: Chen et al. (2016), Net2Net, arXiv 1511.05641 (deeper by blocks that are the identity).
    """
    wanted = network.state_dict()
    out = {name: value for name, value in weights.items() if not any(f".{way}." in name for way in _WAYS)}
    steps = sum(".shrink." in name and name.endswith(".bias") for name in wanted)
    grown = False
    for way, more in _WAYS.items():
        old, new = _places(weights, way), _places(wanted, way)
        if not len(old) == len(new) == steps + more:
            return None
        if any(len(few) > len(many) for few, many in zip(old, new, strict=True)):
            return None
        for few, many in zip(old, new, strict=True):
            for source, place in zip(few, many, strict=False):
                out |= _moved(weights, source, place)
            for place in many[len(few) :]:
                out |= _moved(wanted, place, place)
                grown = True
    return out if grown else None


def _moved(weights: Mapping[str, Tensor], source: str, place: str) -> dict[str, Tensor]:
    return {place + name[len(source) :]: value for name, value in weights.items() if name.startswith(source + ".")}


def _places(weights: Mapping[str, Tensor], way: str) -> list[list[str]]:
    """Names of the blocks on the way down or up, by scale."""
    names = [name.removesuffix(_WIDTH) for name in weights if f".{way}." in name and name.endswith(_WIDTH)]
    names.sort(key=lambda name: int(name.rpartition(".")[2]))
    return [list(run) for _, run in groupby(names, key=lambda name: len(weights[name + _WIDTH]))]
