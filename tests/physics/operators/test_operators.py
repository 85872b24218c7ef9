"""All operators: exact transposes; each against SciPy or by hand; geometry follows."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ruska.errors import GeometryError, InputError, SettingsError
from ruska.physics.operators import (
    AxialBlur,
    Blur,
    Composition,
    Decimation,
    GaussianBlur,
    Geometry,
    Identity,
    Mask,
    Operator,
    airy_psf,
    astigmatic_psf,
    data_step,
    gaussian_psf,
    load_operator,
    measured_psf,
)
from ruska.physics.operators.custom import adjoint_error

HALF = Fraction(5, 2)
UNEVEN = np.random.default_rng(3).random((5, 9))
OPERATORS_2D = {
    "identity": Identity(),
    "gaussian": GaussianBlur((1.3, 0.0)),
    "wide gaussian": GaussianBlur((15.0, 2.0)),  # mirrored more than once
    "airy": Blur(airy_psf(3.0)),
    "astigmatic": Blur(astigmatic_psf(3, 1, 30)),
    "uneven": Blur(UNEVEN),
    "decimation": Decimation((Fraction(4), Fraction(3))),
    "rational decimation": Decimation((HALF, Fraction(7, 3))),
    "mask": Mask(torch.from_numpy(np.random.default_rng(0).random((36, 38)) > 0.3)),
    "blur and decimation": Composition(GaussianBlur((2.0, 2.0)), Decimation((Fraction(2), HALF))),
    "all": Composition(Blur(UNEVEN), GaussianBlur((1.0, 1.0)), Decimation((HALF, HALF)), Decimation((2, 2))),
}
OPERATORS_3D = {
    "section": AxialBlur((0.2, 0.5, 0.3)),
    "isotropic": Composition(GaussianBlur((2.0, 0.0, 0.0)), Decimation((Fraction(6), 1, 1))),
    "uneven 3D": Blur(np.random.default_rng(4).random((3, 5, 7))),
}


def volume(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).random((2, 1, *shape)))


@pytest.mark.parametrize("name", [*OPERATORS_2D, *OPERATORS_3D])
def test_the_adjoint_is_the_transpose(name):
    operator = OPERATORS_2D.get(name) or OPERATORS_3D[name]
    assert isinstance(operator, Operator)
    assert adjoint_error(operator, 2 if name in OPERATORS_2D else 3) < 1e-12


@given(
    shape=st.tuples(st.integers(4, 40), st.integers(4, 40)),
    factors=st.tuples(st.fractions(1, 4, max_denominator=7), st.fractions(1, 4, max_denominator=7)),
    sigmas=st.tuples(st.floats(0, 8), st.floats(0, 8)),
)
@settings(max_examples=40, deadline=None)
def test_any_blur_and_decimation_have_a_transpose_and_keep_a_constant(shape, factors, sigmas):
    operator = Composition(GaussianBlur(sigmas), Decimation(factors))
    x, ones = volume(*shape), torch.ones(1, 1, *shape, dtype=torch.double)
    seen = operator.forward(x)
    y = torch.rand_like(seen)
    back = operator.adjoint(y, shape)
    assert back.shape == x.shape
    assert float((seen * y).sum()) == pytest.approx(float((x * back).sum()), rel=1e-10)
    torch.testing.assert_close(operator.forward(ones), torch.ones_like(operator.forward(ones)))


@pytest.mark.parametrize("name", OPERATORS_2D)
def test_the_output_has_the_size_its_scale_says(name):
    operator = OPERATORS_2D[name]
    found = operator.forward(volume(36, 38)).shape[2:]
    if name != "all":  # there, each decimation drops the rest of a cell
        assert found == tuple(int(n * f) for n, f in zip((36, 38), operator.scale, strict=True))
    assert all(f <= n * s for f, n, s in zip(found, (36, 38), operator.scale, strict=True))


@pytest.mark.parametrize("sigma", [0.7, 1.5, 3.0])
def test_a_gaussian_is_scipys(sigma):
    from scipy.ndimage import gaussian_filter

    x = volume(40, 33)
    ours = GaussianBlur((sigma, sigma)).forward(x)[0, 0].numpy()
    # SciPy samples the Gaussian, we integrate it over the pixel: the same as a slightly wider one
    theirs = gaussian_filter(x[0, 0].numpy(), np.sqrt(sigma**2 + 1 / 12), mode="reflect", truncate=4)
    np.testing.assert_allclose(ours, theirs, atol=0.006)


def test_any_psf_is_scipys_convolution():
    from scipy.ndimage import convolve

    x = volume(31, 26)
    expected = convolve(x[0, 0].numpy(), UNEVEN / UNEVEN.sum(), mode="reflect")
    np.testing.assert_allclose(Blur(UNEVEN).forward(x)[0, 0].numpy(), expected, atol=1e-12)
    line = AxialBlur((0.1, 0.2, 0.7), axis=1, dimensions=2).forward(x)[0, 0].numpy()
    np.testing.assert_allclose(line, convolve(x[0, 0].numpy(), [[0.1, 0.2, 0.7]], mode="reflect"), atol=1e-12)


def test_a_separable_psf_is_the_separable_blur():
    x = volume(40, 44)
    both = (Blur(gaussian_psf(2.0)).forward(x), GaussianBlur((2.0, 2.0)).forward(x))
    torch.testing.assert_close(*both, rtol=0, atol=1e-12)


def test_decimation_is_the_mean_over_cells():
    x = volume(12, 15)
    whole = Decimation((Fraction(3), Fraction(5))).forward(x)
    torch.testing.assert_close(whole, x.reshape(2, 1, 4, 3, 3, 5).mean((3, 5)))
    rows = Decimation((HALF, Fraction(1))).forward(x)
    torch.testing.assert_close(rows[:, :, 0], (x[:, :, 0] + x[:, :, 1] + 0.5 * x[:, :, 2]) / 2.5)
    torch.testing.assert_close(rows[:, :, 1], (0.5 * x[:, :, 2] + x[:, :, 3] + x[:, :, 4]) / 2.5)
    # two steps of 5/2 and 2 are one of 5 where all cells are whole
    twice = Decimation((Fraction(2), Fraction(1))).forward(Decimation((HALF, Fraction(1))).forward(volume(20, 4)))
    torch.testing.assert_close(twice, Decimation((Fraction(5), Fraction(1))).forward(volume(20, 4)))


@given(spacing=st.floats(0.1, 50), origin=st.floats(-100, 100), factor=st.fractions(1, 8, max_denominator=5))
def test_geometry_keeps_things_where_they_are(spacing, origin, factor):
    """A brightness that says where it is says so after decimation too."""
    size = 60
    fine = Geometry((spacing,), (origin,))
    x = origin + spacing * np.arange(size)
    seen = Decimation((factor,)).forward(torch.from_numpy(x)[None, None])[0, 0].numpy()
    coarse = fine.after(Decimation((factor,)).scale)
    if factor.denominator == 1:
        expected = coarse.origin[0] + coarse.spacing[0] * np.arange(len(seen))
        np.testing.assert_allclose(seen, expected, atol=1e-9 * (1 + abs(origin) + spacing * size))
    assert coarse.spacing[0] == pytest.approx(spacing * float(factor))
    edges = [g.origin[0] - g.spacing[0] / 2 for g in (fine, coarse)]
    assert edges[0] == pytest.approx(edges[1], abs=1e-9 * (1 + abs(origin) + spacing))
    back = coarse.after((factor,))
    assert back.origin[0] == pytest.approx(origin, abs=1e-6 * (1 + abs(origin) + spacing))


def test_the_data_step_is_the_solution_of_its_equations():
    operator = Composition(GaussianBlur((1.5, 1.0)), Decimation((Fraction(2), Fraction(2))))
    truth = volume(12, 10)
    y = operator.forward(truth)
    guess = volume(12, 10, seed=1)
    columns = [operator.forward(e.reshape(1, 1, 12, 10)).flatten() for e in torch.eye(120, dtype=torch.double)]
    matrix = torch.stack(columns, 1)
    for ratio in (0.1, 2.0):
        found = data_step(operator, y, guess, ratio, iterations=200, tolerance=1e-12)
        left = matrix.T @ matrix + ratio * torch.eye(120)
        for k in range(2):
            right = matrix.T @ y[k].flatten() + ratio * guess[k].flatten()
            torch.testing.assert_close(found[k].flatten(), torch.linalg.solve(left, right), rtol=1e-6, atol=1e-8)
    weight = torch.rand_like(y) + 0.1
    ratios = torch.rand_like(guess) + 0.1
    found = data_step(operator, y, guess, ratios, weight=weight, iterations=300, tolerance=1e-12)
    left = matrix.T @ (weight[1].flatten()[:, None] * matrix) + torch.diag(ratios[1].flatten())
    right = matrix.T @ (weight[1] * y[1]).flatten() + (ratios[1] * guess[1]).flatten()
    torch.testing.assert_close(found[1].flatten(), torch.linalg.solve(left, right), rtol=1e-6, atol=1e-8)


def test_a_data_step_without_a_measurement_keeps_the_guess():
    nothing = Mask(torch.zeros(8, 9))
    guess = volume(8, 9)
    torch.testing.assert_close(data_step(nothing, torch.zeros_like(guess), guess, 0.5), guess)


def test_psfs_are_centred_and_sum_to_one():
    for psf in (gaussian_psf(1.7), astigmatic_psf(4, 2, 0), airy_psf(2.5)):
        assert psf.sum() == pytest.approx(1)
        assert all(n % 2 for n in psf.shape)
        np.testing.assert_allclose(psf, psf[::-1, ::-1], atol=1e-12)
    long = astigmatic_psf(4, 2, 0)
    y, x = np.indices(long.shape) - np.array(long.shape)[:, None, None] // 2
    # of a Gaussian that ends at 4 standard deviations, seen through a pixel
    assert np.sqrt((long * x**2).sum()) == pytest.approx(np.sqrt(4**2 + 1 / 12), rel=0.01)
    assert np.sqrt((long * y**2).sum()) == pytest.approx(np.sqrt(2**2 + 1 / 12), rel=0.01)
    leaning = astigmatic_psf(4, 1, 45)
    y, x = np.indices(leaning.shape) - leaning.shape[0] // 2
    assert (leaning * x * y).sum() > 5


def test_an_airy_pattern_is_dark_at_its_first_ring():
    psf = airy_psf(10.0)
    middle = psf.shape[0] // 2
    line = psf[middle, middle:]
    assert int(np.argmin(line[:13])) == 10
    assert line[10] < 1e-3 * line[0]


def test_a_measured_psf_is_centred_without_its_background():
    spot = np.zeros((21, 24))
    spot[3:12, 9:18] = gaussian_psf(1.0)[:9, :9]
    found = measured_psf(7 + 100 * spot)
    assert found.sum() == pytest.approx(1)
    middle = tuple(n // 2 for n in found.shape)
    assert np.unravel_index(found.argmax(), found.shape) == middle
    np.testing.assert_allclose(found[middle], spot.max() / spot.sum(), rtol=1e-9)
    for bad in (np.full((9, 9), 4.0), np.ones(9), np.full((9, 9), np.nan)):
        with pytest.raises(SettingsError):
            measured_psf(bad)


def test_a_users_own_operator_is_loaded_and_checked(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(
        "from fractions import Fraction\n"
        "class Mine:\n    scale = (Fraction(1), Fraction(1))\n"
        "    def forward(self, x): return 2 * x.flip(2)\n"
        "    def adjoint(self, y, shape=None): return 2 * y.flip(2)\n"
        "class Wrong(Mine):\n    def adjoint(self, y, shape=None): return 2 * y\n"
        "half = 0.5\n"
    )
    operator = load_operator(f"{file}:Mine")
    x = volume(5, 4)
    torch.testing.assert_close(operator.forward(x), 2 * x.flip(2))
    with pytest.raises(SettingsError, match="not the transpose"):
        load_operator(f"{file}:Wrong")
    with pytest.raises(SettingsError, match="has no scale"):
        load_operator(f"{file}:half")
    with pytest.raises(InputError, match="Did you mean 'Mine'"):
        load_operator(f"{file}:Mime")
    with pytest.raises(InputError, match="does not exist"):
        load_operator("nothing.py:Mine")
    with pytest.raises(SettingsError, match="is unknown"):
        load_operator("telescope")


def test_impossible_operators_are_refused():
    for make in (
        lambda: GaussianBlur((-1.0,)), lambda: GaussianBlur((float("nan"),)), lambda: Decimation((Fraction(1, 2),)),
        lambda: Decimation((2.5,)), lambda: Blur(np.ones((2, 3))), lambda: Blur(np.zeros((3, 3))),
        lambda: AxialBlur((1.0, 1.0)), lambda: airy_psf(0.0), lambda: astigmatic_psf(1, 2, 0),
    ):  # fmt: skip
        with pytest.raises(SettingsError):
            make()
    with pytest.raises(GeometryError, match="at least 3"):
        Decimation((HALF,)).forward(torch.zeros(1, 1, 2))
    with pytest.raises(GeometryError, match="got 3"):
        Decimation((2,)).adjoint(torch.zeros(1, 1, 3), (8,))
