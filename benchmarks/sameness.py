"""Whether a change of the code changed a result: digests of what every command makes of small inputs.

``python -m benchmarks.sameness -o before.json`` writes a table of digests, ``--against before.json`` compares. Same
machine, versions and seed: the bytes must be equal, or LOG.md says why they are not. Pixels and weights are digested,
not records, which hold times.
"""

from __future__ import annotations

import argparse
import hashlib
import io as text_io
import json
import os
import sys
import tempfile
import time
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np

CASES = {
    "identity": "denoise plane.tif -o o.tif -m identity",
    "gaussian": "denoise plane.tif -o o.tif -m gaussian -s sigma=1.2",
    "gaussian, volume, Zarr": "denoise stack.tif -o o.ome.zarr -m gaussian -s dimensions=3",
    "median": "denoise stack.tif -o o.mrc -m median",
    "median, NaN, float32": "denoise channels.npy --axes CYX -o o.npy -m median --dtype float32",
    "tv": "denoise plane.tif -o o.tif -m tv",
    "tv, in blocks": "denoise wide.npy -o o.npy -m tv",
    "nlm": "denoise small.npy -o o.npy -m nlm",
    "wavelet": "denoise plane.tif -o o.tif -m wavelet",
    "auto": "denoise plane.tif -o o.tif",
    "prior": "denoise stack.tif -o o.tif -m prior",
    "prior, told": "denoise plane.tif -o o.tif -m prior -s noise_std=0.1 -s strength=1.2",
    "prior, ensemble": "denoise small.npy -o o.npy -m prior -s ensemble=8",
    "prior, in blocks": "denoise wide.npy -o o.npy -m prior",
    "prior, NaN, float32": "denoise channels.npy --axes CYX -o o.npy -m prior --dtype float32",
    "prior, region": "denoise plane.tif -o o.tif -m prior --roi 16:112,32:160",
    "prior, samples": "denoise small.npy -o o.npy -m prior --samples 2 --seed 5",
    "prior, samples, Zarr": "denoise stack.tif -o o.ome.zarr -m prior --samples 2 --seed 1",
    "blindspot": "denoise plane.tif -o o.tif -m blindspot -s steps=6 -s batch=2 -s patch=64",
    "blindspot, likelihood": "denoise plane.tif -o o.tif -m blindspot -s steps=4 -s batch=2 -s patch=64 "
    "-s loss=poisson-gaussian -s spot=1x1",
    "blindspot, frames": "denoise stack.tif -o o.tif -m blindspot -s steps=3 -s batch=1 -s patch=64 -s frames=3",
    "noise2void": "denoise plane.tif -o o.tif -m noise2void -s steps=4",
    "udvd": "denoise stack.tif -o o.tif -m udvd -s steps=2 -s batch=1 -s patch=32",
    "shine": "denoise small.npy -o o.npy -m shine -s steps=2 -s batch=1 -s patch=32",
    "deblur": "deblur plane.tif -o o.tif --sigma 1.5",
    "deblur, psf": "deblur small.npy -o o.npy --psf psf.npy",
    "deblur, blind": "deblur small.npy -o o.npy --blind gaussian",
    "deblur, astigmatic": "deblur small.npy -o o.npy -s astigmatism=2,1,30",
    "deblur, dps": "deblur small.npy -o o.npy --sigma 1.5 -s sampler=dps -s steps=6 --step-size 0.3 --seed 2",
    "deblur, flow-pnp": "deblur small.npy -o o.npy --sigma 1.5 -s sampler=flow-pnp -s steps=4 --seed 2",
    "deblur, samples": "deblur small.npy -o o.npy --sigma 1.5 --samples 2 --seed 3",
    "superres": "superres small.npy -o o.npy --scale 2",
    "superres, fraction": "superres small.npy -o o.npy --scale 3/2 --steps 4",
    "superres, in blocks": "superres wide.npy -o o.npy --steps 2",
    "superres, samples": "superres small.npy -o o.npy --samples 2 --seed 4",
    "isotropic": "isotropic stack.tif -o o.tif --steps 3",
    "isotropic, factor, samples": "isotropic stack.tif -o o.tif --factor 2 --steps 2 --samples 2",
    "register": "register shifted.npy o.npy plane.npy",
    "register, rigid": "register shifted.npy o.npy plane.npy rigid",
    "register, stack": "register stack.tif o.tif",
    "noise": "noise plane.tif -o folder",
    "evaluate": "evaluate plane.tif --truth shifted.npy --register -o folder",
    "train blindspot": "train blindspot plane.tif -o folder -s steps=4 -s batch=2 -s patch=64",
    "corpus": "corpus build plane.tif small.npy stack.tif wide.npy -o folder",
    "train prior": "train prior plane.tif small.npy stack.tif wide.npy -o folder -s steps=3 -s batch=2 -s patch=32 "
    "-s widths=[8,8,8,8] -s blocks=[1,1,1,1] -s restoring=0",
}
"""Words of a command each; `register` differs between versions in how its options are called, see `_words`."""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path)
    parser.add_argument("--against", type=Path)
    parser.add_argument("--only", default="", help="Cases whose name holds this.")
    asked = parser.parse_args(arguments)
    if asked.output:
        asked.output = asked.output.absolute()
    before = json.loads(asked.against.read_text()) if asked.against else {}
    found: dict[str, dict[str, str]] = {}
    with tempfile.TemporaryDirectory() as top:
        for name, words in CASES.items():
            if asked.only not in name:
                continue
            folder = Path(top) / str(len(found))
            folder.mkdir()
            started = time.perf_counter()
            found[name] = run(words, folder)
            seconds = time.perf_counter() - started
            verdict = "" if name not in before else "same" if before[name] == found[name] else "DIFFERENT"
            print(f"{name:32} {seconds:6.1f} s  {len(found[name])} results  {verdict}", flush=True)
            if verdict == "DIFFERENT":
                print("   before", before[name], "\n   now   ", found[name])
            if asked.output:
                asked.output.write_text(json.dumps(found, indent=1) + "\n")
    changed = [name for name in found if name in before and before[name] != found[name]]
    print(f"{len(found)} commands, {len(changed)} differ" if before else f"{len(found)} commands")
    return bool(changed)


def run(words: str, folder: Path) -> dict[str, str]:
    """Digests of what the command leaves in ``folder``."""
    from ruska.cli.main import app

    inputs(folder)
    there = set(folder.iterdir())
    home = Path.cwd()
    os.chdir(folder)
    said = text_io.StringIO()
    try:
        with redirect_stdout(said), redirect_stderr(said):
            app(_words(words), standalone_mode=False)
    except SystemExit as end:
        if end.code:
            return {"failed": said.getvalue()[-300:]}
    except Exception as error:
        return {"failed": f"{type(error).__name__}: {error}"[:300].replace(str(folder), "")}
    finally:
        os.chdir(home)
    new = sorted(path for path in folder.iterdir() if path not in there)
    return {name: text for path in new for name, text in digests(path)}


def _words(words: str) -> list[str]:
    """`register MOVING OUT [FIXED [KIND]]` as this version spells it."""
    parts = words.split()
    if parts[0] == "register":
        from ruska.cli import main

        moving, out, *rest = parts[1:]
        spelt = "--transform" if "transform" in main.register.__code__.co_varnames else "--model"
        return ["register", moving, *rest[:1], "-o", out, *([spelt, rest[1]] if len(rest) > 1 else [])]
    return parts


def digests(path: Path) -> list[tuple[str, str]]:
    """(name, digest) of pixels, weights and numbers; nothing of records, reports and logs."""
    import ruska

    if path.is_dir() and not path.name.endswith(".zarr"):
        return [(f"{path.name}/{name}", text) for inner in sorted(path.iterdir()) for name, text in digests(inner)]
    if path.suffix in (".tif", ".npy", ".mrc", ".zarr"):
        found = [(path.name, _digest_image(ruska.read(path)))]
        stem = path.name.partition(".")[0]
        names = sorted(path.iterdir()) if path.is_dir() else []
        inside = [p for p in names if p.name == "std" or p.name.startswith("sample")]
        # called as in versions that wrote them beside the store
        return found + [(f"{stem}_{p.name}.ome.zarr", _digest_image(ruska.read(f"{path}:/{p.name}"))) for p in inside]
    if path.suffix == ".safetensors" and not path.name.startswith("training"):
        from safetensors.numpy import load_file

        tensors = load_file(path)
        return [(path.name, _digest(b"".join(k.encode() + tensors[k].tobytes() for k in sorted(tensors))))]
    if path.name in ("noise.json", "scores.json"):
        return [(path.name, _digest(path.read_bytes()))]
    return []


def _digest_image(image: Any) -> str:
    pixels = np.ascontiguousarray(image.numpy())
    facts = repr((image.axes, image.shape, str(image.dtype), sorted(image.spacing.items()), image.meaning))
    return _digest(pixels.tobytes() + facts.encode())


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def inputs(folder: Path) -> None:
    """A plane, a small one, a wide one, a stack, channels with NaN, a shifted plane and a point spread function."""
    from scipy.ndimage import gaussian_filter, shift

    import ruska

    random = np.random.default_rng(7)

    def specimen(*shape: int) -> np.ndarray:
        smooth = gaussian_filter(random.normal(size=shape), 3) * 12
        return 100 + 60 * (smooth > 0.2) + 20 * gaussian_filter(smooth, 2)

    def noisy(clean: np.ndarray, std: float = 12) -> np.ndarray:
        return clean + random.normal(size=clean.shape) * std

    size = ruska.Quantity(5.0, "nm")
    clean = specimen(160, 200)
    plane = np.clip(noisy(clean), 0, 255).astype(np.uint8)
    ruska.write(folder / "plane.tif", ruska.Image(plane, "YX", {"Y": size, "X": size}))
    np.save(folder / "plane.npy", plane)
    np.save(folder / "shifted.npy", np.clip(shift(clean, (2.3, -1.6), mode="mirror"), 0, 255).astype(np.uint8))
    np.save(folder / "small.npy", np.clip(noisy(specimen(96, 112)), 0, 65535).astype(np.uint16))
    np.save(folder / "wide.npy", noisy(specimen(700, 1100)).astype(np.float32))
    stack = np.clip(noisy(specimen(6, 128, 128)) * 40, 0, 65535).astype(np.uint16)
    ruska.write(folder / "stack.tif", ruska.Image(stack, "ZYX", {"Z": ruska.Quantity(20, "nm"), "Y": size, "X": size}))
    channels = noisy(np.stack([specimen(96, 96), 3 * specimen(96, 96)])).astype(np.float32)
    channels[0, 10:14, 20:25] = np.nan
    np.save(folder / "channels.npy", channels)
    y, x = np.mgrid[-6:7, -6:7]
    np.save(folder / "psf.npy", np.exp(-(x**2 + 0.5 * y**2) / 4))


if __name__ == "__main__":
    sys.exit(main())
