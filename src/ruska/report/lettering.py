"""Titles of figures: any file name, in letters that the fonts here have."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING
from unicodedata import east_asian_width

from ruska.plain_text import one_line

if TYPE_CHECKING:
    from matplotlib.figure import FigureBase

_OWN = "DejaVu Sans"  # comes with matplotlib
_EAST_ASIAN = (
    "Noto Sans CJK JP", "Noto Sans CJK SC", "Noto Sans JP", "Source Han Sans", "Microsoft YaHei", "Yu Gothic", "Meiryo",
    "MS Gothic", "Malgun Gothic", "SimSun", "SimHei", "Hiragino Sans", "Hiragino Sans GB", "PingFang HK", "Heiti TC",
    "Apple SD Gothic Neo", "Arial Unicode MS", "WenQuanYi Zen Hei", "WenQuanYi Micro Hei", "Droid Sans Fallback",
    "IPAGothic", "TakaoGothic", "NanumGothic", "Unifont",
)  # fmt: skip
_MISSING = "□"
_LONGEST = 110


def set_title(figure: FigureBase, name: str, *lines: str) -> None:
    """Write ``name``, shortened where it is long, and ``lines`` above a figure.

    Letters that no font here has become boxes: the page, which has the name too, is read where there are fonts. Signs
    that cannot be seen are escapes, and ``$`` is no mathematics.
    """
    text = "\n".join(drawable(line) for line in (_shortened(one_line(name)), *map(one_line, lines)))
    figure.suptitle(text, fontsize=13, fontfamily=list(families()), parse_math=False)


def _shortened(name: str) -> str:
    """Start and end of a name that would outgrow the page; letters of East Asia are twice as wide as others."""
    room = _LONGEST // (2 if any(east_asian_width(letter) in "WF" for letter in name) else 1)
    return name if len(name) <= room else f"{name[: room * 4 // 7]}…{name[-room * 2 // 5 :]}"


def drawable(text: str) -> str:
    """``text`` with a box for each letter that cannot be drawn, and for control characters."""
    known = _letters()
    return "".join(letter if ord(letter) in known else _MISSING for letter in text)


@cache
def families() -> tuple[str, ...]:
    """Fonts that are here and that titles are written in, in this order for each letter."""
    from matplotlib.font_manager import fontManager

    here = {entry.name for entry in fontManager.ttflist}
    return (_OWN, *(name for name in _EAST_ASIAN if name in here))


@cache
def _letters() -> frozenset[int]:
    from matplotlib.font_manager import FontProperties, findfont, get_font

    fonts = (get_font(findfont(FontProperties(family=family))) for family in families())
    return frozenset(code for font in fonts for code in font.get_charmap())
