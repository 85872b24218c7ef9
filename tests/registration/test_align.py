"""Alignment of pairs: known displacements of real micrographs are found, and what cannot be aligned is refused."""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import tifffile
from scipy.ndimage import gaussian_filter
from scipy.ndimage import shift as spline_shift

from ruska.errors import GeometryError, SettingsError
from ruska.physics import cell_phantom
from ruska.registration import LEAST_CONFIDENCE, Alignment, Motion, align

sys.path.append(str(Path(__file__).parent))
from drifting import SOURCES, fixed_pattern, load, make_pair, motions, noise

WITHIN = {20: 0.05, 10: 0.15}  # pixels, at so many dB
CASES = [
    # source, displacement, dB, noise along scan lines, strength of a fixed pattern, edge of the images
    ("cells (SBF-SEM)", "shift", 20, True, 0.05, 256),
    ("cells (SBF-SEM)", "drift", 10, True, 0.0, 256),
    ("cells (SBF-SEM)", "small shift", 10, False, 0.1, 256),
    ("axons (SEM)", "turn", 20, True, 0.05, 256),
    ("axons (SEM)", "large shift", 10, True, 0.0, 256),
    ("plant (STEM)", "drift", 20, False, 0.05, 256),
    ("plant (STEM)", "turn", 10, True, 0.0, 256),
    ("plant (STEM)", "small shift", 20, True, 0.1, 256),
    ("brain (SBEM)", "drift", 20, True, 0.0, 256),
    ("brain (SBEM)", "stretch", 10, True, 0.05, 256),
    ("particles (SEM)", "stretch", 20, True, 0.0, 256),
    ("particles (SEM)", "large shift", 10, False, 0.05, 256),
    ("particles (SEM)", "drift", 10, True, 0.0, 400),
]


@pytest.mark.parametrize(("source", "displacement", "psnr", "scan_line", "pattern", "size"), CASES)
def test_known_displacements_are_found(
    micrographs: Path, source: str, displacement: str, psnr: int, scan_line: bool, pattern: float, size: int
) -> None:
    model, field = motions(size)[displacement]
    pair = make_pair(load(micrographs, source), field, psnr, 1, size=size, scan_line=scan_line, pattern=pattern)
    found = align(pair.fixed, pair.moving, model)
    error = pair.error(found.displacement())
    assert error < WITHIN[psnr]
    assert error < 3.5 * found.error_px + 0.01  # and the estimate of the error says so
    assert found.confidence > 0.9
    assert not found.doubts


def test_the_noisy_image_is_left_alone_and_the_clean_one_lands_on_it(micrographs: Path) -> None:
    model, field = motions(256)["drift"]
    pair = make_pair(load(micrographs, "axons (SEM)"), field, 30, 2)
    before = pair.fixed.copy()
    found = align(pair.fixed, pair.moving, model)
    moved = found.apply(pair.moving)
    seen = np.isfinite(moved)
    assert np.array_equal(before, pair.fixed)
    assert moved.shape == pair.fixed.shape
    assert np.array_equal(seen, found.valid(pair.moving.shape))

    def left(image: np.ndarray) -> float:
        line = np.polyfit(image[seen], pair.fixed[seen], 1)
        return float((pair.fixed[seen] - np.polyval(line, image[seen])).std())

    assert left(moved) < 1.15 * 0.7 * 10 ** (-30 / 20) < 0.5 * left(pair.moving)


def test_real_pairs_agree_with_the_frozen_scorer(micrographs: Path) -> None:
    scorer = _scorer(micrographs)
    inner = np.s_[20:-20, 20:-20]
    apart = []
    for number in (4, 10, 19):
        noisy, clean = (
            tifffile.imread(micrographs / f"val/kriss_semdenoising/line_{side}_{number:03d}.tif")
            for side in ("noisy", "clean")
        )

        def left(image: np.ndarray, noisy: np.ndarray = noisy) -> float:
            line = np.polyfit(image[inner].ravel(), noisy[inner].ravel().astype(float), 1)
            return float((noisy[inner] - np.polyval(line, image[inner])).std())

        found = align(noisy, clean)
        theirs = scorer.drift(noisy, clean)
        assert left(found.apply(clean)) < 1.0005 * left(spline_shift(clean.astype(float), theirs, order=3))
        # the scorer may stay where a whole-pixel shift of exactly zero begins: its first simplex has no extent there
        apart += list(np.abs(found.shift - theirs)[np.abs(theirs) > 0.01])
        assert found.confidence > 0.99
    assert np.median(apart) < 0.15


def test_unrelated_images_are_refused(micrographs: Path) -> None:
    images = [load(micrographs, name)[0][::2, ::2][:200, :200] for name in SOURCES]
    random = np.random.default_rng(0)
    for first, second in pairwise(images):
        with pytest.raises(GeometryError, match=r"low.tif and high.tif: cannot be aligned.*confidence"):
            align(first + noise(random, first.shape, 0.1, True), second, names=("high.tif", "low.tif"))


def test_unrelated_images_with_the_same_fixed_pattern_are_refused(micrographs: Path) -> None:
    random = np.random.default_rng(0)
    pattern = 0.05 * fixed_pattern(random, (200, 200))
    one, other = (load(micrographs, name)[0][::2, ::2][:200, :200] + pattern for name in list(SOURCES)[:2])
    with pytest.raises(GeometryError, match="cannot be aligned"):
        align(one + noise(random, one.shape, 0.1, False), other)


def test_noise_is_refused_and_flat_images_are_named() -> None:
    random = np.random.default_rng(1)
    scene = cell_phantom((160, 160), seed=3)
    for fixed, moving in (
        (random.normal(size=(160, 160)), random.normal(size=(160, 160))),
        (noise(random, (160, 160), 1.0, True), scene),
    ):
        with pytest.raises(GeometryError, match=r"cannot be aligned|nothing in common"):
            align(fixed, moving)
    with pytest.raises(GeometryError, match=r"empty.tif: is flat"):
        align(scene, np.full((160, 160), 7, dtype=np.uint8), names=("scene.tif", "empty.tif"))
    with pytest.raises(GeometryError, match="at least 48"):
        align(scene[:40], scene)
    with pytest.raises(GeometryError, match=r"expected \(Y, X\)"):
        align(scene[None], scene)
    with pytest.raises(SettingsError, match="Did you mean 'shift'"):
        align(scene, scene, "shfit")  # type: ignore[arg-type]


def test_inverted_contrast_is_refused_and_named() -> None:
    scene = cell_phantom((192, 192), seed=4)
    with pytest.raises(GeometryError, match="inverted"):
        align(-scene, np.roll(scene, 3, 0))


def test_a_lattice_fits_itself_at_many_shifts() -> None:
    y, x = np.mgrid[:192, :192]
    lattice = np.cos(2 * np.pi * x / 12) + np.cos(2 * np.pi * y / 12)
    noisy = np.roll(lattice, (2, 3), (0, 1)) + np.random.default_rng(0).normal(0, 0.5, lattice.shape)
    found = align(noisy, lattice, strict=False)
    assert found.confidence < LEAST_CONFIDENCE
    assert "another shift fits about as well" in found.doubts
    assert align(noisy, lattice, reach=5).shift == pytest.approx((2, 3), abs=0.1)  # said to be near, it is found


def test_gain_offset_shading_shape_dtype_and_invalid_pixels_do_not_matter() -> None:
    scene = cell_phantom((256, 240), seed=5)
    fixed = np.roll(scene, (4, -3), (0, 1))
    y, x = np.mgrid[:220, :240]
    fixed = 3000 * fixed[:220] + 9 * y + 5 * x + np.random.default_rng(0).normal(0, 150, (220, 240))
    fixed[60:110, 100:170] = np.nan
    found = align(fixed, np.rint(200 * scene).astype(np.uint8))
    assert found.shift == pytest.approx((4, -3), abs=0.05)
    assert found.displacement().shape == (2, 220, 240)
    assert found.apply(scene).shape == (220, 240)


def test_an_image_lies_on_itself_exactly() -> None:
    scene = cell_phantom((128, 128), seed=6)
    found = align(scene, scene)
    assert found.shift == pytest.approx((0, 0), abs=1e-4)
    assert found.valid(scene.shape).all()
    assert found.confidence > 0.99


def test_confidence_falls_as_noise_grows() -> None:
    scene = cell_phantom((160, 160), seed=7)
    random = np.random.default_rng(0)
    grain = random.normal(0, 1, scene.shape)
    found = [align(np.roll(scene, 2, 0) + level * grain, scene, strict=False) for level in (0.05, 0.5, 8.0)]
    assert found[0].confidence > 0.99
    assert found[0].error_px < found[1].error_px
    assert found[2].confidence < LEAST_CONFIDENCE
    assert found[2].doubts


def test_the_error_is_what_it_is_said_to_be() -> None:
    scene = cell_phantom((128, 128), seed=8)
    fixed = gaussian_filter(scene, 0.7)
    misses, said = [], []
    for seed in range(8):
        noisy = fixed + noise(np.random.default_rng(seed), scene.shape, 0.15, True)
        found = align(noisy, fixed)
        misses += list(found.shift)
        said.append(found.error_px)
    assert 0.5 < np.sqrt(np.mean(np.square(misses))) / np.mean(said) < 2


def test_apply_moves_down_and_right_and_marks_what_is_missing() -> None:
    image = cell_phantom((64, 64), seed=9)
    found = Alignment(Motion("shift", (64, 64)), np.array([3.0, 5.0]), np.eye(2), 0.0, 1.0, 1.0)
    moved = found.apply(image)
    assert moved.dtype == np.float32
    np.testing.assert_allclose(moved[3:, 5:], image[:-3, :-5], atol=1e-5)
    assert np.isnan(moved[:3]).all()
    assert np.isnan(moved[:, :5]).all()
    image[40, 30] = np.nan
    assert np.isnan(found.apply(image)[43, 35])
    assert np.isfinite(found.apply(image)[60, 60])
    with pytest.raises(GeometryError, match=r"expected \(Y, X\)"):
        found.apply(image[None])


@pytest.mark.parametrize("model", ["shift", "rigid", "affine", "drift"])
def test_the_basis_is_the_derivative_of_the_field(model: str) -> None:
    motion = Motion(model, (60, 90), 5)  # type: ignore[arg-type]
    random = np.random.default_rng(0)
    parameters = random.normal(0, 2, motion.size)
    y, x = random.uniform(0, 59, 7), random.uniform(0, 89, 8)
    for k, part in enumerate(motion.basis(parameters, y, x)):
        step = np.zeros(motion.size)
        step[k] = 1e-4
        slope = (motion.field(parameters + step, y, x) - motion.field(parameters - step, y, x)) / 2e-4
        np.testing.assert_allclose(np.broadcast_to(part, slope.shape), slope, atol=1e-6)
    constant = motion.field(motion.constant((1.5, -2.0)), y, x)
    np.testing.assert_allclose(constant, np.broadcast_to(np.array([1.5, -2.0])[:, None, None], constant.shape))


def _scorer(micrographs: Path):  # type: ignore[no-untyped-def]
    from importlib.util import module_from_spec, spec_from_file_location

    spec = spec_from_file_location("score_pairs", micrographs / "score_pairs.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
