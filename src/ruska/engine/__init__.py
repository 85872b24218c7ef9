"""Runs any method over any size of data: statistics, block plan, merge, ledger, bounded memory."""

from ruska.engine.chapter import Chapter
from ruska.engine.contracts import Box, IterativeMethod, Method, Progress, Recipe, Sink, Source
from ruska.engine.layout import ArraySource, CanonicalSink, Layout, NativeView
from ruska.engine.ledger import (
    PLACING,
    Ledger,
    NoLedger,
    any_block_done,
    clear_delivered,
    empty_work,
    face,
    work_folder,
)
from ruska.engine.memory import Budget, format_bytes, parse_memory, resident_memory
from ruska.engine.need import Delivery
from ruska.engine.plan import Plan, plan_blocks
from ruska.engine.run import Outcome, run
from ruska.engine.selection import OneChannel, SomePlanes
from ruska.engine.statistics import (
    ChannelScales,
    IntensityStatistics,
    Measured,
    Normalisation,
    NormalisedSource,
    measure_channels,
    measure_intensities,
)
from ruska.engine.store import BlockStore, MemoryStore

__all__ = [
    "PLACING",
    "ArraySource",
    "BlockStore",
    "Box",
    "Budget",
    "CanonicalSink",
    "ChannelScales",
    "Chapter",
    "Delivery",
    "IntensityStatistics",
    "IterativeMethod",
    "Layout",
    "Ledger",
    "Measured",
    "MemoryStore",
    "Method",
    "NativeView",
    "NoLedger",
    "Normalisation",
    "NormalisedSource",
    "OneChannel",
    "Outcome",
    "Plan",
    "Progress",
    "Recipe",
    "Sink",
    "SomePlanes",
    "Source",
    "any_block_done",
    "clear_delivered",
    "empty_work",
    "face",
    "format_bytes",
    "measure_channels",
    "measure_intensities",
    "parse_memory",
    "plan_blocks",
    "resident_memory",
    "run",
    "work_folder",
]
