"""One readable training loop, the patches it eats and the checkpoints it leaves. Knows no files of images."""

from ruska.training.checkpoint import load_weights, save_weights
from ruska.training.loop import Schedule, Trained, train
from ruska.training.patches import PatchSampler
from ruska.training.prefetch import Prefetched

__all__ = ["PatchSampler", "Prefetched", "Schedule", "Trained", "load_weights", "save_weights", "train"]
