"""DeepInverse's samplers driven by Ruska's prior, where both are installed: ``python deepinverse_prior.py FOLDER``.

``task.json`` has the setting ``sampler``: ``DPIR`` (8 passes) or ``DiffPIR`` (100), each with its own schedule and told
the true noise and Ruska's operator. Images are 0 to 1; the network is told each level over the signal's strength.
"""

from __future__ import annotations

import json
import sys
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from without_torchvision import declare_operators

declare_operators()

import deepinv  # noqa: E402  # the operators it imports must be declared first

from ruska.methods.prior import load  # noqa: E402
from ruska.physics.operators import Decimation, GaussianBlur, Operator  # noqa: E402

_FAINTEST, _STRONGEST = 0.01, 50.0  # noise over signal that the network is asked about


class MicrographDenoiser(deepinv.models.Denoiser):
    """Ruska's network for images of a known mean and standard deviation."""

    def __init__(self, mean: float, signal: float) -> None:
        super().__init__()
        self.network, self.mean, self.signal = load(None)[0].eval(), mean, signal

    def forward(self, x: Tensor, sigma: Tensor | float, **ignored: Any) -> Tensor:
        from torch.nn import functional

        height, width = x.shape[-2:]
        step = self.network.multiple
        unit = functional.pad((x - self.mean) / self.signal, (0, -width % step, 0, -height % step), mode="replicate")
        level = torch.as_tensor(sigma, dtype=torch.float32).flatten()[:1] / self.signal
        found = self.network(unit.float(), level.clamp(_FAINTEST, _STRONGEST).view(1, 1, 1, 1))
        return found[..., :height, :width] * self.signal + self.mean


def main(folder: Path) -> None:
    """Restore the measurement of the folder and write it."""
    torch.manual_seed(0)
    task = json.loads((folder / "task.json").read_text())
    y = torch.from_numpy(np.load(folder / "measurement.npy"))[None, None]
    noise, operator, shape = task["noise_std"], operator_of(task), tuple(task["shape"])
    signal = max(float(y.var()) - noise**2, 1e-12) ** 0.5
    denoiser = MicrographDenoiser(float(y.mean()), signal)
    physics = deepinv.physics.LinearPhysics(A=operator.forward, A_adjoint=lambda u: operator.adjoint(u, shape))
    repeated = operator.adjoint(y, shape) / operator.adjoint(torch.ones_like(y), shape)
    started = time.process_time()
    with torch.no_grad():
        if task["settings"]["sampler"] == "DPIR":
            found = deepinv.optim.DPIR(sigma=noise, denoiser=denoiser)(y, physics, init=repeated)
        else:
            sampler = deepinv.sampling.DiffPIR(denoiser, deepinv.optim.L2(), sigma=noise, max_iter=100)
            found = sampler(y, physics, x_init=repeated)
    (folder / "seconds.txt").write_text(str(time.process_time() - started))
    np.save(folder / "restored.npy", found[0, 0].numpy().astype(np.float32))


def operator_of(task: dict[str, Any]) -> Operator:
    """What the task undoes."""
    if task.get("operator") == "blur":
        return GaussianBlur(tuple(task["sigmas"]))
    if task.get("operator") == "decimation":
        return Decimation(tuple(Fraction(f).limit_denominator(12) for f in task["factors"]))
    raise SystemExit(f"this peer undoes blurs and coarse pixels, it was asked to {task['task']}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
