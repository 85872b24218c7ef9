"""The noise picture can be drawn for any plane, and shows the defects."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image as Picture

from ruska.image import Image
from ruska.physics import BadPixels, PoissonGaussian, RowOffsets, cell_phantom, find_defects, noise_level
from ruska.pipeline.inspect import noise_facts
from ruska.report import draw_noise

NOISY = PoissonGaussian(200, 0.01).simulate(cell_phantom((128, 160), 3), 0)


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Picture.open(io.BytesIO(png)).convert("RGB")).astype(int)


def red(picture: np.ndarray) -> np.ndarray:
    return (picture[..., 0] > 150) & (picture[..., 1] < 60) & (picture[..., 2] < 90)


def test_defects_are_ringed_and_titles_apart() -> None:
    facts = noise_facts(Image(NOISY, "YX"))
    level = noise_level(NOISY)
    sound = pixels(draw_noise(NOISY, facts, level, "sound"))
    assert not red(sound).any()
    bad = BadPixels(3 / NOISY.size, 0, 3.0).simulate(NOISY, 1)
    found = find_defects(bad)
    assert found.hot == 3
    shown = red(pixels(draw_noise(bad, facts, level, "hot", found.mask)))
    assert shown[:, : shown.shape[1] // 3].sum() > 100
    assert not shown[:, shown.shape[1] // 3 :].any()
    # an empty band between the figure's title and those of the panels
    middle = sound[: sound.shape[0] // 6, sound.shape[1] // 3 : 2 * sound.shape[1] // 3]
    inked = (middle < 128).all(2).any(1)
    starts = np.count_nonzero(np.diff(inked.astype(int), prepend=0) == 1)
    assert starts == 3  # title, panel title, frame


@pytest.mark.parametrize("plane", [NOISY[:20, :30], np.zeros((70, 70)), np.where(np.eye(128, 160) > 0, np.nan, NOISY)])
def test_small_flat_and_broken_planes_can_be_drawn(plane: np.ndarray) -> None:
    facts = noise_facts(Image(plane, "YX"))
    assert facts is not None
    level = noise_level(plane) if min(plane.shape) >= 64 else None
    assert pixels(draw_noise(plane, facts, level, "odd", np.zeros(plane.shape, bool))).shape[0] > 100


def test_facts_name_what_is_wrong_besides_noise() -> None:
    shown = BadPixels(4 / NOISY.size, 0, 3.0).simulate(RowOffsets(0.03).simulate(NOISY, 2), 1)
    facts = noise_facts(Image(np.minimum(shown, 3.0), "YX"))
    assert facts["defects"] == {"hot": 4, "dead": 0, "of": NOISY.size}
    assert facts["clipped"] == {"low": 0.0, "high": 0.0}  # four pixels are no spike
    assert facts["stripes"]["rows"] == pytest.approx(0.03, rel=0.2)
    assert facts["stripes"]["columns"] == 0
    movie = np.stack([PoissonGaussian(30, 0.02).simulate(cell_phantom((64, 64), 3), k) for k in range(5)])
    movie = BadPixels(3 / 64**2, 0, 2.5).simulate(movie, 1)
    movie[2, 30, 30] = 50
    assert noise_facts(Image(movie, "TYX"))["defects"]["hot"] == 3  # the cosmic ray of one frame is none
