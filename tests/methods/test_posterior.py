"""Deblurring, finer pixels and isotropic voxels with a prior: better than interpolation, right grid, clear refusals."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
import torch

import ruska
from ruska.diffusion import falling_levels
from ruska.engine import ArraySource, Budget
from ruska.errors import GeometryError, InputError, SettingsError
from ruska.image import Image, Quantity
from ruska.methods import create
from ruska.methods.posterior import PosteriorMethod, PosteriorSettings, without_texture
from ruska.methods.prior import PriorMethod, PriorSettings, Told, likelier, load, look
from ruska.metrics import psnr
from ruska.physics import cell_phantom
from ruska.physics.operators import Decimation, GaussianBlur, spread


@pytest.fixture(scope="module")
def truth():
    return cell_phantom((144, 168), seed=9).astype(np.float32)


def seen(operator, truth, noise=0.02):
    clean = operator.forward(torch.from_numpy(truth)[None, None])[0, 0].numpy()
    return 30 + 200 * (clean + np.random.default_rng(0).normal(0, noise, clean.shape)).astype(np.float32)


def test_a_blur_is_undone(model, truth):
    blurred = seen(GaussianBlur((1.5, 1.5)), truth)
    image = Image(blurred, "YX", spacing={"Y": Quantity(4, "nm"), "X": Quantity(4, "nm")})
    result = ruska.deblur(image, sigma=1.5, settings={"model": model})
    sharp = (result.image.numpy() - 30) / 200
    assert psnr(sharp, truth, 1.0) > psnr((blurred - 30) / 200, truth, 1.0) + 1
    assert sharp.mean() == pytest.approx(truth.mean(), abs=0.005)
    assert result.image.spacing == image.spacing
    assert result.record["task"] == "deblur"
    assert "ruska deblur" in result.record["command"]
    assert "sigma=1.5" in result.record["command"]


def test_pixels_become_finer_and_stay_in_place(model, truth):
    coarse = seen(Decimation((Fraction(2),) * 2), truth)
    image = Image(coarse, "YX", spacing={"Y": Quantity(8, "nm"), "X": Quantity(8, "nm")})
    result = ruska.superres(image, scale=2, settings={"model": model, "noise_std": 0.02})
    fine = (result.image.numpy() - 30) / 200
    assert fine.shape == truth.shape
    assert result.image.spacing["X"] == Quantity(4, "nm")
    assert result.image.origin["X"] == Quantity(-2, "nm")  # the outer edge stays where it was
    nearest = np.kron((coarse - 30) / 200, np.ones((2, 2)))
    assert psnr(fine, truth, 1.0) > psnr(nearest, truth, 1.0) + 1
    again = fine.reshape(72, 2, 84, 2).mean((1, 3))
    assert np.std(again - (coarse - 30) / 200) < 0.04  # it explains what was measured


def test_slices_become_isotropic(model):
    volume = np.stack([cell_phantom((48, 48), seed=k // 8) for k in range(32)]).astype(np.float32)
    operator = Decimation((Fraction(4), Fraction(1), Fraction(1)))
    spacing = {"Z": Quantity(40, "nm"), "Y": Quantity(10, "nm"), "X": Quantity(10, "nm")}
    image = Image(seen(operator, volume), "ZYX", spacing=spacing)
    result = ruska.isotropic(image, settings={"model": model, "steps": 3})
    assert result.image.shape == volume.shape
    assert {q.value for q in result.image.spacing.values()} == {10}
    assert psnr((result.image.numpy() - 30) / 200, volume, 1.0) > 15


def test_a_factor_need_not_be_whole(model):
    image = Image(cell_phantom((40, 48), seed=1).astype(np.float32), "YX")
    assert ruska.superres(image, scale="3/2", settings={"model": model, "steps": 2}).image.shape == (60, 72)


def test_a_measured_psf_does_what_its_width_does(model, truth, tmp_path):
    from ruska.physics.operators import gaussian_psf

    blurred = Image(seen(GaussianBlur((1.5, 1.5)), truth), "YX")
    ruska.write(tmp_path / "psf.tif", Image(gaussian_psf(1.5).astype(np.float32), "YX"))
    given = {"model": model, "noise_std": 0.02}
    one = ruska.deblur(blurred, sigma=1.5, settings=given).image.numpy()
    other = ruska.deblur(blurred, psf=tmp_path / "psf.tif", settings=given).image.numpy()
    assert np.abs(one - other).max() < 0.05 * np.ptp(one)


def test_blocks_agree_with_the_whole(model, truth):
    from ruska.engine import MemoryStore, NormalisedSource, measure_intensities, run
    from ruska.engine.layout import Layout
    from ruska.engine.plan import plan_blocks

    big = np.tile(seen(GaussianBlur((1.0, 1.0)), truth), (4, 3))
    source = ArraySource(big, "YX")
    statistics = measure_intensities(source)
    normalised = NormalisedSource(source, statistics.normalisation(), statistics.mean)
    method = create("deblur", {"sigma": 1, "model": model, "steps": 3}).prepare(normalised, None, Budget())
    whole, parts = (blocks(source, method, statistics, edge, Layout, plan_blocks, MemoryStore, run, Budget)
                    for edge in (1024, 256))  # fmt: skip
    assert np.abs(whole - parts).max() < 0.02 * np.ptp(whole)


def blocks(source, method, statistics, edge, layout, plan_blocks, store, run, budget):
    plan = plan_blocks(layout("YX", source.shape, 2), method, budget(memory_bytes=8 << 30), dtype="f4", out_dtype="f4",
                       edge=edge)  # fmt: skip
    sink = store(plan.output_shape, np.dtype("f4"))
    run(source, method, sink, plan, normalisation=statistics.normalisation())
    return sink.values[0]


def test_levels_fall_from_signal_to_noise():
    found = falling_levels(0.05, 6)
    assert found[0] == pytest.approx(1)
    assert found[-1] == pytest.approx(0.05)
    assert all(a > b for a, b in pairwise(found))
    assert falling_levels(0.05, 1) == [0.05]
    assert max(falling_levels(3.0, 4)) == pytest.approx(3)  # more noise than signal: the noise


def test_texture_is_not_counted_as_noise():
    told = Told(0.5, 0.2, 0.1, texture=0.15)
    less = without_texture(told)
    assert less.std == pytest.approx(0.1 * 0.5**0.5)
    assert less.signal**2 + less.std**2 == pytest.approx(told.signal**2 + told.std**2)
    assert without_texture(Told(0.5, 0.2, 0.1, texture=0.6)).std == pytest.approx(0.1 * 0.1**0.5)


def test_after_a_blur_the_statistics_are_told_and_of_coarse_pixels_what_the_prior_finds(model, truth):
    source = ArraySource(seen(GaussianBlur((1.0, 1.0)), truth), "YX")
    blurred, coarse = (create(*named).prepare(source, None, Budget()).told for named in (
        ("deblur", {"sigma": 1, "model": model}), ("superres", {"model": model})))  # fmt: skip
    found, _ = look(source, PriorSettings(), by_statistics=True)
    assert blurred.std == pytest.approx(1.1 * found.std)
    assert coarse.std == pytest.approx(0.9 * likelier(load(model)[0].eval(), found, source).std)
    assert coarse.signal**2 + coarse.std**2 == pytest.approx(blurred.signal**2 + blurred.std**2)
    told = create("superres", {"model": model, "noise_std": 0.05}).prepare(source, None, Budget()).told
    assert told.std == 0.05  # what the user says stays


def test_a_smaller_step_size_stays_nearer_to_the_data(model, truth):
    blurred = seen(GaussianBlur((1.5, 1.5)), truth)

    def unexplained(step_size):
        given = {"model": model, "noise_std": 0.02, "steps": 4, "step_size": step_size}
        result = ruska.deblur(Image(blurred, "YX"), sigma=1.5, settings=given).image.numpy()
        again = GaussianBlur((1.5, 1.5)).forward(torch.from_numpy(result)[None, None])[0, 0].numpy()
        return np.std(again - blurred)

    near, middle, far = (unexplained(step_size) for step_size in (0.05, 0.5, 5))
    assert 1.02 * near < middle < far / 1.02


def test_the_residual_of_the_report_is_what_is_unexplained(model, truth):
    method = PosteriorMethod(None, GaussianBlur((2.0, 2.0)), (8, 8), Told(0, 1, 0.1), None)
    assert method.explained(truth.astype(float)).std() < truth.std()
    assert PosteriorMethod(None, GaussianBlur((2.0,) * 3), (8,) * 3, Told(0, 1, 0.1), None, dimensions=3
                           ).explained(truth) is None  # fmt: skip


@pytest.mark.parametrize(("call", "error", "said"), [
    (lambda image, own: ruska.deblur(image, settings=own), SettingsError, "deblur: no blur was given; exactly one"),
    (lambda image, own: ruska.deblur(image, sigma=1, psf="x.tif", settings=own), SettingsError, "sigma and psf were"),
    (lambda image, own: ruska.deblur(image, psf="absent.tif", settings=own), InputError, "absent.tif"),
    (lambda image, own: ruska.superres(image, scale=1, settings=own), SettingsError, "above 1"),
    (lambda image, own: ruska.superres(image, scale="two", settings=own), SettingsError, "number"),
    (lambda image, own: ruska.superres(image, scale=100, settings=own), SettingsError, "at most 16"),
    (lambda image, own: ruska.isotropic(image, factor=4, settings=own), GeometryError, "^plane.tif: is a single slice"),
    (lambda image, own: ruska.isotropic(image, settings=own), GeometryError, "^plane.tif: is a single slice"),
    (lambda image, own: ruska.isotropic(stack(image), settings=own), GeometryError, "factor"),
    (lambda image, own: ruska.denoise(image, method="deblur", settings=own), SettingsError, "ruska deblur"),
])  # fmt: skip
def test_what_cannot_be_done_is_said(model, call, error, said):
    image = Image(cell_phantom((40, 48), seed=1).astype(np.float32), "YX", name="plane.tif")
    with pytest.raises(error, match=said) as raised:
        call(image, {"model": model})
    assert "Value error" not in str(raised.value)


def stack(image):
    return Image(np.stack([image.numpy()] * 2), "ZYX")


class Spy(torch.nn.Module):
    """Says what it is given, and remembers what it was told of the instrument."""

    multiple = 2

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.told = []

    def forward(self, y, sigma, lags=None, spread=None):
        self.told.append(None if spread is None else spread.flatten().tolist())
        return y


@pytest.mark.parametrize(
    ("factors", "expected"),
    [((2, 4), [(0, 1)] * 2), ((4, 2, 1), [(0, 2), (0, 1), (1, 2), (0, 2), (0, 1)])],
    ids=["image", "volume: across Y and X, in the last pass across Z, too"],
)
def test_the_prior_is_told_what_the_instrument_averaged_in_the_plane_that_it_sees(factors, expected):
    spy, operator = Spy(), Decimation(tuple(map(Fraction, factors)))
    method = PosteriorMethod(spy, operator, (8,) * len(factors), Told(0.0, 1.0, 0.1), PosteriorSettings(steps=2),
                             dimensions=len(factors))  # fmt: skip
    method.restore(torch.zeros(1, 1, *(4,) * len(factors)))
    pixels = spread(operator)
    np.testing.assert_allclose(spy.told, [[pixels[axis] for axis in plane] for plane in expected], rtol=1e-5)
    spy.told.clear()
    method.denoise(torch.zeros(1, 1, *(8,) * len(factors)), 0.5)
    assert not any(spy.told)  # there is noise only: nothing is said of an instrument


class Shifting(torch.nn.Module):
    """A network with a fault that has a direction: every pixel becomes its right neighbour."""

    multiple = 4

    def __init__(self):
        super().__init__()
        self.anything = torch.nn.Parameter(torch.zeros(1))

    def forward(self, y, sigma, lags=None, spread=None):
        return y.roll(-1, -1)


@pytest.mark.parametrize("shape", [(12, 16), (8, 12, 16)], ids=["image", "volume"])
def test_passes_see_the_image_mirrored_in_turn_so_that_faults_of_the_network_average_out(shape):
    dimensions = len(shape)
    method = PosteriorMethod(Shifting(), GaussianBlur((0.0,) * dimensions), (8,) * dimensions, Told(0.0, 1.0, 0.1),
                             PosteriorSettings(steps=4, step_size=10), dimensions=dimensions)  # fmt: skip
    x = torch.randn(1, 1, *shape, generator=torch.Generator().manual_seed(0))
    for mirrored, away in (((), -1), ((-1,), 1), ((-2,), -1), ((-2, -1), 1)):
        seen = method.denoise(x, 0.5, (0,), None, mirrored)
        assert torch.equal(seen, x.roll(away, -1))
    asked = []
    object.__setattr__(
        method, "denoise", lambda image, level, axes, averaged, mirrored: asked.append(mirrored) or image
    )
    method.restore(x)
    assert asked == [(), (-1,), (-2,), (-2, -1)]


class Telling(Shifting):
    """The same fault, and every pixel becomes the correlation told along X."""

    def forward(self, y, sigma, lags=None, spread=None):
        return torch.cat([y.roll(-1, -1)[..., :-1], lags[:, :1].expand(*y.shape[:3], 1)], -1)


def test_a_denoiser_asked_for_more_orientations_gives_their_mean():
    told = Told(0.0, 1.0, 0.5, lags=(0.4, 0.2, 0.1, 0.0))
    x = torch.randn(1, 1, 12, 16, generator=torch.Generator().manual_seed(0))
    inner = (..., slice(1, -1), slice(1, -1))

    def result(count):
        return PriorMethod(Telling(), told, ensemble=count)({"image": x}, None)["mean"]

    left, right, above, below = (x.roll(*to) for to in ((-1, -1), (1, -1), (-1, -2), (1, -2)))
    torch.testing.assert_close(result(1)[inner], left[inner])
    torch.testing.assert_close(result(2)[inner], ((left + right) / 2)[inner])
    torch.testing.assert_close(result(4)[inner], ((left + right) / 2)[inner])
    torch.testing.assert_close(result(8)[inner], ((left + right + above + below) / 4)[inner])
    assert result(1)[0, 0, 5, -1] == pytest.approx(0.4)  # correlation along X
    assert result(8)[0, 0, -1, 5] == pytest.approx((4 * float((x[0, 0, -1, 4] + x[0, 0, -1, 6]) / 2) + 2 * 0.1
                                                    + 2 * float(x[0, 0, -2, 5])) / 8, abs=1e-5)  # fmt: skip
