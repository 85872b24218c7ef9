"""Shards of neuroglancer's precomputed format: which file a chunk is in, and where in it.

Source: neuroglancer's sharded.md. Chunk numbers are compressed Morton codes, hashed by identity or MurmurHash3_x86_128.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ruska.io.cache import ArrayCache
from ruska.io.chunked import LARGEST_CHUNK, decompress_at_most
from ruska.io.places import Place, join

if TYPE_CHECKING:
    from numpy.typing import NDArray

_HASHES = ("identity", "murmurhash3_x86_128")
_MASK = 0xFFFFFFFF
_LARGEST_INDEX = 1 << 26


@dataclass(frozen=True)
class Sharding:
    """How chunks are spread over shards. ``grid``: number of chunks along x, y, z."""

    grid: tuple[int, ...]
    preshift: int
    minishard_bits: int
    shard_bits: int
    hashed: bool
    index_gzip: bool
    data_gzip: bool

    @classmethod
    def parse(cls, said: Mapping[str, Any], grid: Sequence[int]) -> Sharding:
        """From the ``sharding`` entry of a scale; ValueError or KeyError when it is unusual."""
        preshift, minishard, shard = (int(said[name]) for name in ("preshift_bits", "minishard_bits", "shard_bits"))
        if sum((n - 1).bit_length() for n in grid) > 64:
            raise ValueError(f"a grid of {tuple(grid)} chunks, whose numbers have more than 64 bits")
        encodings = [str(said.get(name, "raw")) for name in ("minishard_index_encoding", "data_encoding")]
        if said["hash"] not in _HASHES or min(preshift, minishard, shard) < 0 or minishard > 24 or shard > 60:
            raise ValueError(f"sharding {dict(said)}")
        if not set(encodings) <= {"raw", "gzip"}:
            raise ValueError(f"shards encoded as {encodings}")
        packed = [encoding == "gzip" for encoding in encodings]
        return cls(tuple(grid), preshift, minishard, shard, said["hash"] != "identity", *packed)

    def read(
        self, place: Place, folder: str, chunk: tuple[int, int, int], limit: int, indices: ArrayCache
    ) -> bytes | None:
        """The bytes of the chunk at (x, y, z) of the grid, or None when it is not stored; at most ``limit``.

        indices : keeps the index of each minishard, which tells the places of many chunks.
        """
        number = morton(chunk, self.grid)
        key = number >> self.preshift
        if self.hashed:
            key = murmur(key)
        minishard = key & ((1 << self.minishard_bits) - 1)
        shard = (key >> self.minishard_bits) & ((1 << self.shard_bits) - 1)
        file = join(folder, f"{shard:0{-(-self.shard_bits // 4)}x}.shard")
        index = indices.get((file, minishard), lambda: self._index(place, file, minishard))
        if index is None:
            return None
        at = np.flatnonzero(index[0] == np.uint64(number))
        if not at.size:
            return None
        _, start, length = (int(value) for value in index[:, at[0]])
        if length > limit:
            raise ValueError(f"it takes {length} bytes")
        data = _part(place, file, start, length)
        return decompress_at_most("gzip" if self.data_gzip else "raw", data, limit)

    def _index(self, place: Place, file: str, minishard: int) -> NDArray[np.uint64] | None:
        """Number, first byte in the shard and length of every chunk of a minishard, (3, chunks); None when empty.

        It is stored as differences between the numbers, gaps between the chunks, and lengths.
        """
        ends = place.part(file, minishard * 16, 16)
        if ends is None:
            return None
        start, end = struct.unpack("<QQ", ends)
        if start == end:
            return None
        if not 0 < end - start <= _LARGEST_INDEX:
            raise ValueError(f"its index claims {end - start} bytes")
        base = 16 << self.minishard_bits
        packed = _part(place, file, base + start, end - start)
        index = decompress_at_most("gzip" if self.index_gzip else "raw", packed, _LARGEST_INDEX)
        if len(index) % 24:
            raise ValueError("its index is damaged")
        steps, gaps, lengths = np.frombuffer(index, "<u8").astype(np.uint64).reshape(3, -1)
        before = np.cumsum(lengths, dtype=np.uint64) - lengths
        return np.stack([np.cumsum(steps), np.cumsum(gaps) + before + np.uint64(base), lengths])


def _part(place: Place, file: str, start: int, length: int) -> bytes:
    if start < 0 or not 0 <= length <= LARGEST_CHUNK * 2:
        raise ValueError(f"it refers to bytes {start} to {start + length}")
    found = place.part(file, start, length)
    if found is None:
        raise ValueError("its shard was removed")
    return found


def morton(place: Sequence[int], grid: Sequence[int]) -> int:
    """Compressed Morton code: bits of x, y, z in turn, of each only as many as its grid needs."""
    code, out = 0, 0
    for bit in range(max((n - 1).bit_length() for n in grid)):
        for i, n in zip(place, grid, strict=True):
            if bit < (n - 1).bit_length():
                code |= ((i >> bit) & 1) << out
                out += 1
    return code


def _rotate(value: int, by: int) -> int:
    return ((value << by) | (value >> (32 - by))) & _MASK


def _mix(value: int) -> int:
    value = (value ^ (value >> 16)) * 0x85EBCA6B & _MASK
    value = (value ^ (value >> 13)) * 0xC2B2AE35 & _MASK
    return value ^ (value >> 16)


def murmur(key: int) -> int:
    """Low 64 bits of MurmurHash3_x86_128 (Appleby 2011, seed 0) of the 8 bytes of ``key``."""
    low, high = key & _MASK, key >> 32 & _MASK
    h2 = _rotate(high * 0xAB0E9789 & _MASK, 16) * 0x38B34AE5 & _MASK
    h1 = _rotate(low * 0x239B961B & _MASK, 15) * 0xAB0E9789 & _MASK
    h1, h2, h3, h4 = h1 ^ 8, h2 ^ 8, 8, 8
    h1 = (h1 + h2 + h3 + h4) & _MASK
    h2, h3, h4 = (h2 + h1) & _MASK, (h3 + h1) & _MASK, (h4 + h1) & _MASK
    h1, h2, h3, h4 = _mix(h1), _mix(h2), _mix(h3), _mix(h4)
    h1 = (h1 + h2 + h3 + h4) & _MASK
    return ((h2 + h1) & _MASK) << 32 | h1
