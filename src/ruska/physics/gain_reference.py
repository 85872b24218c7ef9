"""A gain reference from frames of an even beam, for `image.corrected`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ruska.errors import GeometryError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LEAST_RESPONSE = 0.1  # of the median response, below which a pixel holds more noise than signal once amplified


def gain_reference(frames: NDArray[Any], dark: NDArray[Any] | None = None) -> NDArray[np.float32]:
    """Multiplicative gain reference: the mean response over that of each pixel.

    Parameters
    ----------
    frames : (N, Y, X) or one frame (Y, X), any real dtype, of an evenly lit detector without a specimen. The noise of
        the reference is that of their mean: its relative variance is 1 / (electrons per pixel in all frames).
    dark : (Y, X), grey levels without a beam, subtracted first.

    Returns float32 (Y, X) that multiplied with the frames leaves their mean grey level; NaN for pixels that respond
    with less than a tenth of the median, or that are finite in no frame. What is uneven in the beam is taken for the
    detector. Raises GeometryError when shapes do not fit or nothing is brighter than the dark reference.
    """
    if frames.ndim not in (2, 3) or 0 in frames.shape:
        raise GeometryError("gain reference", f"got frames of shape {frames.shape}, expected (N, Y, X) or (Y, X)")
    stack = frames if frames.ndim == 3 else frames[None]
    if dark is not None and dark.shape != stack.shape[1:]:
        raise GeometryError("gain reference", f"the dark reference is {dark.shape}, the frames are {stack.shape[1:]}",
                            "Crop both to the part they share.")  # fmt: skip
    total, count = np.zeros(stack.shape[1:]), np.zeros(stack.shape[1:])
    for frame in stack:  # one at a time: movies are large
        values = np.asarray(frame, dtype=np.float64)
        finite = np.isfinite(values)
        total += np.where(finite, values, 0)
        count += finite
    response = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    if dark is not None:
        response = response - np.asarray(dark, dtype=np.float64)
    finite = np.isfinite(response)
    middle = np.median(response[finite]) if finite.any() else 0.0
    if not middle > 0:
        raise GeometryError("gain reference", "the frames are not brighter than the dark reference",
                            "Check that the frames were taken with the beam on.")  # fmt: skip
    usable = finite & (np.where(finite, response, 0) > _LEAST_RESPONSE * middle)
    gain = np.full(response.shape, np.nan, dtype=np.float32)
    gain[usable] = response[usable].mean() / response[usable]
    return gain
