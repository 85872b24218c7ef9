"""``ruska doctor``: does this installation work, and what can it use?"""

from __future__ import annotations

import platform
import tempfile
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

_NEEDED = ("numpy", "scipy", "scikit-image", "torch", "tifffile", "imagecodecs", "mrcfile", "h5py", "zarr",
           "pillow", "matplotlib", "safetensors", "pydantic", "filelock", "psutil")  # fmt: skip
_OPTIONAL = {
    "bm3d": "pip install 'ruska[bm3d]' (non-commercial licence)",
    "aiohttp": "pip install 'ruska[remote]', to read OME-Zarr at https://",
    "s3fs": "pip install 'ruska[s3]', to read OME-Zarr at s3://",
}


def examine() -> tuple[dict[str, Any], bool]:
    """Findings by topic, and whether the installation works."""
    import ruska
    from ruska import methods
    from ruska.engine.memory import available_memory, format_bytes, usable_cores
    from ruska.io.formats import FORMATS, broken_plug_ins, plug_ins

    packages, missing = {}, []
    for package in _NEEDED:
        try:
            packages[package] = version(package)
        except PackageNotFoundError:
            packages[package] = "MISSING"
            missing.append(package)
    job = _try("a job", _run_job)
    findings = {
        "ruska": ruska.__version__,
        "python": f"{platform.python_version()} on {platform.platform()}",
        "packages": packages,
        "optional": {name: "installed" if find_spec(name) else hint for name, hint in _OPTIONAL.items()},
        "formats": ", ".join(known.name for known in FORMATS),
        "plug-in readers": {**{f.name: f"from {f.module}" for f in plug_ins()},
                            **{name: f"left out: {why}" for name, why in broken_plug_ins().items()}} or "none",
        "plug-in methods": {**{name: f"from {methods.about(name).record.__module__}" for name in methods.names()
                               if name not in methods.METHODS},
                            **{name: f"from {methods.training(name).record.__module__}, to train"
                               for name in methods.trainings() if name not in methods.TRAININGS},
                            **{name: f"left out: {why}" for name, why in methods.broken().items()}} or "none",
        "processor": _try("torch", _devices),
        "cores": usable_cores(),
        "free_memory": format_bytes(available_memory()),
        "a_test_job": job,
        "verdict": f"missing: {', '.join(missing)}. Reinstall Ruska." if missing else
        "sound" if job == "works" else "the test job failed: see above",
    }  # fmt: skip
    return findings, not missing and job == "works"


def _try(what: str, check: Any) -> str:
    try:
        return str(check())
    except Exception as error:  # whatever is broken is what the user wants to read
        return f"{what} failed: {type(error).__name__}: {error}"


def _devices() -> str:
    import torch

    if torch.cuda.is_available():
        return f"CUDA: {torch.cuda.get_device_name(0)}; classical methods use the CPU"
    if torch.backends.mps.is_available():
        return "Apple MPS; classical methods use the CPU"
    return f"CPU ({torch.get_num_threads()} threads)"


def _run_job() -> str:
    """Write, read, denoise, write, read: the whole way through."""
    import numpy as np

    import ruska
    from ruska.image import Image, Quantity

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        noisy = np.random.default_rng(0).integers(90, 110, (64, 64)).astype(np.uint16)
        image = Image(noisy, "YX", {"Y": Quantity(4, "nm"), "X": Quantity(4, "nm")})
        ruska.write(Path(folder) / "noisy.tif", image)
        result = ruska.denoise(Path(folder) / "noisy.tif", Path(folder) / "clean.tif", method="gaussian")
        clean = result.image.numpy()
        kept = result.image.voxel_size_nm == {"Y": 4.0, "X": 4.0} and clean.dtype == noisy.dtype
    return "works" if kept and clean.std() < noisy.std() else "gave a wrong result"
