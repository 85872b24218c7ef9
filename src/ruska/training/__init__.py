"""One readable training loop, the patches it eats and the checkpoints it leaves. Knows no files of images."""

from ruska.training.loop import Schedule, Trained, train
from ruska.training.patches import PatchSampler
from ruska.training.prefetch import Prefetched

__all__ = ["PatchSampler", "Prefetched", "Schedule", "Trained", "train"]
