"""Four coordinates of one thing convert into each other exactly."""

from __future__ import annotations

import math
from itertools import product
from typing import get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ruska.diffusion.path import FlowPath, cosine_path
from ruska.diffusion.prediction import Prediction, convert
from ruska.errors import SettingsError

KINDS = get_args(Prediction)
PAIRS = list(product(KINDS, KINDS))


def predictions(alpha, sigma, seed=0):
    """x_t and what a perfect network would say of it, by kind; written out from the definitions."""
    generator = torch.Generator().manual_seed(seed)
    x0, eps = torch.randn(2, 3, 1, 4, 5, generator=generator, dtype=torch.double)
    kinds = {"x0": x0, "epsilon": eps, "v": alpha * eps - sigma * x0, "velocity": eps - x0}
    return alpha * x0 + sigma * eps, kinds


def number(value):
    return torch.tensor(value, dtype=torch.double)


@pytest.mark.parametrize(("given_kind", "wanted"), PAIRS)
@given(alpha=st.floats(0.01, 2), sigma=st.floats(0.01, 2))
def test_any_kind_becomes_any_other(given_kind, wanted, alpha, sigma):
    x_t, kinds = predictions(alpha, sigma)
    found = convert(kinds[given_kind], x_t, number(alpha), number(sigma), given_kind, wanted)
    torch.testing.assert_close(found, kinds[wanted], rtol=1e-9, atol=1e-9)
    back = convert(found, x_t, number(alpha), number(sigma), wanted, given_kind)
    torch.testing.assert_close(back, kinds[given_kind], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("given_kind", "wanted"), PAIRS)
@pytest.mark.parametrize(("alpha", "sigma", "blind"), [(1.0, 0.0, "x0"), (0.0, 1.0, "epsilon")])
def test_at_the_ends_only_the_blind_kind_is_refused(given_kind, wanted, alpha, sigma, blind):
    x_t, kinds = predictions(alpha, sigma)
    if given_kind == blind and wanted != blind:
        with pytest.raises(SettingsError, match=f"{blind}: says nothing"):
            convert(kinds[given_kind], x_t, number(alpha), number(sigma), given_kind, wanted)
    else:
        found = convert(kinds[given_kind], x_t, number(alpha), number(sigma), given_kind, wanted)
        torch.testing.assert_close(found, kinds[wanted], rtol=1e-12, atol=1e-12)


def test_the_velocity_is_the_speed_along_the_flow_path_and_v_along_the_angle():
    step = 1e-6
    flow, t = FlowPath(), 0.37
    ahead, behind = (predictions(flow.alpha(s), flow.sigma(s))[0] for s in (t + step, t - step))
    wanted = predictions(flow.alpha(t), flow.sigma(t))[1]["velocity"]
    torch.testing.assert_close((ahead - behind) / (2 * step), wanted, rtol=1e-6, atol=1e-8)
    ahead, behind = (predictions(math.cos(a), math.sin(a))[0] for a in (0.9 + step, 0.9 - step))
    wanted = predictions(math.cos(0.9), math.sin(0.9))[1]["v"]
    torch.testing.assert_close((ahead - behind) / (2 * step), wanted, rtol=1e-6, atol=1e-8)


def test_alpha_and_sigma_may_differ_from_pixel_to_pixel():
    times = torch.linspace(0.05, 0.95, 20, dtype=torch.double).reshape(1, 1, 4, 5)
    alpha, sigma = cosine_path().alpha(times), cosine_path().sigma(times)
    x_t, kinds = predictions(alpha, sigma)
    for given_kind, wanted in PAIRS:
        torch.testing.assert_close(convert(kinds[given_kind], x_t, alpha, sigma, given_kind, wanted), kinds[wanted])


def test_an_unknown_kind_is_an_error_with_a_hint():
    with pytest.raises(SettingsError, match="Did you mean 'epsilon'"):
        convert(torch.zeros(1), torch.zeros(1), number(1.0), number(1.0), "epsilom", "x0")
