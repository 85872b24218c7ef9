"""The dtype of the output: that of the input, or float32 where rounding to grey levels would degrade the result."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ruska.io.formats import format_of_name
from ruska.methods.looking import typical_noise

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ruska.image import Image
    from ruska.pipeline.parts import Channel

_ROUNDED = 12**-0.5  # standard deviation of what rounding adds, in grey levels
_LEFT = 0.4  # of the noise, that is left where there is little
_MUCH, _LESS_LEFT = 0.1, 0.2  # share of the range from which noise is much, and what is left of that; measured 0.17
_COSTS = 0.5  # rounding over the noise left, from which it shows: a tenth of the error more
_FEW = 64  # grey levels, of the range: rounded to more, steps are 47 dB below it and not seen


def written_dtype(
    asked: str, image: Image, channels: Sequence[Channel], output: str | None = None
) -> tuple[np.dtype[Any], tuple[str, ...]]:
    """The dtype for ``asked`` (``auto``, ``same``, ``float32``), and what to tell the user.

    output : the name of the file, if any; a picture cannot hold float32.

    With ``auto``, integers are written as float32 where a channel spans few grey levels and its noise is weaker than
    about 1.4 of them (2.9 where the noise is more than a tenth of the range): rounding the result would cost more than
    a tenth of the gain.
    """
    if asked == "float32":
        return np.dtype(np.float32), ()
    if asked == "same" or image.dtype.kind not in "iu" or image.meaning == "labels":
        return image.dtype, ()
    why = next(filter(None, (_lost(channel, several=len(channels) > 1) for channel in channels)), None)
    if why is None:
        return image.dtype, ()
    known = None if output is None else format_of_name(Path(output))
    if known is not None and known.name == "picture":
        return image.dtype, (f"rounding to {image.dtype} loses part of the restoration ({why}), and a picture cannot "
                             "hold float32: write .tif instead",)  # fmt: skip
    return np.dtype(np.float32), (f"written as float32, not {image.dtype}: rounding to grey levels would lose part of "
                                  f"the restoration ({why}); pass --dtype same to round anyway",)  # fmt: skip


def _lost(channel: Channel, *, several: bool) -> str | None:
    """Why rounding matters in a channel; None where it does not."""
    levels = channel.normalisation.scale
    noise = typical_noise(channel.source) if few_levels(levels) else None
    if noise is None or not rounding_costs(noise.std * levels, levels):
        return None
    where = f"channel {channel.name}" if several else "the image"
    return f"{where} spans {levels:.3g} grey levels, its noise is {noise.std * levels:.2g}"


def few_levels(levels: float) -> bool:
    """Whether a range of this many grey levels shows the steps between them."""
    return levels < _FEW


def rounding_costs(noise_std: float, levels: float = np.inf) -> bool:
    """Whether rounding to grey levels matters beside the noise that a method leaves.

    noise_std, levels : the noise and the range, in grey levels. Of noise that is a large part of the range, a method
    removes more, as it looks further around each pixel.
    """
    left = _LESS_LEFT if noise_std > _MUCH * levels else _LEFT
    return _COSTS * left * noise_std < _ROUNDED
