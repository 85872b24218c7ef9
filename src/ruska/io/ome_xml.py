"""The parts of OME-XML that Ruska uses: sizes, positions and channel names of one image; the rest is carried over."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np

from ruska.image import Quantity, canonical_unit, is_length
from ruska.image.grid import places
from ruska.io import ome_old

if TYPE_CHECKING:
    from ruska.image import Image

_UNITS = {"angstrom": "Å", "um": "µm", "us": "µs", "inch": "in"}
PIXEL_TYPES = {"int8", "int16", "int32", "uint8", "uint16", "uint32", "float32", "float64"}
"""Data types that OME can name, of those Ruska takes."""


_SCHEMA = ome_old.CURRENT
_TIMES = ("DeltaT", "DeltaTUnit", "ExposureTime", "ExposureTimeUnit")
_ACROSS = ("PositionX", "PositionXUnit", "PositionY", "PositionYUnit")
_DEPTH = ("PositionZ", "PositionZUnit")


def local_name(element: ElementTree.Element) -> str:
    """Tag of ``element`` without its namespace, which differs between versions of the schema."""
    return element.tag.rpartition("}")[2]


def parse(xml: str, index: int) -> tuple[dict[str, Quantity], dict[str, Quantity], tuple[str, ...]]:
    """Return spacing, origin and channel names of image number ``index`` in ``xml``; empty if not stated."""
    try:
        root = ElementTree.fromstring(xml)
    except ElementTree.ParseError:  # the pixels are worth having without it
        return {}, {}, ()
    images = [(image, pixels) for image in root.iter() for pixels in image if local_name(pixels) == "Pixels"]
    if not images:
        return {}, {}, ()
    image, pixels = images[index if index < len(images) else 0]
    spacing = {a: _size(pixels, f"PhysicalSize{a}", "µm") for a in "ZYX"} | {"T": _size(pixels, "TimeIncrement", "s")}
    if not any(spacing.values()):  # schemas before 2007
        spacing = {a: _size(image, f"PixelSize{a}", "µm") for a in "ZYX"} | {"T": _size(image, "TimeIncrement", "s")}
    plane = next((child for child in pixels if local_name(child) == "Plane"), None)
    origin = {} if plane is None else {a: _size(plane, f"Position{a}", "reference frame") for a in "ZYX"}
    names = tuple(child.get("Name") or "" for child in ome_old.channels_of(image, pixels))
    return (
        {a: size for a, size in spacing.items() if size is not None and size.value > 0},
        {a: size for a, size in origin.items() if size is not None},
        names if any(names) else (),
    )


def _size(element: ElementTree.Element, attribute: str, default_unit: str) -> Quantity | None:
    unit = canonical_unit(element.get(f"{attribute}Unit", default_unit))
    try:
        value = float(element.get(attribute, ""))
    except ValueError:
        return None
    return None if unit is None or not np.isfinite(value) else Quantity(value, unit)


def metadata(image: Image, lead: Mapping[str, int], axes: str) -> dict[str, Any]:
    """Metadata for tifffile's OME writer about ``image``.

    lead : the stack axes of the file (T, C, Z in its order) and their sizes.
    axes : the same with YX, as tifffile takes them.
    """
    record: dict[str, Any] = {"axes": axes, "Name": legal(image.name)}
    for axis in "ZYX":
        if axis in image.spacing and is_length(image.spacing[axis].unit):
            record[f"PhysicalSize{axis}"], record[f"PhysicalSize{axis}Unit"] = _written(image.spacing[axis])
    step = image.spacing.get("T")
    if step is not None and canonical_unit(step.unit) is not None and not is_length(step.unit):
        record["TimeIncrement"], record["TimeIncrementUnit"] = _written(step)
    if image.channel_names and lead.get("C") == len(image.channel_names):
        record["Channel"] = {"Name": [legal(name) for name in image.channel_names]}
    positions = _positions(image, lead)
    if positions:
        record["Plane"] = positions
    return record


def legal(text: str) -> str:
    """``text`` without the control characters that XML cannot hold."""
    return re.sub("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]", "?", text)


def _positions(image: Image, lead: Mapping[str, int]) -> dict[str, Any]:
    """PositionX, Y and Z of every plane, where the image has an origin."""
    known = {a: q for a, q in image.origin.items() if a in "ZYX" and is_length(q.unit)}
    if not any(q.value for q in known.values()):
        return {}
    planes = list(places(tuple(lead.values())))  # as many as planes that are written
    fields: dict[str, Any] = {}
    for axis, start in known.items():
        value, unit = _written(start)
        step = image.spacing.get(axis) if axis == "Z" and "Z" in lead else None
        per_slice = step.to(start.unit) if step is not None and is_length(step.unit) else 0.0
        at = list(lead).index("Z") if "Z" in lead else 0
        fields[f"Position{axis}"] = [value + (place[at] * per_slice if per_slice else 0.0) for place in planes]
        fields[f"Position{axis}Unit"] = [unit] * len(planes)
    return fields


def _written(size: Quantity) -> tuple[float, str]:
    unit = canonical_unit(size.unit) or size.unit
    return float(size.value), _UNITS.get(unit, unit)


_BEYOND = {
    "Instrument": "instrument", "Experimenter": "experimenter", "AcquisitionDate": "date",
    "Description": "description", "StructuredAnnotations": "annotations", "CustomAttributes": "annotations",
    "ROI": "regions of interest", "ObjectiveSettings": "instrument", "ImagingEnvironment": "environment",
    "StageLabel": "stage position", "DetectorSettings": "channels' settings",
    "LightSourceSettings": "channels' settings",
}  # fmt: skip
_OF_CHANNELS = frozenset(("ID", "Name", "SamplesPerPixel"))


def beyond_pixels(xml: str) -> list[str]:
    """What OME-XML says beyond sizes, positions and names, in words."""
    try:
        root = ElementTree.fromstring(xml)
    except (ElementTree.ParseError, ValueError):
        return ["text, which is damaged"] if xml.strip() else []
    if local_name(root) != "OME":
        return ["text, which is no OME-XML"]
    found = []
    for element in root.iter():
        tag = local_name(element)
        if tag in _BEYOND:
            found.append(_BEYOND[tag])
        elif tag == "Channel" and not set(element.attrib) <= _OF_CHANNELS:
            found.append("channels' settings")
        elif tag == "Plane" and any(word in element.attrib for word in _TIMES):
            found.append("times of planes")
        elif tag == "Pixels" and _positions_differ(element):
            found.append("positions of planes")
    return list(dict.fromkeys(found))


def _positions_differ(pixels: ElementTree.Element) -> bool:
    """Whether planes lie elsewhere than the position of the first and the slice distance say, as in a stage scan."""
    planes = [child for child in pixels if local_name(child) == "Plane"]
    across = {tuple(plane.get(word, "") for word in _ACROSS) for plane in planes}
    depth: dict[str, set[tuple[str, ...]]] = {}
    for plane in planes:
        depth.setdefault(plane.get("TheZ", "0"), set()).add(tuple(plane.get(word, "") for word in _DEPTH))
    return len(across) > 1 or any(len(found) > 1 for found in depth.values())


def merged(old: str, new: str) -> tuple[bytes, list[str]] | None:
    """``new``, which describes the pixels of a file just written, with all that ``old`` says beyond the pixels.

    ``old`` may be of any schema; see `ome_old` for those before 2016-06. Instrument, date, description, experimenter,
    annotations and whatever else stands beside the pixels is kept, and so are channels and the times of planes where
    there are as many of them, and positions of planes if those have the same size and place as well. Returns the text
    and what of ``old`` no longer applies; None if ``old`` is damaged, not OME-XML, or about several images.
    """
    try:
        was, now = ElementTree.fromstring(old), ElementTree.fromstring(new)
    except (ElementTree.ParseError, ValueError):
        return None
    if ome_old.is_old(was):
        made = ome_old.upgraded(was)
        if made is None:
            return None
        was = made
    images = was.findall(_path("Image"))
    before, after = was.find(_path("Image/Pixels")), now.find(_path("Image/Pixels"))
    if was.tag != _path("OME") or len(images) != 1 or before is None or after is None:
        return None
    lost = _keep_channels(before, after) + _keep_times(before, after) + _keep_positions(before, after)
    for word in ("ID", *(("SignificantBits",) if before.get("Type") == after.get("Type") else ())):
        if word in before.attrib:
            after.set(word, before.attrib[word])
    place = list(images[0]).index(before)
    images[0][place] = after
    if not _same_sizes(before, after, "XYZCT"):
        lost += _without_regions(was, images[0])
    for word in ("UUID", "Creator"):
        was.attrib.pop(word, None)
        if word in now.attrib:
            was.set(word, now.attrib[word])
    ElementTree.register_namespace("", _SCHEMA)
    return ElementTree.tostring(was, encoding="utf-8", xml_declaration=True), lost


def _path(names: str) -> str:
    return "/".join(f"{{{_SCHEMA}}}{name}" for name in names.split("/"))


def _same_sizes(before: ElementTree.Element, after: ElementTree.Element, axes: str) -> bool:
    return all(before.get(f"Size{a}", "1") == after.get(f"Size{a}", "1") for a in axes)


def _keep_channels(before: ElementTree.Element, after: ElementTree.Element) -> list[str]:
    """Replace the channels of ``after`` by those of ``before``, but keep their names."""
    old, new = (pixels.findall(_path("Channel")) for pixels in (before, after))
    if len(old) != len(new):
        return ["channels"] if old else []
    for place, (was, now) in enumerate(zip(old, new, strict=True)):
        was.attrib |= {word: now.attrib[word] for word in ("SamplesPerPixel", "Name") if word in now.attrib}
        after.remove(now)
        after.insert(place, was)
    return []


def _keep_times(before: ElementTree.Element, after: ElementTree.Element) -> list[str]:
    """Copy the times and exposures of planes from ``before`` to ``after``."""
    if not any(word in plane.attrib for plane in before.findall(_path("Plane")) for word in _TIMES):
        return []
    if not _same_sizes(before, after, "ZCT"):
        return ["times of planes"]
    _copy_of_planes(before, after, _TIMES)
    return []


def _keep_positions(before: ElementTree.Element, after: ElementTree.Element) -> list[str]:
    """Give the planes of ``after`` the positions that ``before`` has of them, where they differ from plane to plane."""
    if not _positions_differ(before):
        return []
    same_place = _first_position(before) == _first_position(after)
    if not same_place or not _same_sizes(before, after, "XYZCT"):
        return ["positions of planes"]
    _copy_of_planes(before, after, (*_ACROSS, *_DEPTH))
    return []


def _first_position(pixels: ElementTree.Element) -> tuple[float, ...]:
    """Position of the first plane in nm; 0 where it is not said."""
    plane = pixels.find(_path("Plane"))
    found = [None if plane is None else _size(plane, f"Position{a}", "reference frame") for a in "XYZ"]
    return tuple(round(q.to("nm"), 3) if q is not None and is_length(q.unit) else 0.0 for q in found)


def _copy_of_planes(before: ElementTree.Element, after: ElementTree.Element, words: tuple[str, ...]) -> None:
    """Give each plane of ``after`` the attributes ``words`` of that of ``before``; planes that it lacks are added."""
    planes = {_plane_number(plane): plane for plane in after.findall(_path("Plane"))}
    for plane in before.findall(_path("Plane")):
        found = {word: plane.attrib[word] for word in words if word in plane.attrib}
        number = _plane_number(plane)
        if found and number not in planes:
            which = dict(zip(("TheZ", "TheC", "TheT"), number, strict=True))
            planes[number] = ElementTree.SubElement(after, _path("Plane"), which)
        if found:
            planes[number].attrib |= found


def _plane_number(plane: ElementTree.Element) -> tuple[str, ...]:
    return tuple(plane.get(f"The{a}", "0") for a in "ZCT")


def _without_regions(root: ElementTree.Element, image: ElementTree.Element) -> list[str]:
    """Remove the regions of interest, which no longer fit when the pixel grid changes."""
    found = 0
    for parent, name in ((image, "ROIRef"), (root, "ROI")):
        for element in parent.findall(_path(name)):
            parent.remove(element)
            found += 1
    return ["regions of interest"] if found else []
