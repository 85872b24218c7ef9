"""Ruska restores, segments and vouches for micrographs.

>>> import ruska
>>> image = ruska.read("noisy.tif")
>>> result = ruska.denoise(image)
>>> ruska.write("clean.tif", result.image)

Everything is imported when it is first used, so that ``import ruska`` is immediate.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ruska.image import Image, Quantity
    from ruska.io import read, write
    from ruska.pipeline import (
        Evaluation,
        Result,
        deblur,
        denoise,
        describe,
        evaluate,
        isotropic,
        register,
        superres,
        train,
    )

__version__ = "0.1.0"

_HOMES = {
    "Evaluation": "ruska.pipeline",
    "Image": "ruska.image",
    "Quantity": "ruska.image",
    "Result": "ruska.pipeline",
    "deblur": "ruska.pipeline",
    "denoise": "ruska.pipeline",
    "describe": "ruska.pipeline",
    "evaluate": "ruska.pipeline",
    "isotropic": "ruska.pipeline",
    "read": "ruska.io",
    "register": "ruska.pipeline",
    "superres": "ruska.pipeline",
    "train": "ruska.pipeline",
    "write": "ruska.io",
}

__all__ = [
    "Evaluation",
    "Image",
    "Quantity",
    "Result",
    "__version__",
    "deblur",
    "denoise",
    "describe",
    "evaluate",
    "isotropic",
    "read",
    "register",
    "superres",
    "train",
    "write",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'ruska' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
