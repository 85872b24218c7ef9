"""A user's own instrument: any object with ``scale``, ``forward`` and ``adjoint``."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from fractions import Fraction
from importlib.metadata import entry_points
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ruska.errors import InputError, SettingsError, did_you_mean

if TYPE_CHECKING:
    from torch import Tensor

    from ruska.physics.operators.contract import Operator

GROUP = "ruska.operators"
_EDGE = {2: 36, 3: 12}


class Loaded:
    """A user's operator, with the name it was loaded by: another process loads it again, so it need not be picklable.

    reach : pixels of the specimen that it looks away from a place, along the axis where that is most; 0 unless it says.
    """

    def __init__(self, operator: Operator, name: str) -> None:
        self.operator, self.name = operator, name

    @property
    def scale(self) -> tuple[Fraction, ...]:
        return scale_of(self.operator)

    @property
    def reach(self) -> int:
        return ceil(getattr(self.operator, "reach", 0))

    def forward(self, x: Tensor) -> Tensor:
        return self.operator.forward(x)

    def adjoint(self, y: Tensor, shape: tuple[int, ...] | None = None) -> Tensor:
        return self.operator.adjoint(y, shape)

    @property
    def solvable(self) -> bool:
        """As of `normal.Solvable`, where the operator has it."""
        return bool(getattr(self.operator, "solvable", False))

    def nearest(self, y: Tensor, guess: Tensor, ratio: float) -> Tensor:
        operator: Any = self.operator
        found: Tensor = operator.nearest(y, guess, ratio)
        return found

    def __reduce__(self) -> tuple[Any, ...]:
        return load_operator, (self.name,)


def load_operator(name: str, dimensions: int | None = None) -> Loaded:
    """The operator ``name``: ``path/to/file.py:attribute``, or the name of an entry point in group ``ruska.operators``.

    The attribute is an operator, or a function or class without arguments that makes one. It is refused unless its
    adjoint is the transpose of its forward map. The file is run: only load what you trust.

    dimensions : spatial axes that it must have; as many as its ``scale`` when None.

    Raises InputError (no such file or attribute, or it cannot be run), SettingsError (unknown, or not an operator).
    """
    file, colon, attribute = name.rpartition(":")
    found = _from_file(Path(file), attribute) if colon and file.endswith(".py") else _from_entry_point(name)
    made = isinstance(found, type) or (callable(found) and not hasattr(found, "forward"))
    try:
        operator = found() if made else found
    except Exception as error:  # a stranger's code
        raise SettingsError(name, f"could not be made ({type(error).__name__}: {error})",
                            "It is called without arguments.") from error  # fmt: skip
    missing = [part for part in ("scale", "forward", "adjoint") if not hasattr(operator, part)]
    if missing:
        raise SettingsError(name, f"has no {missing[0]}", "An operator has scale, forward(x) and adjoint(y, shape).")
    scale = scale_of(operator)
    if len(scale) not in (2, 3) or (dimensions or len(scale)) != len(scale) or not all(0 < s <= 16 for s in scale):
        raise SettingsError(name, f"has the scale {', '.join(map(str, scale))}, expected {dimensions or '2 or 3'} "
                            "numbers above 0, at most 16", "It is output pixels per pixel of the specimen, along Y and "
                            "X, or Z, Y and X.")  # fmt: skip
    try:
        found_error = adjoint_error(operator, shape=whole_shape(scale))
    except Exception as error:
        raise SettingsError(name, f"fails on random pixels ({type(error).__name__}: {error})",
                            "Test it with ruska.testing.check_operator.") from error  # fmt: skip
    if not found_error < 1e-4:
        raise SettingsError(name, f"adjoint is not the transpose of forward (relative error {found_error:.2g})",
                            "Test it with ruska.testing.check_operator.")  # fmt: skip
    return Loaded(operator, name)


def scale_of(operator: Operator) -> tuple[Fraction, ...]:
    """Output pixels per input pixel; a user may write 0.4 for 2/5."""
    return tuple(Fraction(s).limit_denominator(1000) for s in operator.scale)


def whole_shape(scale: Sequence[Fraction], edge: int | None = None) -> tuple[int, ...]:
    """Of a specimen, a little different along each axis, that is whole pixels on the operator's other grid too."""
    least = edge or _EDGE[len(scale)]
    return tuple(-(-(least + 2 * k) // s.denominator) * s.denominator for k, s in enumerate(scale))


def adjoint_error(
    operator: Operator, dimensions: int = 2, edge: int = 36, seed: int = 0, shape: tuple[int, ...] | None = None
) -> float:
    """``|<A x, y> - <x, A' y>| / (|A x| |y|)`` for random x and y: near 0 for a true transpose.

    shape : spatial shape of x; about ``edge`` along each of ``dimensions`` axes when None.
    """
    import torch

    random = np.random.default_rng(seed)
    x = torch.from_numpy(random.standard_normal((1, 1, *(shape or (edge + 2 * k for k in range(dimensions))))))
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
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # a stranger's code
        raise InputError(
            path, f"could not be run ({type(error).__name__}: {error})", "Try: python " + path.name
        ) from error
    if not hasattr(module, attribute):
        raise InputError(path, f"has no {attribute}", did_you_mean(attribute, [n for n in vars(module) if n[0] != "_"]))
    return getattr(module, attribute)


def _from_entry_point(name: str) -> Any:
    known = {point.name: point for point in entry_points(group=GROUP)}
    if name not in known:
        raise SettingsError("operator", f"'{name}' is unknown",
                            did_you_mean(name, known) if known else "Write path/to/file.py:attribute.")  # fmt: skip
    try:
        return known[name].load()
    except (Exception, SystemExit) as error:
        raise SettingsError("operator", f"'{name}' cannot be imported ({type(error).__name__}: {error})",
                            "Ask those who wrote it.") from error  # fmt: skip
