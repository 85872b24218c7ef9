"""What a model was trained for: what is like it passes, what is not is named with the way out."""

from __future__ import annotations

import pytest

from ruska.physics.appearance import Appearance
from ruska.weights import Domain, ModelCard

DOMAIN = Domain(noise=(0.06, 5.8), skewness=(-0.5, 0.5), equal=(0.0, 0.1), detail=(1.5, 10.0),
                pixel_size_nm=(10.0, 40.0), pixel_size_known=1.0)  # fmt: skip
USUAL = {"noise": 0.2, "skewness": 0.1, "equal": 0.05, "detail": 4.0}


def test_what_is_usual_is_not_spoken_of():
    assert DOMAIN.strange(Appearance(**USUAL), 20) == []
    assert DOMAIN.strange(Appearance(**USUAL)) == []


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"noise": 12.0}, "12 times as strong as the signal"),
        ({"skewness": 0.97}, "bright spots on black"),
        ({"skewness": -0.97}, "dark marks on white"),
        ({"equal": 0.95}, "95% of neighbouring pixels are equal"),
        ({"detail": 25.0}, "binning by 3"),
    ],
)
def test_what_is_strange_is_named(changed, said):
    (found,) = DOMAIN.strange(Appearance(**{**USUAL, **changed}))
    assert said in found
    assert "trained:" in found


def test_what_is_to_be_deblurred_may_be_blurred():
    blurred = Appearance(**{**USUAL, "detail": 25.0})
    assert DOMAIN.strange(blurred, blurred=True) == []


@pytest.mark.parametrize(("here", "said"), [(2.0, "binning by 5"), (200.0, "200 nm"), (4.0, None), (55.0, None)])
def test_pixels_much_finer_or_coarser_are_named(here, said):
    found = DOMAIN.strange(Appearance(**USUAL), here)
    assert (said in found[0]) if said else not found


def test_nothing_is_said_of_pixels_where_those_of_the_training_are_hardly_known():
    doubtful = DOMAIN.model_copy(update={"pixel_size_known": 0.5})
    assert doubtful.strange(Appearance(**USUAL), 200) == []


def test_a_card_keeps_its_domain():
    facts = {"name": "m", "method": "prior", "network": {}, "settings": {}, "training": {}, "data": [],
             "sha256": "0" * 64}  # fmt: skip
    card = ModelCard(**facts, domain=DOMAIN)
    assert ModelCard.model_validate_json(card.model_dump_json()) == card
    assert card.pixel_size_nm == (10, 40)
    assert ModelCard(**facts).domain is None
