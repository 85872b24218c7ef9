"""Everything a Gaussian prior knows exactly, and the exact law of what a sampler that is linear in its noise makes."""

from __future__ import annotations

from fractions import Fraction

import torch
from tests.diffusion.gaussian import GaussianPrior, StationaryCovariance

from ruska.physics.operators import Composition, Decimation, GaussianBlur, Identity, Mask

SHAPE = (4, 6)


def power(shape=SHAPE, strength=2.0, length=1.5):
    """Spectrum of a smooth random image: eigenvalues from ``strength`` down to a few hundredths of it."""
    squared = sum(
        (f**2).reshape([-1 if a == axis else 1 for a in range(len(shape))])
        for axis, f in enumerate(torch.fft.fftfreq(n, dtype=torch.double) for n in shape)
    )
    return strength * torch.exp(-((length * 2.5) ** 2) * squared) + 0.02


def smooth_prior(mean=0.7):
    return GaussianPrior(StationaryCovariance(power()), mean)


def white_prior(std=0.8, mean=0.3):
    return GaussianPrior(StationaryCovariance(torch.full(SHAPE, std**2, dtype=torch.double)), mean)


def basis(shape=SHAPE):
    pixels = torch.Size(shape).numel()
    return torch.eye(pixels, dtype=torch.double).reshape(pixels, 1, *shape)


def matrix_of(linear, shape=SHAPE):
    """Matrix of a linear map of images."""
    return linear(basis(shape)).flatten(1).T


def covariance_of(prior, shape=SHAPE):
    return matrix_of(prior.covariance.multiply, shape)


def posterior(prior, operator, y, noise_std, shape=SHAPE):
    """(mean (1, 1, *shape), covariance (n, n)) of the image given ``y = A x + n``; noise_std a number or a map."""
    a, c = matrix_of(operator.forward, shape), covariance_of(prior, shape)
    noise = torch.diag(torch.as_tensor(noise_std, dtype=torch.double).expand(y.shape).flatten() ** 2)
    gain = c @ a.T @ torch.linalg.inv(a @ c @ a.T + noise)
    expected = prior.mean + torch.zeros(1, 1, *shape, dtype=torch.double)
    mean = expected + (gain @ (y - operator.forward(expected)).flatten()).reshape(expected.shape)
    return mean, c - gain @ a @ c


def exact_law(run, steps, shape=SHAPE):
    """(mean, covariance) of ``run(batch size, noise)``, which is linear in the noise of steps 0 to ``steps``.

    Found without chance: one run over a batch in which each image meets one unit of noise in one place at one step.
    """
    pixels = torch.Size(shape).numel()
    count = pixels * (steps + 1) + 1

    def noise(step):
        values = torch.zeros(count, 1, *shape, dtype=torch.double)
        values[pixels * step : pixels * (step + 1)] = basis(shape)
        return values

    out = run(count, noise).flatten(1)
    response = out[:-1] - out[-1]
    return out[-1].reshape(1, 1, *shape), response.T @ response


def generator_noise(shape, seed=0):
    """Standard normal numbers that depend on the step and the seed alone."""

    def noise(step):
        generator = torch.Generator().manual_seed(seed * 100_003 + step)
        return torch.randn(shape, generator=generator, dtype=torch.double)

    return noise


def only(noise, image):
    """The noise of one image of a batch."""
    return lambda step: noise(step)[image : image + 1]


def relative(found, expected):
    """Norm of the difference over the norm of what was expected."""
    return float((found - expected).norm() / expected.norm())


def operators():
    """One of each kind: closed-form data steps and none, on the same grid and on coarser ones."""
    recorded = torch.rand(SHAPE, generator=torch.Generator().manual_seed(4)) > 0.4
    return {
        "identity": Identity(),
        "mask": Mask(recorded),
        "blur": GaussianBlur((1.0, 0.7)),
        "decimation": Decimation((Fraction(2), Fraction(2))),
        "blur and decimation": Composition(GaussianBlur((1.0, 1.0)), Decimation((Fraction(2), Fraction(3, 2)))),
    }


def measure(prior, operator, noise_std=0.2):
    """A noisy measurement (1, 1, *coarse) of one image of the prior; noise_std a number or a function of its shape."""
    seen = operator.forward(prior.sample(generator_noise((1, 1, *SHAPE))(5)))
    std = noise_std(seen.shape) if callable(noise_std) else noise_std
    return seen + std * generator_noise(seen.shape)(9), std


def uneven(shape):
    """A noise map that goes from 0.1 to 0.6."""
    return 0.1 + 0.5 * torch.linspace(0, 1, torch.Size(shape[2:]).numel(), dtype=torch.double).reshape(1, 1, *shape[2:])


def mean_error(found, mean, covariance):
    """Distance of an image from the posterior mean, in posterior standard deviations."""
    return float((found - mean).norm() / covariance.trace() ** 0.5)
