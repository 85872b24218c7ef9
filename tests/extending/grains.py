"""A method of another package, for a task that Ruska does not have: bright grains, numbered, within a mask."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from pydantic import Field

from ruska.image import Output
from ruska.methods import About, Settings


class GrainSettings(Settings):
    """Settings of `Grains`."""

    basic: ClassVar[tuple[str, ...]] = ("level",)
    level: float = Field(100.0, ge=0, description="Grey level above which a pixel belongs to a grain.")
    first: str = Field("labels", description="Which output is the result: labels or mean.")
    seed: int = Field(3, description="Has the name of an option of every run.")


@dataclass(frozen=True)
class Grains:
    """Connected pixels above a grey level."""

    own: GrainSettings
    reach: int = 24

    def prepare(self, source, normalisation, budget):
        return self

    domain = "raw"
    locality = "exact"
    threads = "one"
    bytes_per_voxel = 24.0
    multiple = (1, 1)

    @property
    def halo(self):
        return (self.reach, self.reach)

    @property
    def outputs(self):
        labels = Output("labels", channels=1, dtype="uint32", values="raw", merge="labels")
        mean, std = Output("mean"), Output("std", dtype="float32", values="spread")
        return (labels,) if self.own.first == "labels" else (mean, labels, std)

    def __call__(self, inputs, random):
        from scipy.ndimage import label

        y = inputs["image"]
        inside = y > self.own.level
        if "mask" in inputs:
            inside &= inputs["mask"] > 0
        found = np.stack([label(plane)[0] for plane in inside[:, 0].numpy()])[:, None]
        labels = torch.from_numpy(found.astype(np.int64))
        if self.own.first == "labels":
            return {"labels": labels}
        return {"mean": y.clone(), "labels": labels, "std": torch.full_like(y, 2.5)}


GRAINS = About("grains", "segment", "Numbers bright grains.", GrainSettings, Grains, roles=frozenset({"image", "mask"}))
