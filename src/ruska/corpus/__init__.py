"""Packing micrographs into what a prior is trained on: clean enough, standardised, read in parts."""

from ruska.corpus.build import Report, build
from ruska.corpus.domain import domain_of
from ruska.corpus.show import show
from ruska.corpus.statistics import statistics

__all__ = ["Report", "build", "domain_of", "show", "statistics"]
