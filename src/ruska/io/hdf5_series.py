"""Imaris and BigDataViewer: images in many HDF5 datasets, one for each time, channel and level of resolution.

Both say voxel size, axes and the names of channels elsewhere than at the dataset: Imaris in groups of text, of which
each attribute is an array of single letters; BigDataViewer in an XML file beside. Imaris pads datasets to whole chunks.
Sources: https://imaris.oxinst.com/support/imaris-file-format ; https://imagej.net/plugins/bdv (file formats).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise, product
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from ruska.image import Quantity
from ruska.io.hdf5_layouts import Facts, attribute
from ruska.io.hdf5_links import extent, follow, links
from ruska.io.stated_sizes import length_unit, says_something

_IMARIS = re.compile(r"/DataSet/ResolutionLevel (\d{1,4})/TimePoint (\d{1,7})/Channel (\d{1,5})/Data")
_BDV = re.compile(r"/t(\d{5,7})/s(\d{2,5})/(\d{1,3})/cells")
_IMARIS_GROUP = re.compile(r"(TimePoint|Channel) (\d{1,7})")
_INFO, _FINEST = "DataSetInfo/Image", "DataSet/ResolutionLevel 0"
_LONGEST_XML = 64 << 20
_MOST_TEXTS = 64


@dataclass(frozen=True)
class Series:
    """An image in several datasets. ``names`` : theirs, in raster order of ``lead``, the axes T and C and sizes."""

    lead: tuple[tuple[str, int], ...]
    names: tuple[str, ...]
    facts: Facts
    channel_names: tuple[str, ...] = ()


def series_of(path: Path, file: Any) -> Series | None:
    """The whole image at full resolution, where the file (or the XML beside) describes one; else None."""
    return _imaris_series(path, file) or _bdv_series(path, file)


def facts_of(path: Path, dataset: Any) -> Facts | None:
    """The metadata of one dataset of these programs; None for other datasets."""
    if match := _IMARIS.fullmatch(dataset.name):
        return _imaris_facts(path, dataset.file, dataset, int(match[3]))
    if match := _BDV.fullmatch(dataset.name):
        return _bdv_facts(path, dataset, int(match[2]), int(match[3]), _described(path))
    return None


def is_finest(name: str) -> bool:
    """Whether a dataset is at full resolution in a file of these programs."""
    imaris, bdv = _IMARIS.fullmatch(name), _BDV.fullmatch(name)
    return int((imaris and imaris[1]) or (bdv and bdv[3]) or 1) == 0


# Imaris


def _letters(item: Any, name: str) -> str:
    """A text that is stored as an array of letters; empty where there is none."""
    value = attribute(item, name)
    if isinstance(value, np.ndarray):
        value = b"".join(bytes(v) for v in value.ravel().tolist()) if value.dtype.kind == "S" else ""
    return value.decode("utf-8", "replace").strip("\0 ") if isinstance(value, bytes) else str(value or "")


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _imaris_facts(path: Path, file: Any, dataset: Any, channel: int) -> Facts:
    """Real size (without the padding), voxel size and position of the first voxel."""
    facts = Facts(axes="ZYX")
    group, stored = dataset.parent, extent(dataset)
    said = tuple(_number(_letters(group, f"ImageSize{a}")) for a in "ZYX")
    if len(stored) == 3 and all(0 < n <= s and n == int(n) for n, s in zip(said, stored, strict=True)):
        facts.size = (int(said[0]), int(said[1]), int(said[2]))
    info = follow(path, file, _INFO)
    if info is None:
        return facts
    unit = length_unit(_letters(info, "Unit") or "um")
    for i, axis in enumerate("XYZ"):
        low, high = (_number(_letters(info, f"Ext{end}{i}")) for end in ("Min", "Max"))
        step = (high - low) / (facts.size or stored)["ZYX".index(axis)]
        if 0 < step < math.inf:
            facts.spacing[axis] = Quantity(float(f"{step:.9g}"), unit)
            start = low + step / 2
            if abs(start) > 1e-9 * step:
                facts.origin[axis] = Quantity(float(f"{start:.9g}"), unit)
    if not says_something(facts.spacing):
        facts.spacing, facts.origin = {}, {}
    facts.header["imaris"] = _texts(info) | _channel_texts(path, file, channel)
    return facts


def _texts(group: Any) -> dict[str, str]:
    """The texts of a group, as far as they are short."""
    names = list(group.attrs.keys())[:_MOST_TEXTS]
    return {name: text for name in names if 0 < len(text := _letters(group, name)) < 1000}


def _channel_texts(path: Path, file: Any, channel: int) -> dict[str, Any]:
    about = follow(path, file, f"DataSetInfo/Channel {channel}")
    return {} if about is None else {f"Channel {channel}": _texts(about)}


def _imaris_series(path: Path, file: Any) -> Series | None:
    level = follow(path, file, _FINEST)
    if level is None or follow(path, file, _INFO) is None:
        return None
    times = _numbered(path, level, "TimePoint")
    channels = _numbered(path, follow(path, level, f"{level.name}/TimePoint {times[0]}"), "Channel") if times else []
    names = tuple(f"/{_FINEST}/TimePoint {t}/Channel {c}/Data" for t, c in product(times, channels))
    first = follow(path, file, names[0]) if names else None
    if first is None:
        return None
    facts = _imaris_facts(path, file, first, channels[0])
    for c in channels[1:]:
        facts.header["imaris"] |= _channel_texts(path, file, c)
    step = _imaris_interval(path, file, len(times))
    if step is not None:
        facts.spacing["T"] = step
    titles = tuple(facts.header["imaris"].get(f"Channel {c}", {}).get("Name", "") for c in channels)
    return Series((("T", len(times)), ("C", len(channels))), names, facts, titles if all(titles) else ())


def _numbered(path: Path, group: Any, word: str) -> list[int]:
    """Numbers of the groups named ``word`` and a number."""
    matches = (_IMARIS_GROUP.fullmatch(name.decode("utf-8", "replace")) for name, _, _ in links(path, group))
    return sorted(int(m[2]) for m in matches if m is not None and m[1] == word)


def _imaris_interval(path: Path, file: Any, count: int) -> Quantity | None:
    """Time from one point to the next, where all are the same to a hundredth."""
    info = follow(path, file, "DataSetInfo/TimeInfo")
    if info is None or count < 2:
        return None
    try:
        times = [datetime.fromisoformat(_letters(info, f"TimePoint{i + 1}")) for i in range(count)]
    except ValueError:
        return None
    steps = [(b - a).total_seconds() for a, b in pairwise(times)]
    mean = sum(steps) / len(steps)
    return Quantity(mean, "s") if mean > 0 and max(abs(s - mean) for s in steps) <= mean / 100 else None


# BigDataViewer


@dataclass(frozen=True)
class _Setup:
    """A view setup of the XML. ``place`` : its angle, tile and illumination, which make another image of it."""

    size: dict[str, Quantity]
    channel: str
    name: str
    place: tuple[str, ...]


def _described(path: Path) -> dict[int, _Setup]:
    """The view setups in the XML file beside ``path``; empty where there is none that can be read."""
    beside = path.with_suffix(".xml")
    try:
        if not beside.is_file() or beside.stat().st_size > _LONGEST_XML:
            return {}
        root = ElementTree.fromstring(beside.read_bytes())
        return {int(setup.findtext("id", "")): _setup(root, setup) for setup in root.iter("ViewSetup")}
    except (OSError, ValueError, ElementTree.ParseError):
        return {}


def _setup(root: Any, setup: Any) -> _Setup:
    voxel = setup.find("voxelSize")
    sizes = {}
    if voxel is not None:
        unit = length_unit(voxel.findtext("unit", "").strip())
        numbers = [_number(text) for text in voxel.findtext("size", "").split()]
        sizes = {a: Quantity(v, unit) for a, v in zip("XYZ", numbers, strict=False) if 0 < v < math.inf}
    channel, *place = (setup.findtext(f"attributes/{tag}", "") for tag in ("channel", "angle", "tile", "illumination"))
    names = [c.findtext("name", "") for c in root.iter("Channel") if c.findtext("id", "") == channel]
    name = (names or [""])[0] or setup.findtext("name", "")
    return _Setup(sizes if says_something(sizes) else {}, channel, name.strip(), tuple(place))


def _bdv_facts(path: Path, dataset: Any, setup: int, level: int, described: dict[int, _Setup]) -> Facts:
    """Axes and the voxel size of a level. Values are unsigned, though the library of Java wrote them as signed."""
    facts = Facts(axes="ZYX", unsigned=dataset.dtype.kind == "i")
    table = follow(path, dataset.file, f"s{setup:02}/resolutions")
    factors = [1.0, 1.0, 1.0]
    if table is not None and len(extent(table)) == 2 and extent(table)[1] == 3 and level < extent(table)[0]:
        factors = [float(v) for v in table[level]] if extent(table)[0] < 100 else factors
    if setup in described:
        by = dict(zip("XYZ", factors, strict=True))
        facts.spacing = {a: Quantity(q.value * by[a], q.unit) for a, q in described[setup].size.items() if by[a] > 0}
        start = {a: (f - 1) / 2 * described[setup].size[a].value for a, f in by.items() if a in described[setup].size}
        facts.origin = {a: Quantity(v, facts.spacing[a].unit) for a, v in start.items() if v and a in facts.spacing}
    if facts.unsigned:
        facts.notes.append("BigDataViewer's values: read as unsigned")
    return facts


def _bdv_series(path: Path, file: Any) -> Series | None:
    """One image of all times and channels, where setups differ in nothing else, as the XML says."""
    described = _described(path)
    places, sizes = {s.place for s in described.values()}, {str(s.size) for s in described.values()}
    if (len(places), len(sizes)) != (1, 1):
        return None
    setups, times = sorted(described), sorted(_times(path, file))
    if len({described[s].channel for s in setups}) < len(setups):
        return None
    names = tuple(f"/t{t:05}/s{s:02}/0/cells" for t, s in product(times, setups))
    first = follow(path, file, names[0]) if names else None
    if first is None:
        return None
    facts = _bdv_facts(path, first, setups[0], 0, described)
    titles = tuple(described[s].name for s in setups)
    named = len(setups) > 1 and all(titles)
    return Series((("T", len(times)), ("C", len(setups))), names, facts, titles if named else ())


def _times(path: Path, file: Any) -> Iterator[int]:
    for name, _, _ in links(path, file["/"]):
        match = re.fullmatch(rb"t(\d{5,7})", name)
        if match is not None:
            yield int(match[1])
