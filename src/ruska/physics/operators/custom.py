"""A user's own instrument: any object with ``scale``, ``forward`` and ``adjoint``."""

from __future__ import annotations

import importlib.util
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ruska.errors import InputError, SettingsError, did_you_mean

if TYPE_CHECKING:
    from ruska.physics.operators.contract import Operator

GROUP = "ruska.operators"


def load_operator(name: str, dimensions: int = 2) -> Operator:
    """The operator ``name``: ``path/to/file.py:attribute``, or the name of an entry point in group ``ruska.operators``.

    The attribute is an operator, or a function without arguments that makes one. It is refused unless its adjoint is
    the transpose of its forward map. The file is run: only load what you trust.

    Raises InputError (no such file or attribute), SettingsError (unknown name, or not an operator).
    """
    file, colon, attribute = name.rpartition(":")
    found = _from_file(Path(file), attribute) if colon and file.endswith(".py") else _from_entry_point(name)
    made = isinstance(found, type) or (callable(found) and not hasattr(found, "forward"))
    operator = found() if made else found
    missing = [part for part in ("scale", "forward", "adjoint") if not hasattr(operator, part)]
    if missing:
        raise SettingsError(name, f"has no {missing[0]}", "An operator has scale, forward(x) and adjoint(y, shape).")
    error = adjoint_error(operator, dimensions)
    if not error < 1e-4:
        raise SettingsError(name, f"adjoint is not the transpose of forward (relative error {error:.2g})",
                            "Test it with ruska.physics.operators.custom.adjoint_error.")  # fmt: skip
    return operator


def adjoint_error(operator: Operator, dimensions: int = 2, edge: int = 36, seed: int = 0) -> float:
    """``|<A x, y> - <x, A' y>| / (|A x| |y|)`` for random x and y: near 0 for a true transpose."""
    import torch

    random = np.random.default_rng(seed)
    x = torch.from_numpy(random.standard_normal((1, 1, *(edge + 2 * k for k in range(dimensions)))))
    seen = operator.forward(x)
    y = torch.from_numpy(random.standard_normal(tuple(seen.shape)))
    back = operator.adjoint(y, tuple(x.shape[2:]))
    if back.shape != x.shape:
        return float("inf")
    return float(((seen * y).sum() - (x * back).sum()).abs() / (seen.norm() * y.norm()))


def _from_file(path: Path, attribute: str) -> Any:
    if not path.is_file():
        raise InputError(path, "does not exist", "Write path/to/file.py:attribute.")
    spec = importlib.util.spec_from_file_location(f"ruska_operator_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if not hasattr(module, attribute):
        raise InputError(path, f"has no {attribute}", did_you_mean(attribute, [n for n in vars(module) if n[0] != "_"]))
    return getattr(module, attribute)


def _from_entry_point(name: str) -> Any:
    known = {point.name: point for point in entry_points(group=GROUP)}
    if name not in known:
        raise SettingsError("operator", f"'{name}' is unknown",
                            did_you_mean(name, known) if known else "Write path/to/file.py:attribute.")  # fmt: skip
    return known[name].load()
