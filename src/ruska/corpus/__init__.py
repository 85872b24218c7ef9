"""Packing micrographs into what a prior is trained on: clean enough, standardised, read in parts."""

from ruska.corpus.build import Report, build
from ruska.corpus.show import show
from ruska.corpus.statistics import statistics

__all__ = ["Report", "build", "show", "statistics"]
