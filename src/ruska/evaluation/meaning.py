"""What each number of a score means: a name, a unit and one plain line, for the terminal, the JSON and the docs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple


class Meaning(NamedTuple):
    """label, unit : as shown. text : what it says, which way is better, and what is usual where that can be said."""

    label: str
    unit: str
    text: str


_GREY = "grey levels"
MEANING = {
    "noise_after": Meaning(
        "noise after", _GREY,
        "estimated noise of the result; less is better, unless detail went with it",
    ),
    "noise_before": Meaning(
        "noise before", _GREY,
        "estimated noise of the image that was restored",
    ),
    "data_range": Meaning(
        "range", _GREY,
        "of the truth, darkest to brightest: what PSNR and SSIM are measured against",
    ),
    "psnr_db": Meaning(
        "PSNR", "dB",
        "squared error against that range; higher is better, +3 dB is half of it; 20 to 40 is usual",
    ),
    "ssim": Meaning(
        "SSIM", "",
        "likeness of local structure, contrast and brightness; 1 is equal, 0 is unlike",
    ),
    "psnr_db_fitted": Meaning(
        "PSNR, fitted", "dB",
        "the same with the best gain and offset; far higher: the grey scale is what differs",
    ),
    "ssim_fitted": Meaning(
        "SSIM, fitted", "",
        "the same with the best gain and offset",
    ),
    "gmsd": Meaning(
        "GMSD", "",
        "how visibly edges differ, fitted; 0 is equal, less is better; seldom above 0.3",
    ),
    "resolution_px": Meaning(
        "resolution", "pixels",
        "finest period in which result and truth agree (Fourier ring correlation 1/2); less is finer, 2 is the "
        "limit",
    ),
    "correlation": Meaning(
        "correlation", "",
        "of the grey levels; 1 is alike but for the scale, 0 unlike, negative inverted",
    ),
    "gain": Meaning(
        "gain", "",
        "truth = gain x result + offset fits best; 1: the contrast was kept, negative: inverted",
    ),
    "offset": Meaning(
        "offset", _GREY,
        "of that fit; 0: the brightness was kept",
    ),
    "residual_std": Meaning(
        "removed", _GREY,
        "standard deviation of what was removed; that of the noise where only noise went",
    ),
    "lag1_y": Meaning(
        "lag 1 along Y", "",
        "correlation of neighbours in what was removed; as in the noise, 0 where that is white",
    ),
    "lag1_x": Meaning(
        "lag 1 along X", "",
        "the same along X",
    ),
    "structure_correlation": Meaning(
        "structure removed", "",
        "what was removed against fine structure; 0 is best, negative: edges were blurred",
    ),
    "removed_ratio": Meaning(
        "removed / noise", "",
        "1: as much as there was noise; more: structure went too; less: noise is left",
    ),
    "spectrum_db": Meaning(
        "spectrum", "dB",
        "how far the spectrum of what was removed is from the noise's; 0 is best, 3 to 8 is usual",
    ),
    "snr_db": Meaning(
        "signal to noise", "dB",
        "r / (1 - r); higher is better, 0 is as much noise as signal, +3 is half the noise",
    ),
    "drift_px": Meaning(
        "drift", "pixels",
        "between compared frames; above 0.1 it lowers the figures",
    ),
}  # fmt: skip
"""By the names that scores have."""
OF_FRAMES = MEANING | {
    "resolution_px": Meaning(
        "resolution", "pixels",
        "finest period in which frames agree (Fourier ring correlation 1/7); less is finer, 2 is the limit",
    ),
    "correlation": Meaning(
        "correlation", "",
        "r of two frames: the share of their variance that both have; 1 is no noise",
    ),
}  # fmt: skip
"""Where a number of repeated frames is another."""


def meanings(facts: Mapping[str, Any], known: Mapping[str, Meaning] = MEANING) -> dict[str, str]:
    """The line of each number in ``facts``, nested ones too."""
    return {name: known[name].text for name in dict.fromkeys(_names(facts)) if name in known}


def _names(facts: Mapping[str, Any]) -> Iterator[str]:
    for name, value in facts.items():
        if value is not None:
            yield name
        if isinstance(value, Mapping):
            yield from _names(value)
