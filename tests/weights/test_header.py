"""Headers of safetensors files: every lie in them is found before a tensor is read."""

from __future__ import annotations

import contextlib
import hashlib
import json
import struct

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save
from tests.weights.small import FACTS, network

from ruska.errors import InputError
from ruska.weights import load_model, save_model
from ruska.weights.header import MOST_HEADER
from ruska.weights.model import CARD, WEIGHTS

FIRST = "head.0.bias"
OTHER = "head.0.weight"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("header") / "m"
    save_model(folder, network().state_dict(), FACTS)
    return folder


@pytest.fixture
def refused(made, tmp_path):
    """Writes other weights beside a card that speaks of them; gives the error of reading them."""

    def write(content: bytes) -> str:
        (tmp_path / WEIGHTS).write_bytes(content)
        card = json.loads((made / CARD).read_text())
        (tmp_path / CARD).write_text(json.dumps({**card, "sha256": hashlib.sha256(content).hexdigest()}))
        with pytest.raises(InputError) as caught:
            load_model(tmp_path)
        assert WEIGHTS in str(caught.value)
        return str(caught.value)

    return write


def parts(folder):
    content = (folder / WEIGHTS).read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def whole(header, numbers, length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + numbers


@pytest.mark.parametrize("length", [0, 1, 1 << 20, MOST_HEADER + 1, (1 << 63) - 1, (1 << 64) - 1])
def test_an_absurd_length_is_named(made, refused, length):
    assert "not a model of Ruska" in refused(whole(*parts(made), length=length))


@pytest.mark.parametrize("content", [b"", b"1234567", b"\x80\x04" * 40, bytes(100)])
def test_what_has_no_header_is_refused(refused, content):
    assert "not a model of Ruska" in refused(content)


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        ({"data_offsets": [4, 8]}, "bytes, expected"),
        ({"data_offsets": [-4, 380]}, "not whole numbers"),
        ({"data_offsets": [1 << 70, (1 << 70) + 384]}, "not whole numbers"),
        ({"data_offsets": [1 << 40, (1 << 40) + 384]}, "begins at byte"),
        ({"data_offsets": [True, 384]}, "not whole numbers"),
        ({"data_offsets": [0.0, 384.0]}, "not whole numbers"),
        ({"data_offsets": [0]}, "not whole numbers"),
        ({"data_offsets": {"0": 1}}, "not whole numbers"),
        ({"shape": [1 << 62, 1 << 62]}, "bytes, expected"),
        ({"shape": [0]}, "bytes, expected"),
        ({"shape": [48, 2]}, "is 48 x 2"),
        ({"shape": "96"}, "not whole numbers"),
        ({"dtype": "F64"}, "dtype 'F64'"),
        ({"dtype": "I32"}, "dtype 'I32'"),
        ({"dtype": ["F32"]}, "dtype"),
        ({"colour": 1}, "does not say"),
    ],
    ids=repr,
)
def test_a_lie_about_a_tensor_is_named(made, refused, harm, said):
    header, numbers = parts(made)
    error = refused(whole({**header, FIRST: {**header[FIRST], **harm}}, numbers))
    assert said in error
    assert FIRST in error or "begins at byte" in error


def test_tensors_that_overlap_leave_gaps_or_end_early_are_named(made, refused):
    header, numbers = parts(made)
    same = {**header, "copy": header[FIRST]}
    assert "begins at byte" in refused(whole(same, numbers))
    assert "its header says" in refused(whole(header, numbers + b"more"))
    assert "its header says" in refused(whole(header, numbers[:-4]))
    assert "begins at byte" in refused(whole({k: v for k, v in header.items() if k != FIRST}, numbers))


def test_headers_that_are_no_header_are_refused(made, refused):
    header, numbers = parts(made)
    text = json.dumps(header)
    twice = text[:-1] + f', "{FIRST}": {json.dumps(header[FIRST])}' + "}"
    assert f"'{FIRST}' twice" in refused(whole(twice.encode(), numbers))
    for bad in (b"[]", b"[" * 100_000, b"\xff\xfe", text.replace("__metadata__", "remarks").encode()):
        assert "not a model of Ruska" in refused(whole(bad, numbers))
    deep = {**header, "__metadata__": {"ruska": "[" * 200_000}}
    assert "nested deeper" in refused(whole(deep, numbers))


@pytest.mark.parametrize("other", [{"frames": 3}, {"widths": [4, 8, 8]}, {"widths": [8, 8]}, {"outputs": 2}])
def test_weights_of_another_network_are_named_before_they_are_read(refused, other):
    remarks = {"ruska": json.dumps({"method": "blindspot"})}
    assert "card's network" in refused(save(network(**other).state_dict(), remarks)).replace(
        "its card has", "card's network"
    )


def test_numbers_that_are_not_finite_are_refused(made, refused):
    tensors = {name: value.clone() for name, value in network().state_dict().items()}
    tensors[OTHER].view(-1)[3] = torch.nan
    assert f"{OTHER} has numbers that are not finite" in refused(save(tensors, {"ruska": "{}"}))


def test_weights_beyond_their_network_are_not_even_hashed(made, tmp_path, monkeypatch):
    from ruska.weights import model

    (tmp_path / CARD).write_bytes((made / CARD).read_bytes())
    with (tmp_path / WEIGHTS).open("wb") as file:
        file.truncate(32 << 20)
    monkeypatch.setattr(model, "_hash", lambda _: pytest.fail("read as a whole"))
    with pytest.raises(InputError, match="network of its card has at most"):
        load_model(tmp_path)


@settings(max_examples=100, deadline=None)
@given(places=st.lists(st.tuples(st.integers(0, 6000), st.integers(0, 255)), min_size=1, max_size=4))
def test_any_change_of_the_header_is_read_or_refused(made, tmp_path_factory, places):
    folder = tmp_path_factory.getbasetemp() / "changed"
    folder.mkdir(exist_ok=True)
    content = bytearray((made / WEIGHTS).read_bytes())
    for place, value in places:
        content[place % len(content)] = value
    (folder / WEIGHTS).write_bytes(bytes(content))
    card = json.loads((made / CARD).read_text())
    (folder / CARD).write_text(json.dumps({**card, "sha256": hashlib.sha256(content).hexdigest()}))
    with contextlib.suppress(InputError):
        load_model(folder).fill(network())
