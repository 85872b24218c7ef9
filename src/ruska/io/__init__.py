"""Reading and writing micrographs: one module per format, metadata in = metadata out."""

from ruska.io.registry import FORMATS, check_output, find_format, put_in_place, read, remove, split_inner, write

__all__ = ["FORMATS", "check_output", "find_format", "put_in_place", "read", "remove", "split_inner", "write"]
