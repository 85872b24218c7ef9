"""``ruska demo``: a simulated micrograph through info, denoise, evaluate and report."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from ruska.cli import show
from ruska.cli.terminal import say

if TYPE_CHECKING:
    from ruska.physics.noise import PoissonGaussian

PIXEL_SIZE_NM = 4.0
SHAPE = (768, 768)


def run_demo(folder: Path) -> None:
    """Write ``noisy.tif``, ``truth.tif``, ``denoised.tif`` and the report into ``folder``, replacing older ones."""
    from ruska import io
    from ruska.evaluation import score
    from ruska.image import Image, Quantity
    from ruska.physics.phantom import cell_phantom, simulate_micrograph
    from ruska.pipeline import Here, Input, Request, RunOptions, describe, run

    started = time.perf_counter()
    folder.mkdir(parents=True, exist_ok=True)
    size = Quantity(PIXEL_SIZE_NM, "nm")
    spacing = {"Y": size, "X": size}
    clean = cell_phantom(SHAPE, seed=1, pixel_size_nm=PIXEL_SIZE_NM)
    say("1. Simulating a cell section at 50 electrons per pixel on a 16-bit detector")
    noisy = Image(simulate_micrograph(clean, dose=1, seed=2), "YX", spacing, meaning="counts")
    truth = Image(simulate_micrograph(clean, dose=_noise_free(), seed=2), "YX", spacing, meaning="counts")
    for name, image in (("noisy", noisy), ("truth", truth)):
        io.write(folder / f"{name}.tif", image, overwrite=True)
    noisy = io.read(folder / "noisy.tif")
    say()
    say("2. ruska info noisy.tif")
    show.facts(describe(noisy))
    say()
    say("3. ruska denoise noisy.tif -o denoised.tif")
    with show.progress() as progress:
        request = Request(task="denoise", inputs={"image": Input(path=str(folder / "noisy.tif"))},
                          output=str(folder / "denoised.tif"), run=RunOptions(overwrite=True))  # fmt: skip
        result = run(request, Here(event=show.told(progress), own_process=True))
    before, after = (score(i, io.read(folder / "truth.tif")).truth for i in (noisy, result.image))
    assert before is not None
    assert after is not None
    say(f"   PSNR against the truth: noisy {before.psnr_db.median:.1f} dB, denoised {after.psnr_db.median:.1f} dB; "
        f"SSIM {before.ssim.median:.2f}, {after.ssim.median:.2f}")  # fmt: skip
    say()
    say(f"Done in {time.perf_counter() - started:.0f} s. Look at the picture: {folder / 'denoised.report.png'}")
    say(f"and at the report: {result.report}")


def _noise_free() -> PoissonGaussian:
    """A dose so high that only the detector's rounding is left."""
    from ruska.physics.noise import PoissonGaussian

    return PoissonGaussian(peak_counts=1e12, read_noise=0.0)
