"""Peers that live in a Python environment of their own, because they cannot share one with Ruska.

A peer is a script in ``benchmarks/outside``. It is called with a folder that holds ``measurement.npy`` (float32, as
Ruska's methods get it) and ``task.json`` (the task, the noise as far as it is told, the operator, the settings), and
with ``psf.npy`` for a blur; it writes ``restored.npy``, and to ``seconds.txt`` the processor time that restoring took,
without imports. Which Python runs it is said by an environment variable:

    python -m venv /somewhere/careamics
    /somewhere/careamics/bin/pip install careamics
    RUSKA_CAREAMICS_PYTHON=/somewhere/careamics/bin/python python -m benchmarks --slow
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ruska.physics.operators import Decimation, GaussianBlur, gaussian_psf

if TYPE_CHECKING:
    from benchmarks.cases import Case

_OUTSIDE = Path(__file__).parent / "outside"


@dataclass(frozen=True)
class Elsewhere:
    """What a process in another environment made of a case, and its seconds of processor time."""

    image: NDArray[Any]
    seconds: float


@dataclass(frozen=True)
class Environment:
    """Where a peer's packages are.

    variable : environment variable with the path of its Python. package : what must be installed there.
    """

    variable: str
    package: str

    @property
    def python(self) -> str | None:
        return os.environ.get(self.variable)

    @property
    def how(self) -> str:
        """One line that says how to have it."""
        return (f"pip install {self.package} in an environment of its own, and set {self.variable} to that Python "
                "(benchmarks/peers_env.py)")  # fmt: skip

    def peer(self, script: str, **settings: Any) -> partial[Elsewhere]:
        """A peer's ``restore``: runs ``benchmarks/outside/SCRIPT`` on the case."""
        return partial(self._restore, _OUTSIDE / script, settings)

    def _restore(self, script: Path, settings: dict[str, Any], case: Case) -> Elsewhere:
        assert self.python is not None
        with tempfile.TemporaryDirectory(prefix="ruska-peer-") as name:
            folder = Path(name)
            np.save(folder / "measurement.npy", case.measurement.astype(np.float32))
            (folder / "task.json").write_text(json.dumps({**_told(case, folder), "settings": settings}))
            clean = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}  # that of ours has other packages
            done = subprocess.run([self.python, str(script), name], capture_output=True, text=True, env=clean,
                                  cwd=name, check=False)  # fmt: skip
            if done.returncode != 0:
                raise RuntimeError(f"{script.name} failed: {' / '.join(done.stderr.strip().splitlines()[-3:])}")
            restored, seconds = np.load(folder / "restored.npy"), float((folder / "seconds.txt").read_text())
        expected = case.measurement.shape if case.truth is None else case.truth.shape
        if restored.shape != expected:
            raise RuntimeError(f"{script.name} gave shape {restored.shape}, expected {expected}")
        return Elsewhere(restored, seconds)


def _told(case: Case, folder: Path) -> dict[str, Any]:
    """What the peer may know; the true noise only where it belongs to the task, as for all peers of it."""
    shape = list(case.measurement.shape if case.truth is None else case.truth.shape)
    told: dict[str, Any] = {
        "task": case.task,
        "shape": shape,
        "noise_std": case.noise_std if case.task != "denoise" else None,
    }
    if isinstance(case.operator, GaussianBlur):
        np.save(folder / "psf.npy", np.asarray(gaussian_psf(case.operator.sigmas[0]), dtype=np.float32))
        told |= {"operator": "blur", "sigmas": list(case.operator.sigmas)}
    elif isinstance(case.operator, Decimation):
        told["operator"] = "decimation"
        told["factors"] = [float(f) for f in case.operator.factors]
    return told


CAREAMICS = Environment("RUSKA_CAREAMICS_PYTHON", "careamics")
DEEPINVERSE = Environment("RUSKA_DEEPINVERSE_PYTHON", "deepinv and Ruska")
