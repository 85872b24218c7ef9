"""The noise level that is most likely under a prior: found where the prior is known in closed form."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ruska.methods.likelihood import likely_scale


def denoise(told):
    """Posterior mean of smooth Gaussian images (power falling with frequency) in white noise of ``factor * told``."""
    frequency = np.hypot(np.fft.fftfreq(256)[:, None], np.fft.fftfreq(256)[None])
    power = torch.from_numpy(1 / (0.02 + frequency) ** 3).float()
    power = power / power.mean()

    def mean(y, factor):
        return torch.fft.ifft2(torch.fft.fft2(y) * (power / (power + (factor * told) ** 2))).real

    return mean, power


@pytest.mark.parametrize(("told", "true"), [(0.3, 0.3), (0.3, 0.12), (0.2, 0.27), (1.0, 0.5)])
def test_the_true_level_is_found(told, true):
    mean, power = denoise(told)
    random = torch.Generator().manual_seed(1)
    image = torch.fft.ifft2(torch.fft.fft2(torch.randn(256, 256, generator=random)) * power.sqrt()).real
    noisy = (image + true * torch.randn(256, 256, generator=random)).numpy()
    found = told * likely_scale(mean, lambda y: torch.tensor(told), noisy)
    assert found == pytest.approx(true, rel=0.06)


def test_what_is_out_of_range_ends_at_its_border():
    mean, _ = denoise(0.1)
    flat = np.zeros((256, 256), np.float32)
    assert likely_scale(mean, lambda y: torch.tensor(0.1), flat) == pytest.approx(0.2, rel=0.02)
