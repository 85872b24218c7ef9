"""Records: images with geometry and metadata, quantities, estimates. Reads no files."""

from ruska.image.correction import CorrectedArray, corrected
from ruska.image.image import AXES, CroppedArray, Image, LazyArray, Meaning, check_axes, crop
from ruska.image.output import Merge, Output, Values, fault_of
from ruska.image.quantity import NO_UNIT, Quantity, canonical_unit, is_length, normalise_unit, parse_quantity
from ruska.image.stamp import FileStamp, Stamp

__all__ = [
    "AXES",
    "NO_UNIT",
    "CorrectedArray",
    "CroppedArray",
    "FileStamp",
    "Image",
    "LazyArray",
    "Meaning",
    "Merge",
    "Output",
    "Quantity",
    "Stamp",
    "Values",
    "canonical_unit",
    "check_axes",
    "corrected",
    "crop",
    "fault_of",
    "is_length",
    "normalise_unit",
    "parse_quantity",
]
