"""OME-XML of schemas before 2016-06 (2003 to 2015) as XML of 2016-06, to be kept in a new OME-TIFF.

Elements that all schemas share are moved to where 2016-06 has them: date, description, microscope, objectives,
channels, times of planes. Elements were renamed, moved and restricted from schema to schema in hundreds of places, so
all of the old text goes along, too, word for word, as an annotation: nothing is lost, and the whole is valid.
Source: the lists of changes in the OME Data Model documentation, releases 2003 to June 2016.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from copy import deepcopy
from math import isfinite
from xml.etree import ElementTree

CURRENT = "http://www.openmicroscopy.org/Schemas/OME/2016-06"
_ANY = re.compile(r"^\{(http://www\.openmicroscopy\.org/(?:XML)?[Ss]chemas/[^}]*)\}")
_NAMESPACE = "ruska.io/original-ome-xml"
_PIXELS_OF_FILES = ("TiffData", "BinData")  # where the planes of the old file are
_CHANNEL_TEXTS = {"Fluor": "Fluor", "NDFilter": "NDFilter"}
_CHANNEL_NUMBERS = {
    "EmissionWavelength": "EmissionWavelength", "ExcitationWavelength": "ExcitationWavelength",
    "EmWave": "EmissionWavelength", "ExWave": "ExcitationWavelength", "PinholeSize": "PinholeSize",
}  # fmt: skip
_OBJECTIVE_NUMBERS = ("LensNA", "NominalMagnification", "CalibratedMagnification", "WorkingDistance")
_MADE_BY = ("Manufacturer", "Model", "SerialNumber")
_DATE = re.compile(r"\s*(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d(?:\.\d+)?)(Z|[+-]\d\d:\d\d)?\s*")


def is_old(root: ElementTree.Element) -> bool:
    """Whether ``root`` is OME-XML of a schema before 2016-06."""
    found = _ANY.match(root.tag)
    return found is not None and local(root) == "OME" and found[1] != CURRENT


def local(element: ElementTree.Element) -> str:
    """Tag without the namespace."""
    return element.tag.rpartition("}")[2]


def upgraded(root: ElementTree.Element) -> ElementTree.Element | None:
    """OME-XML of 2016-06 that says what ``root`` says; None unless it is about one image with pixels."""
    images = [child for child in root if local(child) == "Image"]
    old = next((child for child in images[0] if local(child) == "Pixels"), None) if len(images) == 1 else None
    if old is None:
        return None
    image = images[0]
    new = ElementTree.Element(_tag("OME"))
    instrument = _instrument(root, new)
    made = ElementTree.SubElement(new, _tag("Image"), {"ID": "Image:0"} | _texts(image, {"Name": "Name"}))
    if date := _date(image):
        ElementTree.SubElement(made, _tag("AcquisitionDate")).text = date
    description = next((child.text for child in image if local(child) == "Description"), None) or image.get(
        "Description"
    )
    if description:
        ElementTree.SubElement(made, _tag("Description")).text = description
    if instrument:
        ElementTree.SubElement(made, _tag("InstrumentRef"), {"ID": "Instrument:0"})
    pixels = ElementTree.SubElement(made, _tag("Pixels"), _pixel_attributes(old))
    for number, channel in enumerate(channels_of(image, old)):
        pixels.append(_channel(channel, number))
    for plane in (child for child in old if local(child) == "Plane"):
        if times := times_of(plane):
            places = {f"The{a}": plane.get(f"The{a}", "0") for a in "ZCT"}
            ElementTree.SubElement(pixels, _tag("Plane"), places | times)
    ElementTree.SubElement(made, _tag("AnnotationRef"), {"ID": "Annotation:OriginalXML"})
    _annotate(new, root)
    return new


def _tag(name: str) -> str:
    return f"{{{CURRENT}}}{name}"


def channels_of(image: ElementTree.Element, pixels: ElementTree.Element) -> list[ElementTree.Element]:
    """Those of the pixels; before 2009-09 LogicalChannel, before 2007 ChannelInfo, of the image."""
    own = [child for child in pixels if local(child) == "Channel"]
    return own or [child for child in image if local(child) in ("LogicalChannel", "ChannelInfo")]


def times_of(plane: ElementTree.Element) -> dict[str, str]:
    """DeltaT and ExposureTime in seconds with their units; until 2009 they stand in a PlaneTiming."""
    timing = next((child for child in plane if local(child) == "PlaneTiming"), None)
    found = {}
    for word in ("DeltaT", "ExposureTime"):
        for element in (plane, timing):
            if element is not None and _is_number(element.get(word)):
                found[word] = element.attrib[word]
                if f"{word}Unit" in element.attrib:
                    found[f"{word}Unit"] = element.attrib[f"{word}Unit"]
    return found


def _pixel_attributes(old: ElementTree.Element) -> dict[str, str]:
    """Sizes and type, which the caller compares with those of the new pixels."""
    words = ("SizeX", "SizeY", "SizeZ", "SizeC", "SizeT", "SignificantBits")
    kind = old.get("Type") or old.get("PixelType") or ""
    return _texts(old, {word: word for word in words}) | {"Type": kind.lower()}


def _channel(old: ElementTree.Element, number: int) -> ElementTree.Element:
    new = ElementTree.Element(_tag("Channel"), {"ID": f"Channel:0:{number}"} | _texts(old, {"Name": "Name"}))
    new.attrib |= _texts(old, _CHANNEL_TEXTS) | _numbers(old, _CHANNEL_NUMBERS)
    if not _is_number(new.get("NDFilter", "0")):
        del new.attrib["NDFilter"]
    if re.fullmatch(r"-?\d{1,10}", color := old.get("Color", "")) and -(2**31) <= int(color) < 2**31:
        new.set("Color", color)
    return new


def _instrument(root: ElementTree.Element, new: ElementTree.Element) -> bool:
    """Add the microscope and its objectives, where the old XML has any."""
    instrument = next((child for child in root if local(child) == "Instrument"), None)
    if instrument is None:
        return False
    made = ElementTree.SubElement(new, _tag("Instrument"), {"ID": "Instrument:0"})
    microscope = next((child for child in instrument if local(child) == "Microscope"), None)
    if microscope is not None:
        ElementTree.SubElement(made, _tag("Microscope"), _texts(microscope, {word: word for word in _MADE_BY}))
    for number, objective in enumerate(child for child in instrument if local(child) == "Objective"):
        facts = _texts(objective, {word: word for word in _MADE_BY})
        facts |= _numbers(objective, {word: word for word in _OBJECTIVE_NUMBERS}) | dict(_child_numbers(objective))
        ElementTree.SubElement(made, _tag("Objective"), {"ID": f"Objective:{number}"} | facts)
    return True


def _child_numbers(objective: ElementTree.Element) -> Iterator[tuple[str, str]]:
    """Before 2008-09 the numbers of an objective are elements of their own."""
    for child in objective:
        if local(child) in _OBJECTIVE_NUMBERS and _is_number(child.text):
            yield local(child), str(child.text).strip()


def _texts(element: ElementTree.Element, words: Mapping[str, str]) -> dict[str, str]:
    return {new: element.attrib[old] for old, new in words.items() if old in element.attrib}


def _numbers(element: ElementTree.Element, words: Mapping[str, str]) -> dict[str, str]:
    """Positive numbers, with their units where these are said."""
    found = {}
    for old, new in words.items():
        if _is_number(element.get(old)) and float(element.attrib[old]) > 0:
            found[new] = element.attrib[old]
            if f"{old}Unit" in element.attrib:
                found[f"{new}Unit"] = element.attrib[f"{old}Unit"]
    return found


def _is_number(text: str | None) -> bool:
    try:
        return text is not None and isfinite(float(text))
    except ValueError:
        return False


def _date(image: ElementTree.Element) -> str | None:
    """Of the recording: AcquisitionDate, until 2011-06 AcquiredDate, until 2009 CreationDate."""
    names = ("AcquisitionDate", "AcquiredDate", "CreationDate")
    found = {local(child): child.text or "" for child in image if local(child) in names}
    text = next((found[name] for name in names if name in found), image.get("CreationDate") or "")
    match = _DATE.fullmatch(text)
    return f"{match[1]}T{match[2]}{match[3] or ''}" if match else None


def _annotate(new: ElementTree.Element, root: ElementTree.Element) -> None:
    """Put all of the old XML except its planes into an annotation."""
    whole = deepcopy(root)
    for parent in list(whole.iter()):
        for child in [child for child in parent if local(child) in _PIXELS_OF_FILES]:
            parent.remove(child)
    annotations = ElementTree.SubElement(new, _tag("StructuredAnnotations"))
    one = ElementTree.SubElement(annotations, _tag("XMLAnnotation"),
                                 {"ID": "Annotation:OriginalXML", "Namespace": _NAMESPACE})  # fmt: skip
    ElementTree.SubElement(one, _tag("Value")).append(whole)
