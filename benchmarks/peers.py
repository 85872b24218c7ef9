"""Who is compared: each a function from a `Case` to the restored image, with settings as recommended.

A name that ends in "(true noise)" is told what no user knows; one that ends in "(tuned to the truth)" has the setting
that the truth chooses, image by image. Samplers driven by Ruska's network are in `benchmarks.samplers`.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import ruska
from benchmarks import classical
from benchmarks.cases import Case
from benchmarks.classical import blur_width, level_of, noise_of, true_noise
from benchmarks.notes import source_digest
from benchmarks.peers_env import CAREAMICS, DEEPINVERSE, Elsewhere, Environment
from ruska.image import Image
from ruska.physics import PoissonGaussian
from ruska.weights import ModelCard
from ruska.weights.embedded import EMBEDDED

Restore = Callable[[Case], NDArray[Any] | Elsewhere]


@dataclass(frozen=True)
class Peer:
    """A method in the comparison.

    ours : Ruska's own. needs : a package without which it is skipped. slow : minutes an image; only with ``--slow``.
    passes : of a network over each pixel of the result; 0 for classical methods. environment : where it runs, if that
    is not here. version : counts up when it changes, so that remembered results are computed anew. driven : by Ruska's
    network, in whoever's sampler. told : what Ruska's estimates tell it of a case, as text.
    """

    name: str
    restore: Restore
    ours: bool = False
    needs: str | None = None
    slow: bool = False
    passes: int = 0
    environment: Environment | None = None
    version: int = 1
    driven: bool = False
    told: Callable[[Case], str] | None = None

    @property
    def stamp(self) -> str:
        """What a remembered figure depends on beside its input: name, version (of the weights, too), Ruska's code."""
        return f"{self.name} {self.version} {source_digest() if self.ours or self.driven else 'peer'}"

    def code(self, case: Case) -> str:
        """What a remembered result depends on beside ``version`` and the input: Ruska's code, or what it was told."""
        if self.ours or self.driven:
            return source_digest()
        if self.told is None:
            return "peer"
        return "told" + hashlib.sha256(self.told(case).encode()).hexdigest()[:8]

    @property
    def classical(self) -> bool:
        """Someone else's, without a network: what Ruska is measured against."""
        return not self.ours and self.passes == 0

    @property
    def missing(self) -> str | None:
        """What must be done to have it; None when it is there."""
        if self.needs is not None and importlib.util.find_spec(self.needs) is None:
            return f"{self.needs} is not installed: pip install {self.needs}"
        if self.environment is not None and self.environment.python is None:
            return self.environment.how
        return None


def ours(method: str, **settings: Any) -> Restore:
    """A method of Ruska, as a user calls it."""
    return lambda case: _run(case.measurement, method, settings)


def _run(measurement: NDArray[Any], method: str, settings: Mapping[str, Any]) -> NDArray[Any]:
    image = Image(measurement, "ZYX"[-measurement.ndim :])
    return ruska.denoise(image, method=method, settings=settings, dtype="float32").image.numpy()


def ruska_deblur(case: Case, noise: float | None = None) -> NDArray[Any]:
    """``ruska deblur`` with the true width of the blur."""
    settings = _noise_setting(case, noise)
    image = Image(case.measurement, "YX")
    return ruska.deblur(image, sigma=blur_width(case), settings=settings, dtype="float32").image.numpy()


def ruska_enlarge(case: Case, noise: float | None = None) -> NDArray[Any]:
    """``ruska superres`` or ``ruska isotropic`` by the case's factor."""
    settings = _noise_setting(case, noise)
    factor = 1 / case.operator.scale[0]
    image = Image(case.measurement, "ZYX"[-case.measurement.ndim :])
    if case.task == "isotropic":
        return ruska.isotropic(image, factor=factor, settings=settings, dtype="float32").image.numpy()
    return ruska.superres(image, scale=factor, settings=settings, dtype="float32").image.numpy()


def told(restore: Callable[[Case, float | None], NDArray[Any]]) -> Restore:
    """``restore`` told the true noise."""
    return lambda case: restore(case, true_noise(case))


def _noise_setting(case: Case, noise: float | None) -> dict[str, Any]:
    """The noise as Ruska is told it: a fraction of the intensity range."""
    if noise is None:
        return {}
    return {"noise_std": noise / float(np.ptp(np.percentile(case.measurement, (0.1, 99.9))))}


def card() -> ModelCard:
    """Of the weights that come with Ruska."""
    return ModelCard.read(EMBEDDED / "card.json")


PRIOR = int(card().sha256[:8], 16)
"""Version of all that Ruska's network drives: other weights, other results."""


def _spectrum(case: Case) -> str:
    found = noise_of(case)
    return " ".join(f"{value:.3g}" for value in (found.std, *found.lags_y, *found.lags_x))


def _line(case: Case) -> str:
    found = level_of(case)
    return "none" if found is None else f"{found.gain:.3g} {found.intercept:.3g}"


DENOISE = (
    Peer("noisy", lambda case: case.measurement),
    Peer("Ruska auto", ours("auto"), ours=True, passes=1, version=PRIOR),
    Peer("Ruska prior", ours("prior"), ours=True, passes=1, version=PRIOR),
    Peer("Ruska blindspot", ours("blindspot"), ours=True, slow=True, passes=1),
    Peer("Ruska tv", ours("tv"), ours=True),
    Peer("Ruska nlm", ours("nlm"), ours=True),
    Peer("Ruska wavelet", ours("wavelet"), ours=True),
    Peer("Ruska bm3d", ours("bm3d"), ours=True, needs="bm3d"),
    Peer("Gaussian 1.5 px", ours("gaussian")),
    Peer("skimage NLM", classical.skimage_nlm),
    Peer("skimage TV", classical.skimage_tv),
    Peer("skimage wavelet", classical.skimage_wavelet),
    Peer("BM3D", classical.bm3d_own, needs="bm3d"),
    Peer("BM3D, spectrum", classical.bm3d_spectrum, needs="bm3d", told=_spectrum),
    Peer("BM3D, spectrum (tuned to the truth)", classical.bm3d_tuned, needs="bm3d", told=_spectrum),
    Peer("Anscombe BM3D", classical.anscombe_bm3d, needs="bm3d", told=_line),
    Peer("BM3D (true noise)", classical.bm3d_true, needs="bm3d"),
    Peer("Anscombe BM3D (true noise)", classical.anscombe_bm3d_true, needs="bm3d"),
    Peer("SHINE preset", ours("shine", minutes=6, steps=1_000_000), slow=True, passes=1),
    Peer(
        "CAREamics Noise2Void",
        CAREAMICS.peer("careamics_n2v.py", steps=1000),
        slow=True,
        passes=1,
        environment=CAREAMICS,
    ),
    Peer("Noise2Void", ours("noise2void", minutes=6, steps=1_000_000), slow=True, passes=1),
)
DEBLUR = (
    Peer("Ruska deblur", ruska_deblur, ours=True, passes=8, version=PRIOR),
    Peer(
        "Ruska deblur (true noise)",
        lambda case: ruska_deblur(case, true_noise(case)),
        ours=True,
        passes=8,
        version=PRIOR,
    ),
    Peer("blurred", lambda case: case.measurement),
    Peer("Richardson-Lucy", classical.richardson_lucy),
    Peer("unsupervised Wiener", classical.unsupervised_wiener),
    Peer("TV (true noise)", classical.total_variation),
    Peer("BM3D, Richardson-Lucy (true noise)", classical.bm3d_richardson_lucy, needs="bm3d"),
    Peer(
        "DeepInverse DiffPIR, TV (true noise)",
        DEEPINVERSE.peer("deepinverse_diffpir.py"),
        slow=True,
        environment=DEEPINVERSE,
    ),
)
ENLARGE = (
    Peer("Ruska prior", ruska_enlarge, ours=True, passes=8, version=PRIOR + 1),
    Peer(
        "Ruska prior (true noise)",
        lambda case: ruska_enlarge(case, true_noise(case)),
        ours=True,
        passes=8,
        version=PRIOR,
    ),
    Peer("nearest", classical.nearest),
    Peer("cubic", classical.cubic),
    Peer("cubic, back-projection", classical.back_projection),
    Peer("TV (true noise)", classical.total_variation),
    Peer("BM3D, cubic, back-projection (true noise)", classical.bm3d_back_projection, needs="bm3d"),
)
ISOTROPIC = tuple(peer for peer in ENLARGE if not (peer.ours and "(true noise)" in peer.name))  # minutes for 0.03 dB
PEERS: Mapping[str, tuple[Peer, ...]] = {
    "denoise": DENOISE, "deblur": DEBLUR, "superres": ENLARGE, "isotropic": ISOTROPIC,
}  # fmt: skip


def applies(peer: Peer, case: Case) -> bool:
    """Whether the peer can be told what it must be: a real pair has no true noise."""
    if case.clean is not None and "(true noise)" in peer.name:
        return False
    if "(tuned to the truth)" in peer.name:
        return case.clean is not None
    if peer.name == "Anscombe BM3D (true noise)":
        return isinstance(case.noise, PoissonGaussian) and len(case.noise.scan_line_kernel) == 1
    return True
