"""Cards that strangers wrote: read, or refused in one line, whatever they say; and nothing is built before."""

from __future__ import annotations

import copy
import json
import sys
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.weights.small import DATA, FACTS, NETWORK, network

from ruska.errors import RuskaError
from ruska.methods import prior
from ruska.physics.appearance import Appearance
from ruska.weights import ModelCard, load_model, save_model
from ruska.weights.architecture import facts_of, shapes_of
from ruska.weights.bounded import DEEPEST, parse_json
from ruska.weights.card import MOST_CARD
from ruska.weights.embedded import EMBEDDED
from ruska.weights.model import CARD, WEIGHTS

PRIOR = json.loads((EMBEDDED / CARD).read_text(encoding="utf-8"))
HIDDEN = json.loads(ModelCard(**FACTS, sha256="0" * 64).model_dump_json())
KINDS = {"blindspot": "halfplane", "noise2void": "noise2void", "udvd": "udvd", "shine": "shine"}


def parsed(card):
    return ModelCard.parse(card if isinstance(card, str) else json.dumps(card), "card.json")


def with_network(method, **changed):
    base = PRIOR if method == "prior" else {**HIDDEN, "method": method}
    kind = {} if method == "prior" else {"kind": KINDS[method]}
    return {**base, "network": {**base["network"], **kind, **changed}}


WRONG_NUMBERS = [-1, 0, 1.5, 1e308, 10**6, 10**30, True, None, "4", [4], {}, {"a": {"b": 1}}]
WRONG_LISTS = [[], [[4]], "xxxx", 4, None, {"0": 4}, [4] * 9, [4] * 100_000]


@pytest.mark.parametrize("wrong", [*WRONG_LISTS, *([n, 8, 8, 8] for n in WRONG_NUMBERS)], ids=lambda w: repr(w)[:20])
@pytest.mark.parametrize("field", ["widths", "blocks"])
def test_a_prior_no_network_can_be_is_one_line(field, wrong):
    with pytest.raises(RuskaError, match=rf"^card\.json: is not a model card \(network.*({field}|blocks)") as caught:
        parsed(with_network("prior", **{field: wrong}))
    assert len(str(caught.value)) < 400
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("method", KINDS)
@pytest.mark.parametrize(
    ("field", "wrong"),
    [*(("spot", s) for s in [[1], [1, 1, 1], [2, 1], [1, 13], ["1", 1], "11", 1]),
     *(("frames", n) for n in [*WRONG_NUMBERS, 2, 11]), *(("outputs", n) for n in [*WRONG_NUMBERS, 3]),
     *(("widths", w) for w in WRONG_LISTS),
     *(("kind", k) for k in ["unet", "", 1, None, ["halfplane"]]), ("colour", 1)],
    ids=lambda v: repr(v)[:20],
)  # fmt: skip
def test_a_blind_network_that_cannot_be_is_one_line(method, field, wrong):
    with pytest.raises(RuskaError, match=rf"^card\.json: is not a model card \(.*network.{field}") as caught:
        parsed(with_network(method, **{field: wrong}))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("method", ["prior", *KINDS])
def test_missing_parts_of_a_network_are_named(method):
    whole = with_network(method)
    for name in whole["network"]:
        with pytest.raises(RuskaError, match=f"network.{name} is missing"):
            parsed({**whole, "network": {k: v for k, v in whole["network"].items() if k != name}})


@pytest.mark.parametrize("method", ["prior", *KINDS])
def test_shapes_are_those_of_the_network(method):
    facts = facts_of(method, with_network(method, **({} if method == "prior" else {"frames": 3}))["network"], "a")
    assert shapes_of(facts, "a") == {name: tuple(value.shape) for name, value in facts.build().state_dict().items()}


def test_a_network_of_too_many_weights_is_refused_without_taking_memory():
    card = parsed(with_network("prior", widths=[4096] * 8, blocks=[32] * 8))
    start = time.perf_counter()
    with pytest.raises(RuskaError, match=r"would have [\d,]+ million weights, expected at most 268"):
        shapes_of(facts_of(card.method, card.network, "card.json"), "card.json")
    assert time.perf_counter() - start < 60  # seconds, where building it would take hours


@pytest.mark.parametrize(
    ("field", "wrong"),
    [("format", 2), ("format", "1"), ("name", 5), ("method", "magic"), ("method", None), ("network", []),
     ("settings", [1]), ("training", {"notes": 5}), ("training", {"notes": [5]}), ("data", {}),
     ("data", [{**DATA, "shape": [-1, 2]}]), ("data", [{**DATA, "shape": [10**40]}]),
     ("data", [{**DATA, "shape": [1.5]}]),
     ("data", [{**DATA, "voxel_size_nm": {"X": "four"}}]), ("licence", 3), ("credits", "me"), ("credits", [1]),
     ("sha256", "../../etc"), ("sha256", "F" * 64), ("domain", {}), ("domain", {**PRIOR["domain"], "noise": [-1, 2]}),
     ("domain", {**PRIOR["domain"], "detail": [3, 2]}), ("domain", {**PRIOR["domain"], "equal": [0, 7]}),
     ("domain", {**PRIOR["domain"], "pixel_size_nm": [1, 1e300]}), ("colour", "red")],
    ids=lambda v: repr(v)[:30],
)  # fmt: skip
def test_wrong_fields_are_named(field, wrong):
    with pytest.raises(RuskaError, match=field) as caught:
        parsed({**PRIOR, field: wrong})
    assert "card.json" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "1e999", "1" * 5000])
def test_numbers_without_end_are_refused(text):
    for field in ("settings", "training", "network"):
        with pytest.raises(RuskaError, match="not a model card"):
            parsed(json.dumps(PRIOR).replace(f'"{field}": {{', f'"{field}": {{"x": {text}, ', 1))


@pytest.mark.parametrize("depth", [DEEPEST + 2, 300, 5_000, 1_000_000])
@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_nesting_has_an_end(depth, opening):
    for text in (opening * depth, json.dumps(PRIOR)[:-1] + ', "x": ' + opening * depth):
        with pytest.raises(RuskaError, match="not a model card"):
            parsed(text)
    closed = opening * depth + "1" + {"[": "]"}.get(opening, "}") * depth
    with pytest.raises(ValueError, match="nested deeper"):
        parse_json(closed)
    assert parse_json("[" * DEEPEST + "]" * DEEPEST)


def test_a_field_that_stands_twice_is_refused():
    with pytest.raises(RuskaError, match="'name' twice"):
        parsed(json.dumps(PRIOR)[:-1] + ', "name": "other"}')


def test_a_card_has_a_size_limit(tmp_path):
    file = tmp_path / CARD
    with file.open("wb") as out:
        out.truncate(MOST_CARD + 1)
    with pytest.raises(RuskaError, match=f"expected at most {MOST_CARD}"):
        ModelCard.read(file)


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
@pytest.mark.parametrize("name", [CARD, WEIGHTS])
def test_links_that_lead_out_and_devices_are_refused(tmp_path, name):
    folder = tmp_path / "m"
    save_model(folder, network().state_dict(), FACTS)
    (folder / name).rename(folder / "kept")
    (folder / name).symlink_to("kept")
    assert load_model(folder)
    (folder / "kept").rename(tmp_path / "outside")
    (folder / name).unlink()
    (folder / name).symlink_to(tmp_path / "outside")
    with pytest.raises(RuskaError, match="leads out of its folder"):
        load_model(folder)
    (folder / name).unlink()
    (folder / name).symlink_to("/dev/zero")
    with pytest.raises(RuskaError, match="not a plain file"):
        load_model(folder)


def test_a_card_that_would_be_too_long_names_fewer_files(tmp_path):
    data = [{**DATA, "name": f"{'long' * 500}{k}.tif"} for k in range(5000)]
    save_model(tmp_path / "m", network().state_dict(), {**FACTS, "data": data})
    card = load_model(tmp_path / "m").card
    assert 0 < len(card.data) < 5000
    assert "trained on 5000 files" in card.training["notes"][-1]


def places(value, path=()):
    """All places in a JSON value."""
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in list(inner)[:6]:
        yield from places(part, (*path, key))


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
    | st.sampled_from([10**6, -1, 1e308, 10**400, "\x1b[2J", "../..", "9" * 300]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=3), max_leaves=6,
)  # fmt: skip


@st.composite
def cards(draw, good):
    """A good card with one to three places in it changed, taken out or added to."""
    card = copy.deepcopy(good)
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from([p for p in places(card) if p]))
        outer = card
        for key in path[:-1]:
            outer = outer[key]
        how = draw(st.sampled_from(["change", "remove", "add"]))
        if how == "remove":
            del outer[path[-1]]
        elif how == "add" and isinstance(outer, dict):
            outer[draw(st.text(max_size=6))] = draw(ANY)
        else:
            outer[path[-1]] = draw(ANY)
        if not card:
            break
    return card


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    made = {}
    for good, source in ((0, EMBEDDED), (1, None)):
        folder = tmp_path_factory.mktemp("cards") / "m"
        if source is None:
            save_model(folder, network().state_dict(), FACTS)
        else:
            folder.mkdir()
            (folder / WEIGHTS).write_bytes((source / WEIGHTS).read_bytes())
            (folder / CARD).write_bytes((source / CARD).read_bytes())
        made[good] = folder, json.loads((folder / CARD).read_text(encoding="utf-8"))
    return made


@pytest.mark.parametrize("which", [0, 1], ids=["prior", "blindspot"])
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_a_changed_card_is_read_and_used_or_refused(folders, which, data):
    """Never anything else, neither where it is read nor where its facts are shown and used."""
    from ruska.cli import show

    folder, good = folders[which]
    (folder / CARD).write_text(json.dumps(data.draw(cards(good))), encoding="utf-8")
    try:
        model = load_model(folder)
        if which == 0:
            prior.load(str(folder))
    except RuskaError:
        return
    card = model.card
    show.model(folder, card)
    assert ModelCard.parse(card.model_dump_json(), "again") == card
    look = Appearance(noise=1.0, skewness=0.0, equal=0.0, detail=5.0)
    for here in (None, 1e-3, 4.0, 1e6):
        assert card.domain is None or isinstance(card.domain.strange(look, here), list)


@settings(max_examples=200, deadline=None)
@given(text=st.text(max_size=60) | ANY.map(json.dumps))
def test_any_text_is_a_card_or_refused(text):
    with pytest.raises(RuskaError):
        parsed(text)


def test_every_kind_of_network_has_a_method():
    from ruska.networks.hidden import KINDS as BUILT

    assert set(BUILT) == set(KINDS.values())
    assert NETWORK["kind"] in BUILT
