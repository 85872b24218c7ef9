"""Scores a result: against the truth, against the noisy image it came from, or by itself."""

from ruska.evaluation.faults import Faults, find_faults
from ruska.evaluation.score import Scores, score

__all__ = ["Faults", "Scores", "find_faults", "score"]
