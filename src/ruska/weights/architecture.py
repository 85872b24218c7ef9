"""The network that a card asks for: checked before anything is built of it, and what its weights must look like."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from ruska.diffusion.coordinates import PathName, coordinates
from ruska.diffusion.prediction import Prediction
from ruska.errors import InputError, did_you_mean
from ruska.networks.limits import MOST_BLOCKS, MOST_FRAMES, MOST_NUMBERS, MOST_SCALES, WIDEST, WIDEST_SPOT

if TYPE_CHECKING:
    from torch import nn

    from ruska.networks.denoiser import Denoiser
    from ruska.networks.noise_reader import NoiseReader

KIND_OF = {"blindspot": "halfplane", "noise2void": "noise2void", "udvd": "udvd", "shine": "shine"}
"""Kind of network by method, of the methods that learn on noisy files."""

_Width = Annotated[int, Field(strict=True, ge=1, le=WIDEST)]
_Blocks = Annotated[int, Field(strict=True, ge=1, le=MOST_BLOCKS)]
_Scales = Field(min_length=1, max_length=MOST_SCALES)
_Edge = Annotated[int, Field(strict=True, ge=1, le=WIDEST_SPOT)]


class _Facts(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PriorFacts(_Facts):
    """What the card of a prior says of its network: see `networks.unet.UNet`."""

    widths: Annotated[tuple[_Width, ...], _Scales]
    blocks: Annotated[tuple[_Blocks, ...], _Scales]
    prediction: Prediction = "x0"
    path: PathName = "exploding"

    @model_validator(mode="after")
    def _fit(self) -> PriorFacts:
        if len(self.widths) != len(self.blocks):
            raise ValueError(f"has {len(self.widths)} widths and {len(self.blocks)} blocks, expected as many of both")
        return self

    def build(self) -> Denoiser:
        from ruska.networks.denoiser import Denoiser

        return Denoiser(coordinates(self.path, self.prediction), widths=self.widths, blocks=self.blocks)


class ReaderFacts(_Facts):
    """What the card of a network that reads noise says of it: see `networks.noise_reader`."""

    width: _Width
    hidden: _Width

    def build(self) -> NoiseReader:
        from ruska.networks.noise_reader import NoiseReader

        return NoiseReader(self.width, self.hidden)


class HiddenFacts(_Facts):
    """What the card of a blind-spot network says of it: see `networks.hidden`."""

    kind: str
    spot: tuple[_Edge, _Edge]
    frames: Annotated[int, Field(strict=True, ge=1, le=MOST_FRAMES)]
    outputs: Annotated[int, Field(strict=True, ge=1, le=2)]
    widths: Annotated[tuple[_Width, ...], _Scales]

    @field_validator("spot", "frames")
    @classmethod
    def _has_a_middle(cls, found: Any) -> Any:
        if any(n % 2 == 0 for n in (found if isinstance(found, tuple) else (found,))):
            raise ValueError("expected odd numbers")
        return found

    def build(self) -> nn.Module:
        from ruska.networks.hidden import hidden_network

        network: nn.Module = hidden_network(self.kind, self.spot, self.frames, self.outputs, self.widths)
        return network


NetworkFacts = PriorFacts | ReaderFacts | HiddenFacts
READER = "noise_reader"
"""What a card gives as the method of a network that reads noise."""


def facts_of(method: str, network: Mapping[str, Any], subject: object) -> NetworkFacts:
    """What a card says of its network. InputError about ``subject`` for a method or kind that has none.

    Raises pydantic's ValidationError where a number is missing or out of its range.
    """
    if method == "prior":
        return PriorFacts.model_validate(network)
    if method == READER:
        return ReaderFacts.model_validate(network)
    if method not in KIND_OF:
        raise InputError(subject, f"is not a model card (method is {method[:40]!r}, which has no network here)",
                         did_you_mean(method[:40], ["prior", *KIND_OF]))  # fmt: skip
    facts = HiddenFacts.model_validate(network)
    if facts.kind != KIND_OF[method] or (facts.kind != "halfplane" and facts.outputs != 1):
        found = f"network.kind is {facts.kind[:40]!r} with {facts.outputs} outputs"
        raise InputError(subject, f"is not a model card ({found}, expected {KIND_OF[method]!r} for the method "
                         f"{method})", "Train the model again, or get its complete folder.")  # fmt: skip
    return facts


def shapes_of(facts: NetworkFacts, subject: object) -> dict[str, tuple[int, ...]]:
    """Shape of every tensor of the network, by name. Takes no memory for them.

    Raises InputError about ``subject`` when there are more than `MOST_NUMBERS` numbers in them.
    """
    import torch

    with torch.device("meta"):
        shapes = {name: tuple(value.shape) for name, value in facts.build().state_dict().items()}
    numbers = count(shapes)
    if numbers > MOST_NUMBERS:
        raise InputError(subject, f"is not a model card (its network would have {numbers / 1e6:,.0f} million weights, "
                         f"expected at most {MOST_NUMBERS / 1e6:.0f} million)")  # fmt: skip
    return shapes


def count(shapes: Mapping[str, tuple[int, ...]]) -> int:
    """Numbers in all tensors together."""
    from math import prod

    return sum(prod(shape) for shape in shapes.values())
