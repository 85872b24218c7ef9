"""CAREamics' Noise2Void on one image, in an environment that has it: ``python careamics_n2v.py FOLDER``.

Patches of 64 pixels in batches of 8, as its guide does. An epoch sees each patch once, and an image has few: so many
epochs are run that there are ``steps`` of training (a setting in ``task.json``, 1000), and never fewer than its 30.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
from without_torchvision import declare_operators

declare_operators()

_PATCH, _BATCH, _HELD_BACK = 64, 8, 2


def main(folder: Path) -> None:
    """Train on the measurement, predict it, write it."""
    from careamics import CAREamist
    from careamics.config import create_n2v_config

    settings = json.loads((folder / "task.json").read_text())["settings"]
    image = np.load(folder / "measurement.npy")
    patches = (image.shape[0] // _PATCH) * (image.shape[1] // _PATCH)
    batches = max(1, -(-(patches - _HELD_BACK) // _BATCH))
    started = time.process_time()
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
    (folder / "seconds.txt").write_text(str(time.process_time() - started))
    np.save(folder / "restored.npy", np.asarray(found, dtype=np.float32).reshape(image.shape))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
