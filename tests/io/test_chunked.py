"""Unpacking pieces: what was packed comes back; anything that claims more is refused before it is unpacked."""

from __future__ import annotations

import bz2
import gzip
import lzma
import tracemalloc
import zlib

import imagecodecs
import numcodecs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ruska.io.chunked import COMPRESSIONS, decompress, decompress_at_most

PACKERS = {
    "gzip": gzip.compress, "zlib": zlib.compress, "bzip2": bz2.compress, "xz": lzma.compress,
    "zstd": imagecodecs.zstd_encode, "blosc": numcodecs.Blosc("lz4").encode, "raw": bytes,
}  # fmt: skip


@settings(deadline=None)  # the first call imports the decoders
@given(data=st.binary(min_size=1, max_size=2000), kind=st.sampled_from(sorted(PACKERS)))
def test_what_was_packed_comes_back(data: bytes, kind: str) -> None:
    assert kind in COMPRESSIONS
    packed = bytes(PACKERS[kind](data))
    assert decompress(kind, packed, len(data)) == data
    for wrong in (len(data) - 1, len(data) + 1):
        if wrong:
            with pytest.raises(ValueError, match=kind):
                decompress(kind, packed, wrong)


@settings(deadline=None)
@given(garbage=st.binary(max_size=200), kind=st.sampled_from(sorted(COMPRESSIONS)))
def test_garbage_is_a_value_error(garbage: bytes, kind: str) -> None:
    if kind != "raw":
        with pytest.raises(ValueError, match=r".+"):
            decompress(kind, garbage, 1000)


@pytest.mark.parametrize("kind", sorted(set(PACKERS) - {"raw"}))
def test_bombs_take_no_memory(kind: str) -> None:
    bomb = bytes(PACKERS[kind](bytes(64 << 20)))
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=kind):
            decompress(kind, bomb, 1000)
        assert tracemalloc.get_traced_memory()[1] < 16 << 20  # the decoder of xz itself takes 8
    finally:
        tracemalloc.stop()


def test_at_most() -> None:
    packed = gzip.compress(bytes(100))
    assert decompress_at_most("gzip", packed, 100) == bytes(100)
    for wrong in (packed, packed[:-6]):
        with pytest.raises(ValueError, match="gzip"):
            decompress_at_most("gzip", wrong, 99)
