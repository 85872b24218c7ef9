"""Signal to noise and resolution of repeated frames."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ruska.errors import GeometryError, InputError
from ruska.evaluation import score_frames
from ruska.evaluation.repeats import compared_places, snr_db
from ruska.image import Image
from ruska.physics import cell_phantom

CLEAN = cell_phantom((96, 112), 3).astype(np.float64)
NOISE = np.random.default_rng(0).normal(0, 1, (8, *CLEAN.shape))


def frames(ratio: float, noise: np.ndarray = NOISE) -> np.ndarray:
    """Frames whose signal is ``ratio`` times as strong as their noise, in variance."""
    return CLEAN / CLEAN.std() * np.sqrt(ratio) + noise


@pytest.mark.parametrize("ratio", [0.1, 1.0, 10.0])
def test_the_ratio_is_that_of_the_frames(ratio: float) -> None:
    found = score_frames(Image(frames(ratio), "TYX")).channels["1"]
    assert found.pairs == 7
    assert found.snr_db == pytest.approx(10 * np.log10(ratio), abs=0.4)


def test_less_noise_is_a_finer_resolution_and_brightness_does_not_matter() -> None:
    bright = frames(4) * np.linspace(1, 3, 8)[:, None, None] + np.arange(8)[:, None, None]
    fine, coarse, scaled = (score_frames(Image(f, "TYX")).channels["1"] for f in (frames(4), frames(0.2), bright))
    assert fine.resolution_px < coarse.resolution_px
    assert scaled.snr_db == pytest.approx(fine.snr_db, abs=1e-9)


def test_frames_that_share_input_are_not_compared() -> None:
    """A mean over five frames gives neighbours most of their noise in common."""
    mixed = np.stack([np.roll(NOISE, k, 0) for k in range(-2, 3)]).mean(0)
    near = score_frames(Image(frames(1, mixed), "TYX"))
    far = score_frames(Image(frames(1, mixed), "TYX"), window=5)
    assert near.channels["1"].snr_db > far.channels["1"].snr_db + 5
    assert far.apart == 5
    assert any("nearer ones share input" in note for note in far.notes)
    forced = score_frames(Image(frames(1, mixed), "TYX"), window=5, apart=1)
    assert any("too good" in note for note in forced.notes)


def test_pairs_are_few_and_evenly_spaced_over_all_axes() -> None:
    image = Image(np.zeros((200, 2, 3, 16, 16), np.uint8), "TCZYX")
    pairs = compared_places(image, 4, channel=1)
    assert len(pairs) == 64
    assert all(second == (first[0] + 4, 1, first[2]) for first, second in pairs)
    assert (pairs[0][0], pairs[-1][1]) == ((0, 1, 0), (199, 1, 2))


def test_every_channel_has_its_own_figures_and_invalid_pixels_are_left_out() -> None:
    both = np.stack([frames(10), frames(0.5)], 1)
    image = Image(both, "TCYX", channel_names=("SE", "BSE"))
    found = score_frames(image).channels
    assert found["SE"].snr_db > found["BSE"].snr_db + 10
    holes = both.copy()
    holes[..., 40:50, 40:50] = 1e9
    masked = replace(image, data=holes, mask=holes < 1e8)
    assert score_frames(masked).channels["SE"].snr_db == pytest.approx(found["SE"].snr_db, abs=0.3)
    holes[holes > 1e8] = np.nan
    assert score_frames(image.with_data(holes)).channels["SE"].snr_db == score_frames(masked).channels["SE"].snr_db


@pytest.mark.filterwarnings("error")
def test_an_empty_frame_is_left_out_without_a_word_from_numpy() -> None:
    empty = frames(10)
    empty[1] = np.nan
    assert score_frames(Image(empty, "TYX")).channels["1"].snr_db == pytest.approx(10, abs=1)


def test_drift_is_said_and_taken_out() -> None:
    wide = np.tile(cell_phantom((160, 200), 3), 1)
    moved = np.stack([wide[8 + 2 * k : 136 + 2 * k, 8 + 3 * k : 136 + 3 * k] for k in range(4)])
    image = Image(moved + np.random.default_rng(1).normal(0, wide.std() / 3, moved.shape), "TYX")
    as_they_are, aligned = score_frames(image), score_frames(image, model="shift")
    assert any("add --register" in note for note in as_they_are.notes)
    assert aligned.channels["1"].drift_px is not None
    assert aligned.channels["1"].drift_px.median == pytest.approx(np.hypot(2, 3), abs=0.1)
    assert aligned.channels["1"].snr_db == pytest.approx(10 * np.log10(9), abs=1)
    assert as_they_are.channels["1"].snr_db < aligned.channels["1"].snr_db - 3


def test_equal_frames_and_strangers_are_said() -> None:
    equal = score_frames(Image(np.stack([CLEAN] * 3), "TYX"))
    assert equal.channels["1"].snr_db == np.inf
    assert any("copies" in note for note in equal.notes)
    strangers = score_frames(Image(np.stack([NOISE[0], -NOISE[0]]), "TYX"))
    assert strangers.channels["1"].snr_db == -np.inf
    assert any("nothing in common" in note for note in strangers.notes)
    assert (snr_db(0.5), snr_db(0.0)) == (0, -np.inf)


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(GeometryError, match="single frame"):
        score_frames(Image(CLEAN, "YX"))
    with pytest.raises(GeometryError, match="too few for frames 8 apart"):
        score_frames(Image(NOISE, "TYX"), apart=8)
    blank = np.zeros((3, 64, 64))
    blank[0] = NOISE[0, :64, :64]
    with pytest.raises(InputError, match="no two usable frames"):
        score_frames(Image(blank, "TYX"))
