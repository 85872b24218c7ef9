"""Models: written and read back whole; anything else is one clear line."""

from __future__ import annotations

import json

import pytest
import torch
from tests.weights.small import FACTS, network

from ruska.errors import InputError
from ruska.weights import ModelCard, find_models, load_model, save_model
from ruska.weights.model import CARD, WEIGHTS, verify


@pytest.fixture
def folder(tmp_path):
    save_model(tmp_path / "m", network().state_dict(), FACTS)
    return tmp_path / "m"


def test_a_model_comes_back_as_it_was(folder):
    model = load_model(folder)
    filled = network(seed=1)
    model.fill(filled)
    for name, value in network().state_dict().items():
        assert torch.equal(filled.state_dict()[name], value)
    assert model.card.trained_on == "a.tif"
    assert model.card.pixel_size_nm == (4.0, 4.0)
    assert ModelCard.read(folder / CARD) == model.card


def test_changed_weights_are_refused(folder):
    weights = folder / WEIGHTS
    changed = bytearray(weights.read_bytes())
    changed[-1] ^= 1
    weights.write_bytes(bytes(changed))
    with pytest.raises(InputError, match="does not match its card"):
        load_model(folder)


@pytest.mark.parametrize("text", ["", "{}", "[1]", "{", '{"format": 1, "name": 5}', "\x00"])
def test_a_broken_card_is_one_line(folder, text):
    (folder / CARD).write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match="not a model card"):
        load_model(folder)


def test_an_unknown_field_is_refused_and_named(folder):
    card = json.loads((folder / CARD).read_text())
    (folder / CARD).write_text(json.dumps({**card, "colour": "red"}))
    with pytest.raises(InputError, match="colour"):
        verify(folder)


def test_missing_parts_are_named(folder, tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        load_model(tmp_path / "none")
    with pytest.raises(InputError, match=r"holds no card\.json"):
        load_model(tmp_path)
    (folder / WEIGHTS).unlink()
    with pytest.raises(InputError, match="holds no weights"):
        load_model(folder)


def test_a_pickle_is_no_model(folder):
    import hashlib
    import pickle

    evil = pickle.dumps({"a": 1})
    (folder / WEIGHTS).write_bytes(evil)
    card = json.loads((folder / CARD).read_text())
    (folder / CARD).write_text(json.dumps({**card, "sha256": hashlib.sha256(evil).hexdigest()}))
    with pytest.raises(InputError, match="not a model of Ruska"):
        load_model(folder)


def test_weights_that_do_not_fit_are_named(folder):
    with pytest.raises(InputError, match="weight is 4 x 1 x 3 x 3, the network's is 4 x 3 x 3 x 3"):
        load_model(folder).fill(network(frames=3))
    with pytest.raises(InputError, match=r"has no parameter 0\.weight"):
        load_model(folder).fill(torch.nn.Sequential(torch.nn.Linear(3, 2)))


def test_models_are_found_below_a_folder(folder, tmp_path):
    deep = tmp_path / "a" / "b" / "c"
    save_model(deep, network().state_dict(), FACTS)
    save_model(tmp_path / ".hidden", network().state_dict(), FACTS)
    assert find_models(tmp_path) == [deep, folder]
    assert find_models(folder) == [folder]
    assert find_models(tmp_path / "nothing") == []
