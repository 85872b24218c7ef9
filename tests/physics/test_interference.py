"""Hum is found, told from lattices and gratings, and taken away; pictures without it stay as they are."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from ruska import read
from ruska.errors import GeometryError
from ruska.physics import Interference, Wave, cell_phantom, estimate_noise, find_interference

SHAPE = (320, 384)


@cache
def cells():
    return 60 + 120 * cell_phantom((512, 512), seed=0)


def specimen(shape=SHAPE, noise=8.0, seed=0):
    """A phantom of cells between 60 and 180 grey levels, with white noise."""
    return cells()[: shape[0], : shape[1]] + noise * np.random.default_rng(seed).standard_normal(shape)


def wave(shape, frequency_y, frequency_x, amplitude, phase):
    y, x = np.mgrid[: shape[0], : shape[1]]
    return amplitude * np.cos(2 * np.pi * (frequency_y * y + frequency_x * x) + phase)


def test_hum_is_found_and_removed_to_five_percent_at_the_median():
    """What the specimen itself has at the same frequency is taken along: up to a tenth of weak hum."""
    random, left = np.random.default_rng(0), []
    for _ in range(9):
        fy, turns = random.uniform(0.08, 0.45), random.uniform(0, 3)
        strength, phase = random.uniform(1, 3), random.uniform(-3, 3)
        hum = wave(SHAPE, fy, turns / SHAPE[1], 8 * strength, phase)
        found = find_interference(specimen() + hum)
        first = found.waves[0]
        assert first.amplitude == pytest.approx(8 * strength, rel=0.12)
        assert abs(first.frequency_y - fy) * SHAPE[0] < 0.1
        left.append((found.values(SHAPE) - hum).std() / hum.std())
    assert np.median(left) < 0.05
    assert max(left) < 0.15


def test_a_clean_picture_has_none_and_is_returned_as_it_is():
    picture = specimen().astype(np.float32)
    found = find_interference(picture)
    assert found.waves == ()
    assert found.remove(picture) is picture


def test_harmonics_are_found_though_sampling_folds_them():
    angle = 2 * np.pi * 0.29 * np.arange(SHAPE[0])[:, None] + 1
    hum = 10 * np.cos(angle) + 4 * np.cos(2 * angle + 2)
    found = find_interference(specimen() + hum)
    assert sorted(round(w.frequency_y, 2) for w in found.waves) == [0.29, 0.42]
    assert (found.values(SHAPE) - hum).std() < 0.05 * hum.std()


@pytest.mark.parametrize("spacing", [5.3, 9.0, 21.0])
@pytest.mark.parametrize("sides", [4, 6])
def test_a_lattice_along_the_scan_is_left_alone(spacing, sides):
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]] / spacing
    angles = np.arange(sides // 2) * 2 * np.pi / sides
    lattice = sum(np.cos(2 * np.pi * (np.cos(a) * y + np.sin(a) * x)) for a in angles)
    assert find_interference(specimen() + 15 * lattice).waves == ()


@pytest.mark.parametrize("tilt", [0, 2 / SHAPE[1]])
def test_bars_of_a_grating_are_left_alone(tilt):
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    bars = 60.0 * ((y / 22.3 + x * tilt) % 1 < 0.5)
    noise = np.random.default_rng(1).standard_normal(SHAPE)
    for level in (3, 30):
        assert find_interference(100 + bars + level * noise).waves == ()


def test_fringes_that_fade_over_the_frame_are_left_alone():
    fade = np.linspace(0, 2, SHAPE[1])[None, :]
    assert find_interference(specimen() + fade * wave(SHAPE, 0.13, 0.002, 12, 0)).waves == ()


def test_row_offsets_without_a_period_are_left_alone():
    offsets = 6 * np.random.default_rng(2).standard_normal((SHAPE[0], 1))
    assert find_interference(specimen() + offsets).waves == ()


def test_any_box_is_what_it_is_in_the_whole():
    picture = np.clip(np.rint(specimen() + wave(SHAPE, 0.171, 0.004, 14, 2)), 0, 255).astype(np.uint8)
    found = find_interference(picture)
    whole = found.remove(picture)
    assert whole.dtype == np.uint8
    for y in range(0, SHAPE[0], 77):
        for x in range(0, SHAPE[1], 101):
            part = found.remove(picture[y : y + 77, x : x + 101], (y, x))
            assert np.array_equal(part, whole[y : y + 77, x : x + 101])


def test_an_information_bar_below_the_scan_stays():
    picture = specimen((360, 384)) + wave((360, 384), 0.23, 0.003, 12, 0.4)
    picture[330:] = 20 + np.random.default_rng(3).standard_normal((30, 384))
    found = find_interference(picture)
    assert abs(found.rows[1] - 330) < 12
    assert found.rows[0] == 0
    assert np.array_equal(found.remove(picture)[345:], picture[345:])
    assert found.waves[0].amplitude == pytest.approx(12, rel=0.05)


def test_clipped_and_missing_pixels_keep_their_value():
    hum = wave(SHAPE, 0.23, 0.003, 12, 0.4)
    picture = np.clip(specimen() + hum, 90, 255)
    picture[40:60, 50:80] = np.nan
    found = find_interference(picture)
    clean = found.remove(picture)
    assert found.waves[0].amplitude == pytest.approx(12, rel=0.1)
    assert np.all(clean[picture == 90] == 90)
    assert np.isnan(clean[45, 60])


def test_integers_are_rounded_and_kept_in_range():
    found = Interference((Wave(0.1, 0.0, 10.0, 0.0, 99.0),), (0, 4))
    assert found.remove(np.array([[3, 254]] * 4, dtype=np.uint8)).tolist() == [[0, 244], [0, 246], [0, 251], [6, 255]]


def test_rows_are_read_in_strips(monkeypatch):
    picture = specimen() + wave(SHAPE, 0.17, 0.003, 12, 0)
    whole = find_interference(picture)
    monkeypatch.setattr("ruska.physics.interference._STRIP", 5000)
    assert find_interference(picture) == whole


def test_small_planes_have_none_and_stacks_are_refused():
    assert find_interference(np.zeros((64, 400))).waves == ()
    with pytest.raises(GeometryError, match="expected a plane"):
        find_interference(np.zeros((3, 200, 200)))


@pytest.mark.parametrize("flat", [0.0, np.nan])
def test_empty_planes_have_none(flat):
    assert find_interference(np.full((200, 200), flat)).waves == ()


CRYSTALS = ("val/bto_stem/BTO_crystal_1.png", "val/bto_stem/BTO_crystal_2.png", "val/temul/Au_NP_Atom_Lattice.hdf5",
            "val/temul/Cropped_PTO-SRO_Aligned.hspy", "val/graphene_stem_ornl/G-GrainBoundary-4nm.npy",
            "val/nanocrystal_tem/1-0001.tif", "val/hyperspy_demos/stem_abf_data.hspy")  # fmt: skip


@pytest.mark.parametrize("name", CRYSTALS)
def test_real_crystals_are_left_alone(micrographs, name):
    plane = np.squeeze(read(micrographs / name).numpy())
    for turned in (plane, plane.T):
        assert find_interference(turned).waves == ()


def test_hum_on_a_real_micrograph_goes_and_nothing_else(micrographs):
    plane = read(micrographs / "train/nasa_superalloy/lshr_15kx_3kv_0.png").numpy().astype(np.float64)
    hum = wave(plane.shape, 0.137, 1.7 / plane.shape[1], estimate_noise(plane).std, 1)
    found = find_interference(plane + hum)
    assert (found.remove(plane + hum) - plane).std() < 0.05 * hum.std()
