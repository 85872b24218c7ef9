"""What may be done to a reference before it is used: eight orientations, binning, and the words for them."""

from __future__ import annotations

import numpy as np
import pytest

from ruska.errors import SettingsError
from ruska.image.reference import TURNS, Reference, Steps, Turn, steps_of

FRAME = np.random.default_rng(0).uniform(0.5, 2, (6, 8)).astype(np.float32)


def test_the_eight_orientations_are_different_and_have_words_that_are_read_back() -> None:
    assert len({turn(FRAME).tobytes() for turn in TURNS}) == 8
    for turn in TURNS:
        assert steps_of(turn.name, "--gain-as").turn == turn
        for other in TURNS:
            np.testing.assert_array_equal(turn.then(other)(FRAME), other(turn(FRAME)))
    np.testing.assert_array_equal(
        Turn(1)(FRAME)[0], FRAME[:, 0][::-1]
    )  # clockwise: the left column becomes the top row


@pytest.mark.parametrize(("text", "expected"), [
    (None, Steps()), ("0,0", Steps(Turn())), ("1,0", Steps(Turn(1))), ("2,1", Steps(Turn(2, True))),
    ("0,2", Steps(Turn(2, True))), ("rot180, flip-x", Steps(Turn(0, True))), ("BIN2", Steps(bin=2)),
    ("expand2,rot90,times0.1,invert", Steps(Turn(1), expand=2, invert=True, times=0.1)),
])  # fmt: skip
def test_words_are_read(text: str | None, expected: Steps) -> None:
    assert steps_of(text, "--gain-as") == expected
    if text is not None:
        assert steps_of(expected.words, "--gain-as") == expected


@pytest.mark.parametrize(("text", "word"), [
    ("rot45", "rot90"), ("bin0", "bin2"), ("times-3", "times"), ("times1e999", "times10"), ("4,0", "4"), ("", "rot90"),
])  # fmt: skip
def test_other_words_are_refused(text: str, word: str) -> None:
    with pytest.raises(SettingsError, match="--gain-as") as caught:
        steps_of(text, "--gain-as")
    assert word in str(caught.value)


def test_steps_are_taken() -> None:
    def prepared(kind: str, values: np.ndarray, words: str) -> np.ndarray:
        return Reference.of(kind, values).prepared(steps_of(words, "")).values

    response = 1 / FRAME
    binned = response.reshape(3, 2, 4, 2).mean((1, 3))  # what a binned detector answers
    np.testing.assert_allclose(prepared("gain", FRAME, "bin2"), 1 / binned, rtol=1e-5)
    np.testing.assert_allclose(prepared("dark", FRAME, "bin2"), FRAME.reshape(3, 2, 4, 2).mean((1, 3)), rtol=1e-5)
    bad = np.zeros((6, 8), np.uint8)
    bad[3, 5] = 1
    np.testing.assert_array_equal(np.argwhere(prepared("defects", bad, "bin2")), [[1, 2]])
    np.testing.assert_array_equal(np.argwhere(prepared("defects", bad, "expand2"))[[0, -1]], [[6, 10], [7, 11]])
    flat = 1000 / FRAME
    flat[0, 0] = 0
    inverted = prepared("gain", flat, "invert")
    assert np.isnan(inverted[0, 0])
    np.testing.assert_allclose((inverted * flat)[flat > 0], flat[flat > 0].mean(), rtol=1e-5)
    np.testing.assert_allclose(prepared("dark", FRAME, "times10"), 10 * FRAME, rtol=1e-6)
