"""Packing micrographs into what a prior is trained on: clean enough, standardised, read in parts."""

from ruska.corpus.build import Report, build

__all__ = ["Report", "build"]
