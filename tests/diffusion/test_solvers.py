"""On Gaussian images every solver arrives at the images' own law, at the stated order."""

from __future__ import annotations

import pytest
import torch
from tests.diffusion.closed_form import SHAPE, covariance_of, exact_law, generator_noise, only, relative, smooth_prior
from tests.diffusion.gaussian import GaussianPrior, StationaryCovariance

from ruska.diffusion.levels import rho_levels, start_level, trailing_levels, uniform_levels
from ruska.diffusion.path import EM_GENERALIST, EMDIFFUSE_SAMPLING, FlowPath, ddpm_path, level_at
from ruska.diffusion.solvers import ancestral, ddim, euler, heun, solve, start
from ruska.errors import SettingsError


def law(step, levels, prior=None):
    """Exact mean and covariance of the images that a solver makes, started from noise."""
    prior = prior or smooth_prior()
    draws = 0 if step in (euler, heun) else len(levels) - 1
    return exact_law(lambda _, noise: solve(prior, start(noise, levels[0]), levels, noise, step), draws)


def covariance_error(step, levels):
    return relative(law(step, levels)[1], covariance_of(smooth_prior()))


@pytest.mark.parametrize(
    ("step", "passes", "tolerance"),
    [(euler, 400, 0.02), (heun, 100, 0.006), (ddim(0.5), 200, 0.04), (ancestral, 200, 0.08)],
)
def test_every_solver_arrives_at_the_law_of_the_images(step, passes, tolerance):
    mean, covariance = law(step, rho_levels(200.0, passes, lowest=0.005))
    assert float((mean - 0.7).abs().max()) < 0.01
    assert relative(covariance, covariance_of(smooth_prior())) < tolerance


@pytest.mark.parametrize(("step", "order"), [(euler, 1), (ancestral, 1), (heun, 2)])
def test_the_error_falls_at_the_stated_order(step, order):
    few, many = (covariance_error(step, rho_levels(200.0, n, lowest=0.005)) for n in (40, 80))
    assert few / many == pytest.approx(2**order, rel=0.15)


def test_an_image_is_drawn_as_often_as_it_should_be():
    """The same as the exact law, by chance: 4000 images of the ancestral sampler."""
    noise = generator_noise((4000, 1, *SHAPE))
    levels = uniform_levels(200.0, 100)
    found = solve(smooth_prior(), start(noise, levels[0]), levels, noise, ancestral)
    expected = law(ancestral, levels)[1]
    assert relative(found.flatten(1).T.cov(), expected) < 0.08
    assert float(found.mean()) == pytest.approx(0.7, abs=0.03)


SCHEDULES = {
    "trailing": lambda n: trailing_levels(ddpm_path(EM_GENERALIST), n),
    "flow": lambda n: trailing_levels(FlowPath(), n),
    "rho": lambda n: rho_levels(start_level(ddpm_path(EM_GENERALIST)), n, lowest=0.05),
    "uniform": lambda n: uniform_levels(start_level(FlowPath()), n),
}
LOSS = {"trailing": (0.24, 0.09, 0.03, 0.008), "flow": (0.11, 0.035, 0.011, 0.003), "rho": (0.32, 0.13, 0.04, 0.01),
        "uniform": (0.11, 0.035, 0.011, 0.003)}  # fmt: skip


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize(("place", "passes"), list(enumerate((5, 10, 20, 50))))
def test_few_steps_give_the_right_spread(schedule, place, passes):
    """White images of unit variance: the start is right, so the spread is, but for the error of the solver."""
    white = GaussianPrior(StationaryCovariance(torch.ones(SHAPE, dtype=torch.double)))
    covariance = law(heun, SCHEDULES[schedule](passes), white)[1]
    assert 1 - LOSS[schedule][place] < float(covariance.diagonal().mean() ** 0.5) < 1.002


@pytest.mark.parametrize("passes", [5, 10, 50])
def test_few_uniform_euler_steps_lose_what_the_formula_says(passes):
    """Each step turns an image of unit variance by an angle and keeps its cosine."""
    levels = uniform_levels(500.0, passes)
    white = GaussianPrior(StationaryCovariance(torch.ones(SHAPE, dtype=torch.double)))
    spread = float(law(euler, levels, white)[1].diagonal().mean() ** 0.5)
    angle = torch.atan(torch.tensor(500.0)) / passes
    assert spread == pytest.approx(float(angle.cos() ** passes), rel=1e-5)


def test_a_restretched_schedule_gets_the_spread_wrong():
    """Unit noise at the end of 50 re-stretched steps is not what a faint image with that much noise looks like."""
    faint = GaussianPrior(StationaryCovariance(torch.full(SHAPE, 0.01, dtype=torch.double)))
    restretched = ddpm_path(EMDIFFUSE_SAMPLING._replace(steps=50))
    alpha = float(restretched.alpha(1.0))

    def spread(levels, start_std):
        law = exact_law(lambda _, noise: solve(faint, start_std * noise(0), levels, noise, heun), 0)
        return float(law[1].diagonal().mean() ** 0.5)

    wrong = spread(rho_levels(float(level_at(restretched, 1.0)), 200), 1 / alpha)
    levels = rho_levels(start_level(ddpm_path(EMDIFFUSE_SAMPLING)), 200)
    assert spread(levels, levels[0]) == pytest.approx(0.1, rel=0.01)
    assert wrong > 0.104


def test_euler_ddim_and_flow_are_one_step():
    prior, noise = smooth_prior(), generator_noise((2, 1, *SHAPE))
    levels = (2.0, 0.5)
    x = 2 * noise(0)
    found = euler(prior, x, levels, 0, noise)
    torch.testing.assert_close(found, ddim(0.0)(prior, x, levels, 0, noise))
    times = [level / (1 + level) for level in levels]
    scaled = (1 - times[0]) * x
    clean = prior.denoise(x, levels[0])
    velocity = (scaled - clean) / times[0]  # eps - x0, given both on the flow path
    flow = scaled + (times[1] - times[0]) * velocity
    torch.testing.assert_close(found, flow / (1 - times[1]))


def test_ddim_with_all_its_noise_is_ancestral_and_no_noise_is_asked_for_at_the_end():
    prior, noise = smooth_prior(), generator_noise((2, 1, *SHAPE))
    x = 2 * noise(0)
    torch.testing.assert_close(ddim(1.0)(prior, x, (2.0, 0.5), 0, noise), ancestral(prior, x, (2.0, 0.5), 0, noise))
    guess = prior.denoise(x, 2.0)
    torch.testing.assert_close(ancestral(prior, x, (2.0, 0.0), 0, lambda k: pytest.fail("noise")), guess)
    with pytest.raises(SettingsError, match="eta"):
        ddim(1.5)


@pytest.mark.parametrize("step", [euler, heun, ancestral])
def test_an_image_does_not_depend_on_its_batch_mates(step):
    prior, levels = smooth_prior(), uniform_levels(50.0, 6)
    noise = generator_noise((3, 1, *SHAPE))
    together = solve(prior, start(noise, levels[0]), levels, noise, step)
    for i in range(3):
        alone = solve(prior, start(only(noise, i), levels[0]), levels, only(noise, i), step)
        torch.testing.assert_close(alone[0], together[i], rtol=1e-12, atol=1e-12)
