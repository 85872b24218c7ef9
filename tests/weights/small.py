"""A small model that a card can speak of: a blind-spot network of 4 and 8 channels."""

from __future__ import annotations

import torch

from ruska.networks.hidden import hidden_network

NETWORK = {"kind": "halfplane", "spot": [1, 1], "frames": 1, "outputs": 1, "widths": [4, 8]}
DATA = {"name": "a.tif", "shape": (8, 8), "axes": "YX", "dtype": "uint8", "hash": "sha256:0",
        "voxel_size_nm": {"Y": 4.0, "X": 4.0}}  # fmt: skip
FACTS = {"name": "m", "method": "blindspot", "network": NETWORK, "settings": {"spot": "1x1"},
         "training": {"steps": 3, "notes": ["A note."]}, "data": [DATA]}  # fmt: skip


def network(seed=0, **changed):
    torch.manual_seed(seed)
    return hidden_network(**{**NETWORK, **changed})
