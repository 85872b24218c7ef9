"""The data step solves its equations, and its weight follows from noise and error."""

from __future__ import annotations

import math

import pytest
import torch
from tests.diffusion.closed_form import (
    SHAPE,
    generator_noise,
    matrix_of,
    operators,
    uneven,
)

from ruska.diffusion.consistency import DataTerm, bounded_error, guess_error, manual_error
from ruska.diffusion.levels import flow_time
from ruska.errors import SettingsError
from ruska.physics.operators import Identity, data_step

OPERATORS = operators()


def data_weight(noise_std, guess_std):
    """Share of the measurement in the mean of measurement and guess, where nothing is blurred."""
    return guess_std**2 / (guess_std**2 + noise_std**2)


def problem(name):
    """Three guesses and three measurements that do not fit them."""
    operator = OPERATORS[name]
    guess = generator_noise((3, 1, *SHAPE))(0)
    seen = operator.forward(guess)
    return operator, guess, seen + 2 * generator_noise(seen.shape)(1)


def full(value, like):
    value = torch.as_tensor(value, dtype=torch.double)
    value = value.reshape(-1, 1, 1, 1) if value.dim() == 1 else value
    return value.expand(like.shape).flatten(1)


@pytest.mark.parametrize("guess_std", [0.7, torch.tensor([0.1, 1.0, 3.0]), uneven((3, 1, *SHAPE))])
@pytest.mark.parametrize("noise", ["number", "per image", "map"])
@pytest.mark.parametrize("name", OPERATORS)
def test_the_data_step_solves_its_equations(name, noise, guess_std):
    operator, guess, y = problem(name)
    std = {"number": 0.3, "per image": torch.tensor([0.1, 0.5, 2.0]), "map": uneven(y.shape)}[noise]
    found = DataTerm(operator, std, 200, 1e-12).nearest(y, guess, guess_std)
    a = matrix_of(operator.forward)
    for i in range(3):
        precision, prior = torch.diag(full(std, y)[i] ** -2), torch.diag(full(guess_std, guess)[i] ** -2)
        right = a.T @ precision @ y[i].flatten() + prior @ guess[i].flatten()
        wanted = torch.linalg.solve(a.T @ precision @ a + prior, right)
        torch.testing.assert_close(found[i].flatten(), wanted, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", OPERATORS)
def test_it_agrees_with_the_data_step_of_the_operators(name):
    operator, guess, y = problem(name)
    wanted = data_step(operator, y, guess, (0.3 / 0.7) ** 2, iterations=200, tolerance=1e-12)
    torch.testing.assert_close(DataTerm(operator, 0.3, 200, 1e-12).nearest(y, guess, 0.7), wanted, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("name", OPERATORS)
def test_an_image_does_not_depend_on_its_batch_mates(name):
    """Not even on when they are solved: few iterations, and a mate that takes all of them."""
    operator, guess, y = problem(name)
    y[1] = operator.forward(guess[1:2])[0]  # solved before it begins
    data = DataTerm(operator, 0.3, iterations=4)
    together = data.nearest(y, guess, 0.7)
    for i in range(3):
        torch.testing.assert_close(
            data.nearest(y[i : i + 1], guess[i : i + 1], 0.7)[0], together[i], rtol=0, atol=1e-14
        )


@pytest.mark.parametrize("name", OPERATORS)
def test_the_gain_is_the_largest_eigenvalue(name):
    matrix = matrix_of(OPERATORS[name].forward)
    largest = float(torch.linalg.matrix_norm(matrix, 2) ** 2)
    assert DataTerm(OPERATORS[name], 1.0).gain_on(torch.zeros(2, 1, *SHAPE)) == pytest.approx(largest, rel=0.01)
    assert DataTerm(OPERATORS[name], 1.0, gain=0.3).gain_on(torch.zeros(2, 1, *SHAPE)) == 0.3


@pytest.mark.parametrize("name", OPERATORS)
def test_the_first_image_is_on_the_scale_of_the_specimen(name):
    flat = torch.full((1, 1, *SHAPE), 5.0, dtype=torch.double)
    first = DataTerm(OPERATORS[name], 1.0).back_projection(OPERATORS[name].forward(flat), SHAPE)
    wanted = flat * (OPERATORS[name].recorded if name == "mask" else 1)
    torch.testing.assert_close(first, wanted)


def test_the_weight_of_the_data_is_that_of_the_data_step():
    data, zero = DataTerm(Identity(), 0.3), torch.zeros(1, 1, 2, 2)
    found = data.nearest(zero + 1, zero, 0.7)
    torch.testing.assert_close(found, zero + data_weight(0.3, 0.7))


@pytest.mark.parametrize("level", [0.01, 0.5, 3.0, 500.0])
@pytest.mark.parametrize("step_size", [0.3, 1.0])
def test_a_step_size_by_hand_means_what_it_means_to_em_generalist(level, step_size):
    weight = data_weight(0.2, guess_error(0.2, step_size=step_size)(level))
    assert weight == pytest.approx((1 - flow_time(level)) ** step_size, rel=1e-6)
    assert guess_error(0.2, step_size=step_size)(level) == manual_error(step_size, 0.2)(level)


def test_without_a_step_size_the_error_of_the_guess_decides():
    assert guess_error(0.2, 0.8)(0.5) == bounded_error(0.8)(0.5) == pytest.approx(0.4 / math.hypot(0.5, 0.8))
    with pytest.raises(SettingsError, match="step_size"):
        guess_error(0.2, step_size=-0.1)


def test_a_measurement_without_noise_is_refused():
    with pytest.raises(SettingsError, match="more than 0"):
        DataTerm(Identity(), torch.tensor([0.1, 0.0]))
