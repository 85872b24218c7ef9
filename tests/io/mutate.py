"""Seeded damage: files cut short, bytes and lengths overwritten, parts moved."""

from __future__ import annotations

import random

_WORDS = (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\x80\0\0\0", b"\0\0\0\x80",
          b"\0\0\0\1", b"\1\0\0\0", b"\xff\xff\xff\xff\xff\xff\xff\x7f", b"\x7f" + b"\xff" * 7,
          b"\xff" * 8)  # fmt: skip
_TEXT_WORDS = (b"-1", b"0", b"1e99", b"99999999999999999999", b"null", b"[]", b"{}", b'"../../x"', b"NaN", b"0.5", b"1")


def mutated(data: bytes, seed: int, *, text: bool = False) -> bytes:
    """``data`` with one to four damages, most of them in its first 4 KB, where headers are."""
    rng = random.Random(seed)
    out = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        reach = len(out) if rng.random() < 0.3 else min(len(out), 4096)
        if reach < 2:
            break
        at = rng.randrange(reach)
        kind = rng.randrange(5)
        if kind == 0:
            del out[max(1, at) :]
        elif kind == 1:
            out[at] = rng.randrange(256)
        elif kind == 2:
            word = rng.choice(_TEXT_WORDS if text else _WORDS)
            end = at + (rng.randrange(1, 6) if text else len(word))
            out[at:end] = word
        elif kind == 3:
            out[at : at + rng.randrange(1, 40)] = b""
        else:
            other = rng.randrange(reach)
            out[at : at + 16] = out[other : other + 16]
    return bytes(out)
