"""DeepInverse's DiffPIR on one blurred image, in an environment that has it: ``python deepinverse_diffpir.py FOLDER``.

Its own schedule with total variation as the denoiser, since its networks would have to be downloaded: what is compared
is the sampler with a classical prior. ``task.json`` may have settings ``steps`` (100) and ``iterations`` (50) of the
denoiser.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from without_torchvision import declare_operators

declare_operators()


def main(folder: Path) -> None:
    """Restore the measurement of the folder and write it."""
    import deepinv

    torch.manual_seed(0)
    task = json.loads((folder / "task.json").read_text())
    y = torch.from_numpy(np.load(folder / "measurement.npy"))[None, None]
    settings = task["settings"]
    denoiser = deepinv.models.TVDenoiser(n_it_max=settings.get("iterations", 50))
    sampler = deepinv.sampling.DiffPIR(
        denoiser, deepinv.optim.L2(), sigma=task["noise_std"], max_iter=settings.get("steps", 100), device="cpu"
    )
    started = time.process_time()
    with torch.no_grad():
        found = sampler(y, physics(task, folder))
    (folder / "seconds.txt").write_text(str(time.process_time() - started))
    np.save(folder / "restored.npy", found[0, 0].numpy().astype(np.float32))


def physics(task: dict[str, Any], folder: Path) -> Any:
    """The task's operator as DeepInverse has it."""
    from deepinv import physics as room

    if task.get("operator") != "blur":
        raise SystemExit(f"this peer is for blurred images, not for {task['task']}")
    psf = torch.from_numpy(np.load(folder / "psf.npy"))[None, None]
    return room.Blur(filter=psf, padding="reflect", device="cpu")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
