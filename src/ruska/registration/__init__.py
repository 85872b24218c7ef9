"""Putting images of one place onto each other: pairs, without touching the noisy one, and stacks."""

from ruska.registration.align import LEAST_CONFIDENCE, align
from ruska.registration.alignment import Alignment
from ruska.registration.motion import MODELS, Model, Motion
from ruska.registration.pixels import check_pixels
from ruska.registration.stack import AlignedStack, StackAlignment, Trend, align_stack, as_dtype

__all__ = [
    "LEAST_CONFIDENCE",
    "MODELS",
    "AlignedStack",
    "Alignment",
    "Model",
    "Motion",
    "StackAlignment",
    "Trend",
    "align",
    "align_stack",
    "as_dtype",
    "check_pixels",
]
