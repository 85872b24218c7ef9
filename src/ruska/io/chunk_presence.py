"""Whether an N5 or precomputed array has any chunks: missing ones would be read as zeros.

`zarr_presence` does the same for Zarr.
"""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING

from ruska.errors import InputError
from ruska.image.grid import place_of
from ruska.image.held import MOST_LOOKED_AT

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ruska.io.chunked import ChunkedPixels

_ASKED = 128  # chunks that a server, which lists none, is asked for
_AT_ONCE = 16


def check_presence(pixels: ChunkedPixels, what: str) -> tuple[str, ...]:
    """InputError when no chunk of ``what`` (an array, in words) is there.

    On a disk, names are listed until one is found. A server is asked for the chunk in the middle, and if that is
    missing for up to `_ASKED` others, spread evenly; a note says so when none of them is there but there are
    more.
    """
    grid = [-(-n // c) for n, c in zip(pixels.shape, pixels.chunks, strict=True)]
    names = pixels.stored_places()
    if names is not None:
        inside = (p is not None and all(i < n for i, n in zip(p, grid, strict=True)) for p in names)
        if any(islice(inside, MOST_LOOKED_AT)):
            return ()
    else:
        notes = asked_of_a_server(grid, pixels.has_chunk)
        if notes is not None:
            return notes
    shape = " x ".join(map(str, pixels.shape))
    raise InputError(pixels.address, f"has none of the chunks of {what} ({shape}), which would be read as zeros",
                     "Copy the whole store again, with all its folders and files.")  # fmt: skip


def asked_of_a_server(grid: Sequence[int], has_chunk: Callable[[tuple[int, ...]], bool]) -> tuple[str, ...] | None:
    """Empty if a chunk exists; a note if none of those requested exists but there are more; else None."""
    chunks = math.prod(grid)
    count = min(chunks, _ASKED)
    asked = [place_of((2 * i + 1) * chunks // (2 * count), grid) for i in range(count)]
    if has_chunk(asked[count // 2]) or _any_there(has_chunk, asked):
        return ()
    if chunks == count:
        return None
    return (f"none of the {count} chunks requested from the server (of {chunks}) is there: missing chunks are "
            "read as zeros",)  # fmt: skip


def _any_there(has_chunk: Callable[[tuple[int, ...]], bool], asked: list[tuple[int, ...]]) -> bool:
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        waiting = [pool.submit(has_chunk, place) for place in asked]
        found = any(one.result() for one in waiting)
        pool.shutdown(cancel_futures=True)
    return found
