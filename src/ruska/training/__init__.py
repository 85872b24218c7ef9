"""One readable training loop, the patches it eats and the checkpoints it leaves. Knows no files of images."""

from ruska.training.checkpoint import load_weights, save_weights
from ruska.training.loop import Schedule, Trained, train
from ruska.training.patches import PatchSampler

__all__ = ["PatchSampler", "Schedule", "Trained", "load_weights", "save_weights", "train"]
