"""Short schedules start where the prior was trained to start, and end at the image."""

from __future__ import annotations

import itertools
import math

import pytest

from ruska.diffusion.levels import HIGHEST, flow_time, rho_levels, start_level, trailing_levels, uniform_levels
from ruska.diffusion.path import (
    EM_GENERALIST,
    EMDIFFUSE_SAMPLING,
    EMDIFFUSE_TRAINING,
    FlowPath,
    ddpm_path,
    level_at,
    zero_terminal_snr,
)
from ruska.errors import SettingsError

PATHS = {
    "flow": FlowPath(),
    "em generalist": ddpm_path(EM_GENERALIST),
    "emdiffuse": ddpm_path(EMDIFFUSE_TRAINING),
    "zero terminal": zero_terminal_snr(ddpm_path(EM_GENERALIST)),
}
SCHEDULES = {
    "trailing": trailing_levels,
    "uniform": lambda path, passes: uniform_levels(start_level(path), passes),
    "rho": lambda path, passes: rho_levels(start_level(path), passes),
}


@pytest.mark.parametrize("passes", [1, 2, 5, 10, 20, 50])
@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("name", PATHS)
def test_any_number_of_steps_starts_at_the_end_of_the_path(name, schedule, passes):
    levels = SCHEDULES[schedule](PATHS[name], passes)
    assert len(levels) == passes + 1
    assert levels[0] == start_level(PATHS[name])
    assert levels[-1] == 0
    assert all(later < earlier for earlier, later in itertools.pairwise(levels))


def test_the_start_is_noise_but_for_a_thousandth():
    assert start_level(FlowPath()) == HIGHEST
    assert start_level(PATHS["zero terminal"]) == HIGHEST
    assert start_level(PATHS["em generalist"]) == pytest.approx(157.4, rel=1e-3)


def test_a_restretched_schedule_would_start_off_the_distribution():
    """What EMDiffuse does: the same betas spread over fewer steps."""
    whole = ddpm_path(EMDIFFUSE_SAMPLING)
    for steps, left in ((50, 0.098), (100, 0.0096), (200, 9e-5)):
        restretched = ddpm_path(EMDIFFUSE_SAMPLING._replace(steps=steps))
        assert float(restretched.alpha(1.0)) ** 2 == pytest.approx(left, rel=0.05)
        assert trailing_levels(whole, steps)[0] == HIGHEST
    assert float(level_at(ddpm_path(EMDIFFUSE_SAMPLING._replace(steps=50)), 1.0)) < 3.1


def test_trailing_steps_are_steps_of_the_training():
    path = ddpm_path(EM_GENERALIST)
    found = trailing_levels(path, 10)
    assert found[:-1] == pytest.approx([float(level_at(path, n / 1000)) for n in range(1000, 0, -100)])


def test_rho_levels_are_evenly_spaced_after_a_root():
    levels = rho_levels(80.0, 18)
    roots = [level ** (1 / 7) for level in levels[:-1]]
    assert levels[-2] == 0.002
    assert [a - b for a, b in itertools.pairwise(roots)] == pytest.approx([(roots[0] - roots[-1]) / 17] * 17)


def test_uniform_levels_are_evenly_spaced_in_angle():
    angles = [math.atan(level) for level in uniform_levels(3.0, 6)]
    assert [a - b for a, b in itertools.pairwise(angles)] == pytest.approx([math.atan(3.0) / 6] * 6)


def test_flow_time_is_that_of_the_level():
    assert [flow_time(level) for level in (math.inf, 1.0, 0.25, 0.0)] == [0, 0.5, 0.8, 1]


def test_impossible_schedules_are_refused():
    with pytest.raises(SettingsError, match="passes"):
        trailing_levels(FlowPath(), 0)
    with pytest.raises(SettingsError, match="lowest"):
        rho_levels(1.0, 5, lowest=2.0)
    with pytest.raises(SettingsError, match="highest"):
        uniform_levels(math.inf, 5)
