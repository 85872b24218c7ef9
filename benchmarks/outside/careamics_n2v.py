"""CAREamics' Noise2Void on one image, in an environment that has it: ``python careamics_n2v.py FOLDER``.

Patches of 64 pixels in batches of 8, as its guide does. An epoch sees each patch once, and an image has few: so many
epochs are run that there are ``steps`` of training (a setting in ``task.json``, 1000), and never fewer than its 30.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import torch

try:
    import torchvision  # noqa: F401
except RuntimeError:  # beside another build of PyTorch its operators are absent; CAREamics uses none of them
    for name in [n for n in sys.modules if n.startswith("torchvision")]:
        del sys.modules[name]
    _library = torch.library.Library("torchvision", "DEF")
    _library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

_PATCH, _BATCH, _HELD_BACK = 64, 8, 2


def main(folder: Path) -> None:
    """Train on the measurement, predict it, write it."""
    from careamics import CAREamist
    from careamics.config import create_n2v_config

    settings = json.loads((folder / "task.json").read_text())["settings"]
    image = np.load(folder / "measurement.npy")
    patches = (image.shape[0] // _PATCH) * (image.shape[1] // _PATCH)
    batches = max(1, -(-(patches - _HELD_BACK) // _BATCH))
    config = create_n2v_config(
        experiment_name="n2v", data_type="array", axes="YX", patch_size=[_PATCH, _PATCH], batch_size=_BATCH,
        num_epochs=max(30, -(-settings.get("steps", 1000) // batches)), n_val_patches=_HELD_BACK,
    )  # fmt: skip
    config.data_config = config.data_config.model_copy(update={"seed": 1})  # else drawn anew for every run
    careamist = CAREamist(config, work_dir=folder, enable_progress_bar=False)
    careamist.train(train_data=image)
    found = careamist.predict(pred_data=image)
    while isinstance(found, list | tuple):
        found = found[0]
    np.save(folder / "restored.npy", np.asarray(found, dtype=np.float32).reshape(image.shape))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
