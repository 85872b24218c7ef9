"""A contact sheet: every plane of a corpus as a small picture with what is known of it, and what was left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import numpy as np

from ruska.plain_text import one_line

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image as Picture
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont, ImageFont

    Font = ImageFont | FreeTypeFont

EDGE = 112  # pixels of a tile's picture
_LINE, _LINES = 12, 3  # pixels of a line of text, and lines below a picture
_MARGIN = 6
_COLUMNS = 16
_MOST = 2000  # tiles of one sheet
_LETTERS = 19  # that fit under a picture
_PAPER, _INK, _WARNING = (250, 250, 250), (20, 20, 20), (170, 20, 20)


@dataclass(frozen=True)
class Tile:
    """picture : (Y, X) uint8 of `small`. lines : up to three, short, below it. kept : False for what was left out."""

    picture: NDArray[np.uint8]
    lines: Sequence[str]
    kept: bool = True


def small(plane: NDArray[np.floating]) -> NDArray[np.uint8]:
    """``plane`` (Y, X) as a grey picture of at most 112 pixels each way, its darkest and brightest half percent cut."""
    step = max(1, *(-(-n // EDGE) for n in plane.shape))
    height, width = (n // step * step for n in plane.shape)
    cells = plane[:height, :width].astype(np.float32).reshape(height // step, step, width // step, step).mean((1, 3))
    cells = np.nan_to_num(cells, posinf=0, neginf=0)
    low, high = np.percentile(cells, [0.5, 99.5])
    return (255 * np.clip((cells - low) / max(high - low, 1e-6), 0, 1)).astype(np.uint8)


def tile_of(values: NDArray[np.floating], facts: Mapping[str, Any]) -> Tile:
    """The tile of a plane that was kept: where it is from, its scale and its noise (``facts`` as in the manifest)."""
    cut = [f"without {kind}" for kind in facts.get("cut", {})]
    return Tile(small(values), (facts["source"], f"1/{facts['level']}, noise {facts['noise']:.3f}", *cut))


def tile_left_out(plane: NDArray[np.floating], source: str, reason: str) -> Tile:
    """The tile of a plane that was not kept."""
    return Tile(small(plane), (source, *wrap(reason, _LETTERS)), kept=False)


def write_sheet(path: Path, tiles: Sequence[Tile], title: str) -> None:
    """Write ``tiles``, those that were kept first, as a PNG; more than 2000 are thinned out, and the title says so."""
    from PIL import Image, ImageDraw, ImageFont

    kept, left_out = _thinned([t for t in tiles if t.kept]), _thinned([t for t in tiles if not t.kept])
    shown = len(kept) + len(left_out)
    if shown < len(tiles):
        title += f" ({shown} of {len(tiles)} pictures)"
    high = EDGE + _LINES * _LINE + _MARGIN
    rows = [-(-len(part) // _COLUMNS) for part in (kept, left_out)]
    height = 2 * _MARGIN + _LINE + sum(rows) * high + (2 * _LINE if left_out else 0)
    sheet = Image.new("RGB", (_COLUMNS * (EDGE + _MARGIN) + _MARGIN, height), _PAPER)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default()
    pen.text((_MARGIN, 2), one_line(title), fill=_INK, font=font)
    top = _MARGIN + _LINE
    _place(sheet, pen, font, kept, top)
    if left_out:
        top += rows[0] * high
        pen.text((_MARGIN, top + _LINE // 2), "Left out:", fill=_WARNING, font=font)
        _place(sheet, pen, font, left_out, top + 2 * _LINE)
    sheet.save(path, optimize=True)


def _place(sheet: Picture, pen: ImageDraw, font: Font, tiles: Sequence[Tile], top: int) -> None:
    from PIL import Image

    for index, tile in enumerate(tiles):
        x = _MARGIN + index % _COLUMNS * (EDGE + _MARGIN)
        y = top + index // _COLUMNS * (EDGE + _LINES * _LINE + _MARGIN)
        sheet.paste(Image.fromarray(tile.picture).convert("RGB"), (x, y + EDGE - len(tile.picture)))
        for number, line in enumerate(tile.lines[:_LINES]):
            pen.text((x, y + EDGE + number * _LINE), _shortened(line), fill=_INK if tile.kept else _WARNING, font=font)


def _shortened(line: str) -> str:
    """The middle is left out: names of planes differ at their ends."""
    line = one_line(line)
    return line if len(line) <= _LETTERS else f"{line[:8]}…{line[9 - _LETTERS :]}"


def _thinned(tiles: Sequence[Tile]) -> list[Tile]:
    """At most 2000 of them, evenly spread."""
    if len(tiles) <= _MOST:
        return list(tiles)
    return [tiles[i] for i in np.linspace(0, len(tiles) - 1, _MOST).astype(int)]
