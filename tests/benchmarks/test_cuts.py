"""Power along the axes: alike in white noise, less along Z by as much as a filter takes; pixel sizes and resampling."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from benchmarks.cases import Case
from benchmarks.cuts import along_z_over_x, power_along
from benchmarks.pixel_size import SIZES, at_size, resampled
from scipy.ndimage import gaussian_filter1d

from benchmarks import cuts, forward
from ruska.networks.denoiser import Denoiser
from ruska.physics import cell_phantom
from ruska.physics.operators import Decimation

NOISE = np.random.default_rng(0).normal(5, 2, (48, 64, 80))


def test_white_noise_has_its_variance_along_every_axis():
    for axis in range(3):
        frequency, power = power_along(NOISE, axis)
        assert frequency[0] > 0
        assert frequency[-1] == 0.5
        assert power.mean() == pytest.approx(4, rel=0.03)
    assert along_z_over_x(NOISE, 4) == pytest.approx((0, 0, 0), abs=0.3)


def test_what_a_filter_takes_along_z_is_found_in_its_band():
    sigma, factor = 0.6, 4
    found = along_z_over_x(gaussian_filter1d(NOISE, sigma, axis=0, mode="wrap"), factor)
    spike = np.zeros(480)
    spike[240] = 1
    kept = np.abs(np.fft.rfft(gaussian_filter1d(spike, sigma))) ** 2  # along Z; along X the mean of it is left
    frequency, ratio = np.fft.rfftfreq(480), 10 * np.log10(kept / kept.mean())
    edges = (0, 1 / 8, 1 / 4, 1)
    bands = [ratio[(frequency > low) & (frequency <= high)].mean() for low, high in pairwise(edges)]
    assert found == pytest.approx(bands, abs=0.4)
    other = along_z_over_x(gaussian_filter1d(NOISE, sigma, axis=2, mode="wrap"), factor)
    assert other == pytest.approx([-band for band in bands], abs=0.4)


def test_the_picture_and_the_table_have_every_volume(tmp_path):
    class Known:
        def image(self, case, peer):
            return 2 * NOISE if peer.name == cuts.SHOWN[0] else None

    operator = Decimation((Fraction(4), Fraction(1), Fraction(1)))
    case = Case("isotropic", "noise", "x4", NOISE[::4], operator, 0.02, NOISE)
    rows = cuts.measured([case], Known())
    assert [row["name"] for row in rows] == [cuts.SHOWN[0], cuts.TRUTH]
    assert rows[0]["bands"] == pytest.approx(rows[1]["bands"])
    assert "| x4 | truth |" in cuts.table(rows)
    cuts.draw(case, Known(), tmp_path / "cuts.png")
    assert (tmp_path / "cuts.png").stat().st_size > 10_000


def test_resampling_there_and_back_loses_nothing():
    image = cell_phantom((70, 140), seed=1).astype(np.float64)
    finer = resampled(image, (98, 196))
    assert finer.mean() == pytest.approx(image.mean())
    np.testing.assert_allclose(resampled(finer, image.shape), image, atol=1e-12)
    ramp = np.repeat(np.arange(70.0)[:, None], 70, axis=1)
    inner = resampled(ramp, (140, 140))[20:-20]
    np.testing.assert_allclose(inner, np.repeat(np.arange(-0.25, 69.5, 0.5)[20:-20, None], 140, axis=1), atol=0.05)


@pytest.mark.parametrize("size", SIZES)
def test_pixels_of_any_size_show_the_same_content(size):
    native = cell_phantom((140, 140), seed=1)
    found = at_size(native, size)
    field = tuple(int(n * size) for n in found.shape)  # in native pixels
    assert field == tuple(int(140 * min(size, 1)) for _ in range(2))
    begin = (140 - field[0]) // 2
    part = native[begin : begin + field[0], begin : begin + field[1]]
    assert found.mean() == pytest.approx(part.mean(), abs=0.002)
    assert np.corrcoef(resampled(found, part.shape).ravel(), part.ravel())[0, 1] > 0.9


def test_the_networks_part_is_timed_inside_the_engine(monkeypatch):
    """By a clock that goes forward by the pixels the network has seen: no machine is too busy for it."""
    seen = [0]
    whole = Denoiser.forward

    def counted(network, x, *told):
        seen[0] += x.numel()
        return whole(network, x, *told)

    monkeypatch.setattr(Denoiser, "forward", counted)
    monkeypatch.setattr(forward.time, "process_time", lambda: float(seen[0]))
    found = forward._inside(128, 1)
    assert found["blocks"] == 1
    assert found["bare"] == found["inside"] == found["python"] == 128 * 128
    assert found["ratio"] == 1
    text = forward.table({**found, "command": 1.5, "command_clock": 2.5, "edge": 128})
    assert "| 1.50 (by the clock of this machine 2.5) |" in text
