"""Paths end where they say, fall without a turn, and can be read both ways."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ruska.diffusion.path import (
    EM_GENERALIST,
    EMDIFFUSE_SAMPLING,
    EMDIFFUSE_TRAINING,
    FlowPath,
    VariancePreservingPath,
    cosine_path,
    ddpm_path,
    level_at,
    path_of_betas,
    snr,
    zero_terminal_snr,
)
from ruska.errors import SettingsError

PATHS = {
    "flow": FlowPath(),
    "em generalist": ddpm_path(EM_GENERALIST),
    "emdiffuse": ddpm_path(EMDIFFUSE_TRAINING),
    "emdiffuse sampling": ddpm_path(EMDIFFUSE_SAMPLING),
    "cosine": cosine_path(),
    "zero terminal": zero_terminal_snr(ddpm_path(EM_GENERALIST)),
}
TIMES = torch.linspace(0, 1, 3001, dtype=torch.double)


@pytest.mark.parametrize("name", PATHS)
def test_a_path_leads_from_the_image_to_noise_without_a_turn(name):
    path = PATHS[name]
    assert float(path.alpha(0.0)) == 1
    assert float(path.sigma(0.0)) == 0
    levels = level_at(path, TIMES)
    assert (levels.diff() > 0).all()
    assert (snr(path, TIMES).diff() < 0).all()
    if name != "flow":
        torch.testing.assert_close(path.alpha(TIMES) ** 2 + path.sigma(TIMES) ** 2, torch.ones_like(TIMES))


@pytest.mark.parametrize("name", ["flow", "zero terminal"])
def test_where_nothing_of_the_image_is_left_alpha_is_exactly_zero(name):
    assert float(PATHS[name].alpha(1.0)) == 0
    assert float(level_at(PATHS[name], 1.0)) == math.inf
    assert float(PATHS[name].time(math.inf)) == 1


@pytest.mark.parametrize("betas", [EM_GENERALIST, EMDIFFUSE_TRAINING, EMDIFFUSE_SAMPLING])
def test_a_ddpm_path_passes_through_the_products_of_its_steps(betas):
    path = ddpm_path(betas)
    products = np.cumprod(1 - np.linspace(*betas))
    t = torch.arange(1, betas.steps + 1, dtype=torch.double) / betas.steps
    np.testing.assert_allclose(path.alpha(t).numpy() ** 2, products, rtol=1e-5)  # alpha falls to 1e-10
    np.testing.assert_allclose(path.sigma(t).numpy() ** 2, 1 - products, rtol=1e-9)


def test_a_zero_terminal_path_keeps_its_first_step_and_scales_the_others():
    path = ddpm_path(EM_GENERALIST)
    stretched = zero_terminal_snr(path)
    t = torch.arange(1, 1001, dtype=torch.double) / 1000
    before, after = path.alpha(t), stretched.alpha(t)
    assert float(after[0]) == pytest.approx(float(before[0]), rel=1e-12)
    ratio = (after[:-1] - after[1:]) / (before[:-1] - before[1:])
    torch.testing.assert_close(ratio, ratio[0].expand_as(ratio), rtol=1e-6, atol=0)


def test_the_cosine_path_is_a_cosine_until_its_steps_are_limited():
    t = torch.arange(1, 990, dtype=torch.double) / 1000
    wanted = torch.cos((t + 0.008) / 1.008 * math.pi / 2) / math.cos(0.008 / 1.008 * math.pi / 2)
    torch.testing.assert_close(cosine_path().alpha(t), wanted)


@pytest.mark.parametrize("name", PATHS)
@given(t=st.floats(1e-6, 1))
def test_the_time_of_a_level_is_its_inverse(name, t):
    path = PATHS[name]
    assert float(path.time(level_at(path, t))) == pytest.approx(t, rel=1e-6)


@pytest.mark.parametrize("name", PATHS)
def test_maps_of_levels_are_read_pixel_by_pixel(name):
    levels = torch.tensor([[0.0, 0.3], [2.0, 50.0]])[None, None]
    times = PATHS[name].time(levels)
    assert times.shape == levels.shape
    for place in np.ndindex(2, 2):
        assert float(times[0, 0][place]) == float(PATHS[name].time(float(levels[0, 0][place])))


def test_a_level_beyond_the_end_is_the_end():
    assert float(ddpm_path(EM_GENERALIST).time(1e6)) == 1


def test_tables_that_do_not_rise_are_refused():
    with pytest.raises(SettingsError, match="rise"):
        VariancePreservingPath((0.0, 0.5, 0.4))
    with pytest.raises(SettingsError, match="between 0 and 1"):
        path_of_betas(np.array([0.1, 1.2]))
