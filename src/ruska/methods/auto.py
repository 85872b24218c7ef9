"""``--method auto``: the table that picks a method from what the data show. Measured in docs/methods.md."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ruska.methods.looking import Readable, typical_noise

if TYPE_CHECKING:
    from ruska.physics.noise_statistics import NoiseEstimate


@dataclass(frozen=True)
class Rule:
    """One row of the table: the first whose ``applies`` is true decides."""

    method: str
    applies: Callable[[NoiseEstimate | None], bool]
    when: str
    why: str
    settings: Mapping[str, Any] = field(default_factory=dict)


RULES = (
    Rule("median", lambda noise: noise is None, "the image is under 16 pixels wide or high",
         "too small to estimate its noise"),
    Rule("prior", lambda noise: noise is not None and noise.correlated,
         "neighbouring pixels share noise (scan lines)",
         "the prior takes this into account and treats streaks as noise"),
    Rule("prior", lambda noise: True, "the noise is independent from pixel to pixel",
         "the prior was the best fast method on every kind of micrograph tested"),
)  # fmt: skip


def choose(source: Readable) -> tuple[str, Mapping[str, Any], str]:
    """Return (method, settings, reason) for a source of normalised intensities."""
    noise = typical_noise(source)
    rule = next(rule for rule in RULES if rule.applies(noise))
    return rule.method, rule.settings, f"{rule.when}; {rule.why}"
