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
        "estimated noise left in the result; lower is better, unless detail was lost too",
    ),
    "noise_before": Meaning(
        "noise before", _GREY,
        "estimated noise in the input",
    ),
    "data_range": Meaning(
        "range", _GREY,
        "darkest to brightest grey level of the truth; PSNR and SSIM are relative to it",
    ),
    "psnr_db": Meaning(
        "PSNR", "dB",
        "squared error relative to that range; higher is better, +3 dB halves the error; usually 20 to 40",
    ),
    "ssim": Meaning(
        "SSIM", "",
        "similarity of local structure, contrast and brightness; 1 is identical, 0 unrelated",
    ),
    "psnr_db_fitted": Meaning(
        "PSNR, fitted", "dB",
        "PSNR after the best gain and offset; if far higher, mainly the grey scale differs",
    ),
    "ssim_fitted": Meaning(
        "SSIM, fitted", "",
        "SSIM after the best gain and offset",
    ),
    "gmsd": Meaning(
        "GMSD", "",
        "how visibly edges differ, after that fit; lower is better, 0 is identical; rarely above 0.3",
    ),
    "resolution_px": Meaning(
        "resolution", "pixels",
        "finest period at which result and truth agree (Fourier ring correlation 1/2); lower is finer, 2 is the "
        "limit",
    ),
    "correlation": Meaning(
        "correlation", "",
        "between the grey levels; 1: equal up to gain and offset, 0: unrelated, negative: inverted",
    ),
    "gain": Meaning(
        "gain", "",
        "best fit of truth = gain x result + offset; 1: contrast kept, negative: inverted",
    ),
    "offset": Meaning(
        "offset", _GREY,
        "offset of that fit; 0: brightness kept",
    ),
    "residual_std": Meaning(
        "removed", _GREY,
        "standard deviation of what was removed; equals that of the noise if only noise was removed",
    ),
    "lag1_y": Meaning(
        "lag 1 along Y", "",
        "correlation of neighbouring pixels in what was removed; should match the noise, 0 if it is white",
    ),
    "lag1_x": Meaning(
        "lag 1 along X", "",
        "the same along X",
    ),
    "structure_correlation": Meaning(
        "structure removed", "",
        "correlation of what was removed with fine structure; 0 is best, negative: edges were blurred",
    ),
    "removed_ratio": Meaning(
        "removed / noise", "",
        "1: as much as there was noise; above: structure was removed too; below: noise is left",
    ),
    "spectrum_db": Meaning(
        "spectrum", "dB",
        "difference between the spectra of what was removed and of the noise; 0 is best, usually 3 to 8",
    ),
    "snr_db": Meaning(
        "signal to noise", "dB",
        "r / (1 - r) in dB; higher is better, 0: as much noise as signal, +3 halves the noise",
    ),
    "drift_px": Meaning(
        "drift", "pixels",
        "shift between the compared frames; above 0.1 it lowers the other numbers",
    ),
}  # fmt: skip
"""By the names that scores have."""
OF_FRAMES = MEANING | {
    "resolution_px": Meaning(
        "resolution", "pixels",
        "finest period at which the frames agree (Fourier ring correlation 1/7); lower is finer, 2 is the limit",
    ),
    "correlation": Meaning(
        "correlation", "",
        "r between two frames: the share of their variance that they have in common; 1: no noise",
    ),
}  # fmt: skip
"""For repeated frames, where some numbers mean something else."""


def meanings(facts: Mapping[str, Any], known: Mapping[str, Meaning] = MEANING) -> dict[str, str]:
    """The line of each number in ``facts``, nested ones too."""
    return {name: known[name].text for name in dict.fromkeys(_names(facts)) if name in known}


def _names(facts: Mapping[str, Any]) -> Iterator[str]:
    for name, value in facts.items():
        if value is not None:
            yield name
        if isinstance(value, Mapping):
            yield from _names(value)
