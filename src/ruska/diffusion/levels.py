"""Noise levels of a sampler: from where the prior's distribution really starts down to 0, in few steps.

A short schedule must be a *subset* of the levels of the trained path. If the same range of beta is spread over fewer
steps instead, the highest level is lower: EMDiffuse's 1e-4 to 0.09 leaves 10 % of the image's amplitude at the start
with 100 steps, and 31 % with 50, while the sampler starts from pure noise.
"""

from __future__ import annotations

from math import atan, pi, tan
from typing import TYPE_CHECKING

from ruska.diffusion.path import level_at
from ruska.errors import SettingsError

if TYPE_CHECKING:
    from ruska.diffusion.path import Path

HIGHEST = 1000.0
"""Start of a path that ends in pure noise, in standard deviations of the image: 0.1 % of the image is left."""


def start_level(path: Path) -> float:
    """Level at t = 1, where sampling starts; `HIGHEST` if it would be more, or infinite."""
    return min(float(level_at(path, 1.0)), HIGHEST)


def trailing_levels(path: Path, passes: int) -> tuple[float, ...]:
    """Equal steps of t from the end of the path to 0: passes + 1 levels.

    Source: Lin et al. (2024), "Common diffusion noise schedules and sample steps are flawed", sec. 3.3.
    """
    _check(passes)
    end = float(path.time(start_level(path)))
    inner = [float(level_at(path, end * (1 - k / passes))) for k in range(1, passes)]
    return (start_level(path), *inner, 0.0)


def uniform_levels(highest: float, passes: int) -> tuple[float, ...]:
    """Equal steps of the angle atan(sigma / alpha), which turns an image of unit variance into noise evenly."""
    _check(passes)
    _check_level(highest)
    return (highest, *(tan(atan(highest) * (1 - k / passes)) for k in range(1, passes)), 0.0)


def rho_levels(highest: float, passes: int, lowest: float = 0.002, rho: float = 7.0) -> tuple[float, ...]:
    """Short steps at low levels, long ones at high levels: from ``highest`` to ``lowest``, then 0.

    Source: Karras et al. (2022), "Elucidating the design space of diffusion-based generative models", eq. 5.
    """
    _check(passes)
    _check_level(highest)
    if not 0 < lowest < highest:
        raise SettingsError("lowest", f"is {lowest:g}, expected more than 0 and less than {highest:g}")
    if passes == 1:
        return (highest, 0.0)
    top, bottom = highest ** (1 / rho), lowest ** (1 / rho)
    inner = [(top + k / (passes - 1) * (bottom - top)) ** rho for k in range(1, passes - 1)]
    return (highest, *inner, lowest, 0.0)


def flow_time(level: float) -> float:
    """Time on EM generalist's clock, 0 for noise and 1 for the image: ``1 / (1 + level)``."""
    return 1 / (1 + level)


def _check(passes: int) -> None:
    if passes < 1:
        raise SettingsError("passes", f"is {passes}, expected 1 or more")


def _check_level(highest: float) -> None:
    if not 0 < highest < tan(pi / 2):
        raise SettingsError("highest", f"is {highest:g}, expected more than 0 and finite")
