"""Reading and writing micrographs: one module per format, metadata in = metadata out."""

from ruska.io.eer import exposure
from ruska.io.formats import FORMATS, Format, find_format
from ruska.io.losses import RECORD, Losses
from ruska.io.ome_files import one_image_each
from ruska.io.registry import (
    check_holds,
    check_output,
    is_url,
    losses,
    losses_sentence,
    read,
    split_inner,
    write,
)
from ruska.io.tilts import files_beside, tilts, write_beside
from ruska.scratch import put_in_place, remove

__all__ = [
    "FORMATS",
    "RECORD",
    "Format",
    "Losses",
    "check_holds",
    "check_output",
    "exposure",
    "files_beside",
    "find_format",
    "is_url",
    "losses",
    "losses_sentence",
    "one_image_each",
    "put_in_place",
    "read",
    "remove",
    "split_inner",
    "tilts",
    "write",
    "write_beside",
]
