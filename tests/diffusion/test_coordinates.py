"""A network of any prediction on any path is the same denoiser, told of the same levels."""

from __future__ import annotations

from typing import get_args

import pytest
import torch

from ruska.diffusion.coordinates import Coordinates, PathName, coordinates, levels_on, path_of
from ruska.diffusion.prediction import Prediction
from ruska.errors import SettingsError

CASES = [(path, kind) for path in get_args(PathName) for kind in get_args(Prediction)]
LEVELS = torch.tensor([0.08, 0.5, 2.0, 30.0]).view(-1, 1, 1, 1)


@pytest.mark.parametrize(("path", "kind"), CASES)
def test_what_the_network_should_say_stands_for_the_image(path, kind):
    x, eps = (torch.randn(4, 1, 6, 5, generator=torch.Generator().manual_seed(k)).double() for k in (0, 1))
    y, own = x + LEVELS * eps, Coordinates(path_of(path), kind)
    said = own.wanted(x, y, LEVELS)
    torch.testing.assert_close(own.clean(said, y, LEVELS), x, rtol=1e-6, atol=1e-6)
    if kind == "epsilon":
        torch.testing.assert_close(said, eps, rtol=1e-5, atol=1e-5)
    if kind == "velocity":
        torch.testing.assert_close(said, eps - x, rtol=1e-5, atol=1e-5)
    shown = own.seen(y, LEVELS) / y  # alpha: the noise that is seen, over what is seen of the image, is the level
    assert (shown > 0).all()
    assert (shown[0] >= shown[-1]).all()


@pytest.mark.parametrize("path", ["ddpm", "cosine", "zero-terminal-snr", "exploding"])
def test_what_is_seen_has_unit_variance(path):
    x, eps = (torch.randn(4, 1, 400, 400, generator=torch.Generator().manual_seed(k)) for k in (0, 1))
    seen = Coordinates(path_of(path), "v").seen(x + LEVELS * eps, LEVELS)
    torch.testing.assert_close(seen.std((1, 2, 3)), torch.ones(4), rtol=0.02, atol=0.02)


def test_times_are_drawn_evenly():
    part = torch.rand(20_000, generator=torch.Generator().manual_seed(0))
    levels = levels_on(path_of("flow"), part)
    torch.testing.assert_close(levels / (1 + levels), part, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(
        path_of("ddpm").time(levels_on(path_of("ddpm"), part)).float(), part, rtol=1e-3, atol=1e-4
    )


def test_the_usual_ones_are_those_of_the_network_itself():
    assert coordinates("exploding", "x0") is None


@pytest.mark.parametrize(("path", "kind", "said"), [("flo", "x0", "'flow'"), ("flow", "velo", "'velocity'")])
def test_an_unknown_name_is_answered_with_the_nearest(path, kind, said):
    with pytest.raises(SettingsError, match=said):
        coordinates(path, kind)
