"""Scores a result: against the truth, against the noisy image it came from, or by itself."""

from ruska.evaluation.faults import Faults, find_faults
from ruska.evaluation.meaning import MEANING, OF_FRAMES, Meaning
from ruska.evaluation.placing import Placement, place_truth
from ruska.evaluation.repeats import FrameScores, score_frames
from ruska.evaluation.score import Scores, score
from ruska.evaluation.spectra import noise_spectrum, spectrum_distance
from ruska.evaluation.summary import Summary, scored_places

__all__ = [
    "MEANING",
    "OF_FRAMES",
    "Faults",
    "FrameScores",
    "Meaning",
    "Placement",
    "Scores",
    "Summary",
    "find_faults",
    "noise_spectrum",
    "place_truth",
    "score",
    "score_frames",
    "scored_places",
    "spectrum_distance",
]
