"""What is wrong with a method, an entry or a sink is found, and said."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from pydantic import BaseModel, Field

from ruska import methods
from ruska.engine import MemoryStore
from ruska.image import Output
from ruska.methods import About, Settings
from ruska.testing import check_about, check_method, check_sink

IMAGE = np.random.default_rng(0).normal(100, 20, (48, 56)).astype(np.float32)


@dataclass
class Mean:
    """A mean over three pixels each way, right but for what a test changes."""

    halo: tuple[int, ...] = (1, 1)
    multiple: tuple[int, ...] = (1, 1)
    outputs: tuple[Output, ...] = (Output(),)
    locality: str = "exact"
    domain: str = "raw"
    threads: str = "one"
    bytes_per_voxel: float = 8.0
    change: str = ""
    calls: int = 0

    def __call__(self, inputs, random):
        y = inputs["image"]
        self.calls += 1
        found = torch.nn.functional.avg_pool2d(torch.nn.functional.pad(y, (1, 1, 1, 1), "replicate"), 3, 1)
        match self.change:
            case "in place":
                y.add_(1)
            case "state":
                found = found + self.calls
            case "nan":
                found[..., 0, 0] = torch.nan
            case "not local":
                found = found - y.mean()
            case "another name":
                return {"mean": found, "more": found}
            case "none":
                return {}
            case "threads":
                found = found + (self.calls > 9)  # two alone, one whole, six blocks
        return {"mean": found}


def test_what_is_right_passes():
    check_method(Mean(), IMAGE, edge=24, processes=False)


@pytest.mark.parametrize(("changes", "says"), [
    ({"change": "in place"}, "input 'image' was changed"),
    ({"change": "state"}, "differs between two calls"),
    ({"change": "nan"}, "holds NaN"),
    ({"change": "not local"}, "halo is too small"),
    ({"halo": (0, 0)}, "halo is too small"),
    ({"change": "another name"}, "returned more, declared mean"),
    ({"change": "none"}, "declared mean, but did not return it"),
    ({"change": "threads"}, "has other values on threads"),
    ({"outputs": (Output(channels=2),)}, r"has shape \(1, 1, .*expected \(1, 2"),
    ({"outputs": (Output(), Output())}, "two have the same name"),
    ({"outputs": (Output("labels", merge="labels"),)}, "values must be 'raw'"),
    ({"multiple": (1,)}, "multiple has 1 numbers, halo has 2"),
    ({"domain": "counts"}, "domain is 'counts'"),
])  # fmt: skip
def test_what_is_wrong_with_a_method_is_said(changes, says):
    with pytest.raises(AssertionError, match=says):
        check_method(replace(Mean(), **changes), IMAGE, edge=24, processes=False)


def test_a_seam_above_the_bar_is_found_where_blocks_are_not_exact():
    method = replace(Mean(), locality="approximate", change="not local", outputs=(Output(merge="mean"),))
    check_method(method, IMAGE, edge=24, processes=False, seam=2.0)
    with pytest.raises(AssertionError, match=r"of its deviation, expected at most 0\.05"):
        check_method(method, IMAGE, edge=24, processes=False)


class Told(Settings):
    """Settings without fault."""

    size: int = Field(3, ge=1, description="Of the window.")


class Silent(Settings):
    """A setting that nothing is said of."""

    size: int = 3


class Loose(Settings, extra="ignore"):
    """Takes what it does not know."""

    size: int = Field(3, description="Of the window.")


class Missing(Settings):
    """Its basic settings name one that is not there."""

    basic = ("sizes",)
    size: int = Field(3, description="Of the window.")


class Strange(BaseModel):
    """No record of ours."""

    size: int = 3


@pytest.mark.parametrize(("record", "says"), [
    (Silent, "'size' has no description"), (Missing, "basic names 'sizes'"), (Strange, "is not a ruska.methods."),
    (Loose, "an unknown setting was accepted"),
])  # fmt: skip
def test_what_is_wrong_with_an_entry_is_said(record, says):
    check_about(About("mean", "denoise", "A mean.", Told, lambda own: None), prepare=False)
    with pytest.raises(AssertionError, match=says):
        check_about(About("mean", "denoise", "A mean.", record, lambda own: None), prepare=False)


def test_defaults_that_say_too_little_are_told():
    with pytest.raises(AssertionError, match="the defaults are not valid"):
        check_about(methods.about("deblur"))


class Shifted(MemoryStore):
    """Writes one row further."""

    def write(self, box, values):
        super().write(box, np.roll(values, 1, axis=-1))


class Wide(MemoryStore):
    """Gives back another type."""

    def read(self, box):
        return super().read(box).astype(np.float64)


@pytest.mark.parametrize(("kind", "says"), [(Shifted, "gave other values"), (Wide, "gave float64")])
def test_what_is_wrong_with_a_sink_is_said(kind, says):
    with pytest.raises(AssertionError, match=says):
        check_sink(lambda shape, dtype: kind(shape, dtype, tuple(-(-n // 2) for n in shape)))
