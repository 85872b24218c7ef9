"""Named tensors and a few facts in one safetensors file; nothing is ever unpickled.

Needs PyTorch, NumPy and safetensors only, and these when a function is called.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ruska.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor, nn


def save_weights(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Write ``tensors`` and JSON-like ``facts``; the file takes its name when it is whole."""
    from safetensors.torch import save

    part = path.with_name(path.name + ".part")
    flat = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    # not save_file, which makes a file that only its owner may read
    part.write_bytes(save(flat, metadata={"ruska": json.dumps(dict(facts), sort_keys=True)}))
    os.replace(part, path)


def load_weights(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What `save_weights` wrote; InputError when the file is not one of Ruska's safetensors files."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # not a dict
            facts = json.loads((file.metadata() or {})["ruska"])
    except FileNotFoundError as error:
        raise InputError(path, "does not exist", "Check the name of the model.") from error
    except (SafetensorError, KeyError, ValueError, OSError, RecursionError) as error:
        raise InputError(path, f"is not a model of Ruska ({error})", "Models are the .safetensors files "
                         "that Ruska wrote.") from error  # fmt: skip
    return tensors, facts


def fill(network: nn.Module, start: Mapping[str, Tensor] | Path) -> None:
    """Give ``network`` the weights of ``start``, a state dict or a file of `save_weights`.

    Raises InputError naming the first parameter that is missing, has another shape, or is not the network's.
    """
    subject, tensors = (start, load_weights(start)[0]) if isinstance(start, Path) else ("weights", start)
    fix = "Start from weights of the same network, or without."
    wanted = network.state_dict()
    for name, value in wanted.items():
        if name not in tensors:
            raise InputError(subject, f"has no parameter {name}, which the network has", fix)
        if tensors[name].shape != value.shape:
            shapes = [" x ".join(map(str, t.shape)) or "one number" for t in (tensors[name], value)]
            raise InputError(subject, f"its parameter {name} is {shapes[0]}, the network's is {shapes[1]}", fix)
    for name in tensors:
        if name not in wanted:
            raise InputError(subject, f"its parameter {name} is not one of the network's", fix)
    network.load_state_dict(dict(tensors))
