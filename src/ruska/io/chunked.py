"""Arrays of chunks, one file each: assembling boxes, and unpacking chunks within their size."""

from __future__ import annotations

import bz2
import lzma
import struct
import zlib
from abc import abstractmethod
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ruska.io.lazy import LazyPixels

if TYPE_CHECKING:
    from numpy.typing import NDArray

LARGEST_CHUNK = 1 << 30  # bytes
_XZ_MEMORY = 256 << 20
_LZ4_BLOCK = b"LZ4Block"
_LARGEST_RATIO = {"gzip": 1032, "zlib": 1032, "bzip2": 1 << 20, "xz": 1 << 16, "zstd": 1 << 20}
_STEP = 1 << 20
COMPRESSIONS = ("raw", "gzip", "zlib", "bzip2", "xz", "lz4", "zstd", "blosc")


class ChunkedPixels(LazyPixels):
    """An array cut into equal chunks. Chunks that are missing read as zeros. ``address``: of the store, for errors."""

    address: Path | str

    def __init__(self, shape: tuple[int, ...], dtype: Any, chunks: tuple[int, ...]) -> None:
        super().__init__(shape, dtype)
        self.chunks = tuple(int(n) for n in chunks)

    @abstractmethod
    def read_chunk(self, place: tuple[int, ...]) -> NDArray[Any] | None:
        """The values of the chunk at ``place`` in the grid (those outside the array may be missing), or None."""

    @abstractmethod
    def check_there(self) -> None:
        """Raise `lost` when the whole store is gone: then a missing chunk does not mean zeros."""

    @abstractmethod
    def stored_places(self) -> Iterator[tuple[int, ...] | None] | None:
        """Places in the grid by file name, None for files that are not chunks; for a server, no iterator."""

    @abstractmethod
    def has_chunk(self, place: tuple[int, ...]) -> bool:
        """Whether the chunk at ``place`` is there, asking for that one alone."""

    def read_box(self, box: tuple[slice, ...]) -> NDArray[Any]:
        out = np.zeros(tuple(s.stop - s.start for s in box), self.dtype)
        if 0 in out.shape:
            return out
        grid = (range(s.start // c, -(-s.stop // c)) for s, c in zip(box, self.chunks, strict=True))
        for place in product(*grid):
            values = self.read_chunk(place)
            if values is None:
                self.check_there()
                continue
            source, target = [], []
            for i, c, n, s in zip(place, self.chunks, values.shape, box, strict=True):
                low, high = max(s.start, i * c), min(s.stop, i * c + n)
                source.append(slice(low - i * c, max(low, high) - i * c))
                target.append(slice(low - s.start, max(low, high) - s.start))
            out[tuple(target)] = values[tuple(source)]
        return out


def decompress(kind: str, data: bytes, size: int) -> bytes:
    """Unpack ``data`` to exactly ``size`` bytes; ValueError when it holds more, less, or is damaged.

    Never takes more memory than ``size`` (and what the decoder itself needs), whatever the data claim.
    """
    try:
        out = data if kind == "raw" else _DECODERS[kind](data, size)
    except (zlib.error, lzma.LZMAError, OSError, EOFError, struct.error, RuntimeError) as error:
        raise ValueError(f"{kind} data are damaged ({error})") from error
    if len(out) != size:
        raise ValueError(f"{kind} data unpack to {len(out)} bytes or more, not {size}")
    return bytes(out)


def decompress_at_most(kind: str, data: bytes, limit: int) -> bytes:
    """Like `decompress` for gzip or raw data of which only the largest possible size is known."""
    try:
        out = data if kind == "raw" else _zlib(data, limit)
    except zlib.error as error:
        raise ValueError(f"{kind} data are damaged ({error})") from error
    if len(out) > limit:
        raise ValueError(f"{kind} data unpack to more than {limit} bytes")
    return out


def unpack(kind: str, data: bytes | memoryview, limit: int) -> bytes:
    """Unpack ``data`` to whatever they hold, ``limit`` bytes at most; ValueError when it is more, or damaged.

    Streams of several parts (gzip members, zstd frames) are joined. ``kind`` may also be ``lz4 block``, which is how
    Zarr packs by lz4: the size, then one block.
    """
    claimed = _claimed("lz4" if kind == "lz4 block" else kind, data)
    if claimed is not None and claimed > limit:
        raise ValueError(f"{kind} data unpack to {claimed} bytes or more; a chunk may take at most {limit}")
    try:
        if kind in _STREAMS:
            return _unpack_streams(_STREAMS[kind], data, limit)
        return _UNPACKERS[kind](data, limit)
    except (zlib.error, lzma.LZMAError, OSError, EOFError, struct.error, RuntimeError, ValueError) as error:
        raise ValueError(f"{kind} data are damaged, or unpack to more than the {limit} bytes that a chunk may take "
                         f"({error})") from error  # fmt: skip


def _unpack_streams(start: Any, data: bytes | memoryview, limit: int) -> bytes:
    """One stream after the other; zeros after the last are padding."""
    parts: list[bytes] = []
    room, rest = limit, data
    while not parts or bytes(rest).strip(b"\0"):
        decoder = start()
        part = decoder.decompress(rest, room + 1)
        if len(part) > room:
            raise ValueError(f"they unpack to more than the {limit} bytes that a chunk may take")
        if not decoder.eof:
            raise EOFError("they are truncated")
        parts.append(part)
        room, rest = room - len(part), decoder.unused_data
    return parts[0] if len(parts) == 1 else b"".join(parts)


def check_packed(kind: str, data: bytes | memoryview, limit: int) -> None:
    """ValueError unless ``data`` are complete as far as they tell, and unpack to ``limit`` bytes at most.

    For decoders that are not ours. Blosc and zstd say how much they hold; a stream that does not is unpacked piece by
    piece, and thrown away, where it is long enough to hold more than `LARGEST_CHUNK`.
    """
    claimed = _claimed(kind, data)
    if claimed is None and kind in _LARGEST_RATIO and len(data) * _LARGEST_RATIO[kind] > max(limit, LARGEST_CHUNK):
        claimed = _streamed(kind, data, limit)
    if claimed is not None and claimed > limit:
        raise ValueError(f"{kind} data unpack to {claimed} bytes or more; a chunk may take at most {limit}")


def _claimed(kind: str, data: bytes | memoryview) -> int | None:
    """Bytes that ``data`` say they unpack to; None where they do not say. ValueError when they are truncated."""
    if kind == "blosc":
        stated = int.from_bytes(data[12:16], "little")
        if len(data) < max(16, stated):
            raise ValueError(f"blosc data are truncated: {len(data)} bytes of {stated}")
        return int.from_bytes(data[4:8], "little")
    if kind == "lz4":  # numcodecs puts the size before the block
        return int.from_bytes(data[:4], "little")
    if kind == "zstd" and data[:4] == b"\x28\xb5\x2f\xfd" and len(data) > 5:
        return _zstd_size(data)
    return None


def _zstd_size(data: bytes | memoryview) -> int | None:
    """The content size in the head of a zstd frame (RFC 8878, 3.1.1.1), None when it is not there."""
    descriptor = data[4]
    single, width = bool(descriptor & 0x20), (0, 2, 4, 8)[descriptor >> 6]
    at = 5 + (not single) + (0, 1, 2, 4)[descriptor & 3]
    if width == 0:
        return data[at] if single and at < len(data) else None
    return int.from_bytes(data[at : at + width], "little") + (256 if width == 2 else 0)


def _streamed(kind: str, data: bytes | memoryview, limit: int) -> int:
    """Bytes that ``data`` unpack to, counted up to a little more than ``limit``."""
    decoder: Any = {"bzip2": bz2.BZ2Decompressor, "xz": lambda: lzma.LZMADecompressor(memlimit=_XZ_MEMORY)}.get(
        kind, lambda: zlib.decompressobj(47)
    )()
    count, rest = 0, data
    while count <= limit:
        try:
            piece = decoder.decompress(rest, _STEP)
        except (zlib.error, OSError, lzma.LZMAError, EOFError) as error:
            raise ValueError(f"{kind} data are damaged ({error})") from error
        count += len(piece)
        rest = getattr(decoder, "unconsumed_tail", b"")
        if decoder.eof or not (piece or rest):
            break
    return count


def _zlib(data: bytes, size: int) -> bytes:
    decoder = zlib.decompressobj(47)  # zlib's head or gzip's
    out = decoder.decompress(data, size + 1)
    if not decoder.eof and len(out) <= size:
        raise ValueError("gzip data are truncated")
    return out


def _bz2(data: bytes, size: int) -> bytes:
    return bz2.BZ2Decompressor().decompress(data, size + 1)


def _xz(data: bytes, size: int) -> bytes:
    return lzma.LZMADecompressor(memlimit=_XZ_MEMORY).decompress(data, size + 1)


def _lz4(data: bytes, size: int) -> bytes:
    """A stream of lz4-java's blocks, as N5 writes them."""
    import imagecodecs

    out, place = bytearray(), 0
    while place + 21 <= len(data) and len(out) < size:
        if data[place : place + 8] != _LZ4_BLOCK:
            raise ValueError("lz4 data lack a block")
        token, packed, unpacked = struct.unpack_from("<Bii", data, place + 8)
        place += 21
        if packed < 0 or not 0 <= unpacked <= size - len(out) or place + packed > len(data):
            raise ValueError("lz4 data are truncated or damaged")
        block = data[place : place + packed]
        out += block if token & 0xF0 == 0x10 else imagecodecs.lz4_decode(block, header=False, out=unpacked)
        place += packed
    return bytes(out)


def _zstd(data: bytes, size: int) -> bytes:
    import imagecodecs

    return bytes(imagecodecs.zstd_decode(data, out=size))


def _blosc(data: bytes, size: int) -> bytes:
    from numcodecs import blosc

    if len(data) < 16:
        raise ValueError("blosc data are truncated")
    unpacked, _, packed = struct.unpack_from("<iii", data, 4)
    if unpacked != size or packed > len(data):  # the decoder would read behind the data
        raise ValueError(f"blosc data claim that {packed} bytes unpack to {unpacked}")
    return bytes(blosc.decompress(data))


def _blosc_at_most(data: bytes | memoryview, _: int) -> bytes:
    from numcodecs import blosc

    return bytes(blosc.decompress(data))  # what it claims was compared with the limit


def _lz4_block(data: bytes | memoryview, _: int) -> bytes:
    from numcodecs import lz4

    return bytes(lz4.decompress(data))


def _zstd_at_most(data: bytes | memoryview, limit: int) -> bytes:
    import imagecodecs

    return bytes(imagecodecs.zstd_decode(data, out=limit))  # type: ignore[arg-type]  # takes any buffer


_STREAMS: dict[str, Any] = {
    "gzip": lambda: zlib.decompressobj(47),
    "zlib": lambda: zlib.decompressobj(47),
    "bzip2": bz2.BZ2Decompressor,
    "xz": lambda: lzma.LZMADecompressor(memlimit=_XZ_MEMORY),
}
_UNPACKERS = {"blosc": _blosc_at_most, "lz4 block": _lz4_block, "zstd": _zstd_at_most}
_DECODERS = {"gzip": _zlib, "zlib": _zlib, "bzip2": _bz2, "xz": _xz, "lz4": _lz4, "zstd": _zstd, "blosc": _blosc}
