"""One readable training loop, its patches and checkpoints. Knows no image files."""

from ruska.training.boxes import Boxes, BoxSampler
from ruska.training.loop import Schedule, Trained, train
from ruska.training.patches import PatchSampler
from ruska.training.trainee import Single, Trainee

__all__ = ["BoxSampler", "Boxes", "PatchSampler", "Schedule", "Single", "Trained", "Trainee", "train"]
