"""What a network may predict from ``x_t = alpha x0 + sigma eps``, and how predictions convert into each other.

Given x_t, each of the four fixes the pair (x0, eps), so they convert into each other exactly. Two of them are blind at
one end: epsilon says nothing about x0 where alpha is 0, nor x0 about eps where sigma is 0; asking for it is an error. v
and velocity are defined everywhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

from ruska.errors import SettingsError, did_you_mean

if TYPE_CHECKING:
    from torch import Tensor

Prediction = Literal["epsilon", "v", "velocity", "x0"]
"""``v = alpha eps - sigma x0``; ``velocity = eps - x0``, which on the flow path (and only there) is dx/dt."""


def convert(value: Tensor, x_t: Tensor, alpha: Tensor, sigma: Tensor, given: Prediction, wanted: Prediction) -> Tensor:
    """Turn a prediction of one kind into another.

    value, x_t : (b, c, *spatial). alpha, sigma : broadcastable to them; need not satisfy alpha^2 + sigma^2 = 1.

    Raises SettingsError for an unknown kind, and if the conversion is undefined (see the module).
    Source: Salimans & Ho (2022), "Progressive distillation", app. D; for the velocity, solving
    ``x_t = alpha x0 + sigma eps`` and ``velocity = eps - x0`` for the pair.
    """
    for kind in (given, wanted):
        check_prediction(kind)
    if given == wanted:
        return value
    if given == "epsilon" and bool((alpha == 0).any()):
        raise SettingsError("epsilon", f"says nothing about {wanted} where alpha is 0", "Start at a lower level.")
    if given == "x0" and bool((sigma == 0).any()):
        raise SettingsError("x0", f"says nothing about {wanted} where sigma is 0", "End at a higher level.")
    x0, eps = _pair(value, x_t, alpha, sigma, given)
    if wanted == "x0":
        return x0
    if wanted == "epsilon":
        return eps
    return eps - x0 if wanted == "velocity" else alpha * eps - sigma * x0


def check_prediction(kind: str) -> None:
    """SettingsError unless it is one of the four."""
    if kind not in get_args(Prediction):
        raise SettingsError("prediction", f"is '{kind}'", did_you_mean(kind, get_args(Prediction)))


def _pair(value: Tensor, x_t: Tensor, alpha: Tensor, sigma: Tensor, given: Prediction) -> tuple[Tensor, Tensor]:
    """(x0, eps)"""
    if given == "epsilon":
        return (x_t - sigma * value) / alpha, value
    if given == "x0":
        return value, (x_t - alpha * value) / sigma
    if given == "v":
        power = alpha**2 + sigma**2
        return (alpha * x_t - sigma * value) / power, (sigma * x_t + alpha * value) / power
    total = alpha + sigma
    return (x_t - sigma * value) / total, (x_t + alpha * value) / total
