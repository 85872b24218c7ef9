"""Scoring a result against truth, against the noisy image, or against nothing."""

from ruska.evaluation.score import Scores, score

__all__ = ["Scores", "score"]
