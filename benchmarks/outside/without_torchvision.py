"""Lets packages that import torchvision load beside a build of PyTorch that torchvision's operators do not fit.

Nothing here uses one of its operators: they are declared, not defined.
"""

from __future__ import annotations

import sys

import torch

_BOXES = "(Tensor dets, Tensor scores, {}float iou_threshold) -> Tensor"


def declare_operators() -> None:
    """Nothing, where torchvision imports as it is."""
    try:
        import torchvision  # noqa: F401
    except RuntimeError:
        for name in [n for n in sys.modules if n.startswith("torchvision")]:
            del sys.modules[name]
        global _library  # it must live as long as its operators
        _library = torch.library.Library("torchvision", "DEF")
        _library.define("nms" + _BOXES.format(""))
        _library.define("qnms" + _BOXES.format(""))
