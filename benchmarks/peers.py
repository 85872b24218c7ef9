"""Who is compared: each a function from a `Case` to the restored image, with settings as recommended.

A name that ends in "(true noise)" is told what no user knows.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import ruska
from benchmarks import em_generalist
from benchmarks.cases import Case
from benchmarks.peers_env import CAREAMICS, DEEPINVERSE, Environment
from ruska.image import Image
from ruska.physics import PoissonGaussian, anscombe, estimate_noise, inverse_anscombe, noise_level
from ruska.physics.operators import data_step
from ruska.weights import ModelCard
from ruska.weights.embedded import EMBEDDED

Restore = Callable[[Case], NDArray[Any]]
_BACK_PROJECTIONS = 10
_LEAST_FOR_GAIN = 64  # pixels each way, to see how noise grows with the signal
_TV_ITERATIONS, _TV_WEIGHT = 30, 0.08


@dataclass(frozen=True)
class Peer:
    """A method in the comparison.

    ours : Ruska's own. needs : a package without which it is skipped. slow : minutes an image; only with ``--slow``.
    passes : of a network over each pixel of the result; 0 for classical methods. environment : where it runs, if that
    is not here. version : counts up when it changes, so that remembered results are computed anew.
    """

    name: str
    restore: Restore
    ours: bool = False
    needs: str | None = None
    slow: bool = False
    passes: int = 0
    environment: Environment | None = None
    version: int = 1

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
    return ruska.deblur(image, sigma=_sigma(case), settings=settings, dtype="float32").image.numpy()


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
    return lambda case: restore(case, _told(case))


def _noise_setting(case: Case, noise: float | None) -> dict[str, Any]:
    """The noise as Ruska is told it: a fraction of the intensity range."""
    if noise is None:
        return {}
    return {"noise_std": noise / float(np.ptp(np.percentile(case.measurement, (0.1, 99.9))))}


def _bm3d(values: NDArray[Any], noise: Any) -> NDArray[Any]:
    import bm3d

    if values.ndim == 3:
        return np.stack([_bm3d(plane, noise) for plane in values])
    if not hasattr(np, "trapz"):  # of a spectrum bm3d takes the integral by the name it had before NumPy 2
        setattr(np, "trapz", np.trapezoid)  # noqa: B010  # the linter knows the name as one that is gone
    return np.asarray(bm3d.bm3d(values.astype(np.float64), noise))


def _white(case: Case) -> float:
    """Ruska's estimate of the white noise as strong as the case's."""
    plane = case.measurement if case.measurement.ndim == 2 else case.measurement[len(case.measurement) // 2]
    return estimate_noise(plane).white_equivalent_std


def bm3d_own(case: Case) -> NDArray[Any]:
    """Told skimage's estimate, as its users do."""
    from skimage.restoration import estimate_sigma

    return _bm3d(case.measurement, float(estimate_sigma(case.measurement.astype(np.float64))))


def bm3d_true(case: Case) -> NDArray[Any]:
    return _bm3d(case.measurement, _told(case))


def bm3d_spectrum(case: Case) -> NDArray[Any]:
    """Told the noise's spectrum, from the correlation that Ruska measures (what BM3D's authors call a PSD)."""
    found = estimate_noise(case.measurement)
    lags = [np.array([*reversed(side), 1.0, *side]) for side in (found.lags_y, found.lags_x)]
    covariance = np.outer(*lags) * found.std**2
    padded = np.zeros(case.measurement.shape)
    padded[: covariance.shape[0], : covariance.shape[1]] = covariance
    padded = np.roll(padded, [-(n // 2) for n in covariance.shape], (0, 1))
    spectrum = np.maximum(np.fft.fft2(padded).real, 1e-12) * padded.size
    return _bm3d(case.measurement, spectrum)


def anscombe_bm3d(case: Case) -> NDArray[Any]:
    """After a generalised Anscombe transform with the parameters that Ruska fits to the image."""
    line = noise_level(case.measurement) if min(case.measurement.shape) >= _LEAST_FOR_GAIN else None
    if line is None or line.gain <= 0:
        return bm3d_own(case)
    return _stabilised(case.measurement, line.gain, line.intercept)


def anscombe_bm3d_true(case: Case) -> NDArray[Any]:
    assert isinstance(case.noise, PoissonGaussian)
    return _stabilised(case.measurement, 1 / case.noise.peak_counts, case.noise.read_noise**2)


def _stabilised(values: NDArray[Any], gain: float, intercept: float) -> NDArray[Any]:
    offset = min(0.0, intercept / gain)  # a detector offset makes the line cross zero above level 0
    stable = anscombe(values + offset, gain, max(intercept, 0.0))
    span = np.ptp(stable)
    restored = _bm3d(stable / span, 1 / span) * span
    return inverse_anscombe(restored, gain, max(intercept, 0.0)) - offset


def skimage_nlm(case: Case) -> NDArray[Any]:
    from skimage.restoration import denoise_nl_means, estimate_sigma

    values = case.measurement.astype(np.float64)
    sigma = float(estimate_sigma(values))
    return denoise_nl_means(values, patch_size=5, patch_distance=6, h=0.8 * sigma, sigma=sigma, fast_mode=True)


def skimage_tv(case: Case) -> NDArray[Any]:
    """Weight 0.1 on a 0-1 scale, skimage's own default."""
    from skimage.restoration import denoise_tv_chambolle

    values = case.measurement.astype(np.float64)
    low, high = values.min(), values.max()
    return denoise_tv_chambolle((values - low) / (high - low), weight=0.1) * (high - low) + low


def skimage_wavelet(case: Case) -> NDArray[Any]:
    from skimage.restoration import denoise_wavelet

    return denoise_wavelet(case.measurement.astype(np.float64), rescale_sigma=True)


def richardson_lucy(case: Case, measurement: NDArray[Any] | None = None, iterations: int = 15) -> NDArray[Any]:
    """scikit-image's, with the true point spread function, on mirrored borders."""
    from skimage.restoration import richardson_lucy as skimage_richardson_lucy

    from ruska.physics.operators import gaussian_psf

    values = np.clip(case.measurement if measurement is None else measurement, 1e-3, None).astype(np.float64)
    padded = np.pad(values, 32, mode="symmetric")
    return skimage_richardson_lucy(padded, gaussian_psf(_sigma(case)), num_iter=iterations, clip=False)[32:-32, 32:-32]


def bm3d_richardson_lucy(case: Case) -> NDArray[Any]:
    return richardson_lucy(case, _bm3d(case.measurement, _told(case)), iterations=30)


def unsupervised_wiener(case: Case) -> NDArray[Any]:
    from skimage.restoration import unsupervised_wiener as skimage_wiener

    from ruska.physics.operators import gaussian_psf

    values = np.pad(case.measurement.astype(np.float64), 32, mode="symmetric")
    # skimage draws its samples from NumPy's global generator unless it is handed one
    found, _ = skimage_wiener(values, gaussian_psf(_sigma(case)), clip=False, rng=0)
    return found[32:-32, 32:-32]


def total_variation(case: Case) -> NDArray[Any]:
    """Least squares with total variation, any operator, by half-quadratic splitting with the true noise level."""
    import torch
    from skimage.restoration import denoise_tv_chambolle

    y = torch.from_numpy(case.measurement.astype(np.float64))[None, None]
    x = torch.from_numpy(cubic(case).astype(np.float64))[None, None]
    sigma = _told(case)
    for step in range(_TV_ITERATIONS):
        spread = 0.1 * (sigma / 0.1) ** (step / (_TV_ITERATIONS - 1))  # of the guess's error, falling
        guess = denoise_tv_chambolle(x[0, 0].numpy(), weight=_TV_WEIGHT * spread)
        x = data_step(case.operator, y, torch.from_numpy(guess)[None, None], (sigma / spread) ** 2)
    return guess


def cubic(case: Case) -> NDArray[Any]:
    """Cubic interpolation between the centres of cells."""
    return _enlarged(case.measurement, case)


def nearest(case: Case) -> NDArray[Any]:
    return _enlarged(case.measurement, case, order=0)


def _enlarged(values: NDArray[Any], case: Case, order: int = 3) -> NDArray[Any]:
    from scipy.ndimage import zoom

    if case.truth is None or values.shape == case.truth.shape:
        return np.asarray(values, dtype=np.float64)
    factors = [t / n for t, n in zip(case.truth.shape, values.shape, strict=True)]
    return zoom(values.astype(np.float64), factors, order=order, mode="grid-mirror", grid_mode=True)


def back_projection(case: Case, measurement: NDArray[Any] | None = None) -> NDArray[Any]:
    """Cubic, then corrected until decimating it gives the measurement. Source: Irani & Peleg (1991), CVGIP 53, 231."""
    import torch

    values = (case.measurement if measurement is None else measurement).astype(np.float64)
    x = _enlarged(values, case)
    for _ in range(_BACK_PROJECTIONS):
        missing = values - case.operator.forward(torch.from_numpy(x)[None, None])[0, 0].numpy()
        x = x + _enlarged(missing, case)
    return x


def bm3d_back_projection(case: Case) -> NDArray[Any]:
    return back_projection(case, _bm3d(case.measurement, _told(case)))


def _told(case: Case) -> float:
    found = case.noise_std
    return _white(case) if found is None else found


def _sigma(case: Case) -> float:
    from ruska.physics.operators import GaussianBlur

    assert isinstance(case.operator, GaussianBlur)
    return case.operator.sigmas[0]


_PRIOR = int(ModelCard.read(EMBEDDED / "card.json").sha256[:8], 16)  # other weights, other results
DENOISE = (
    Peer("noisy", lambda case: case.measurement),
    Peer("Ruska auto", ours("auto"), ours=True, passes=1, version=_PRIOR),
    Peer("Ruska prior", ours("prior"), ours=True, passes=1, version=_PRIOR),
    Peer("flow PnP, same prior", em_generalist.flow, slow=True, passes=100, version=_PRIOR),
    Peer("DPS, same prior", em_generalist.gradient, slow=True, passes=1000, version=_PRIOR),
    Peer("Ruska blindspot", ours("blindspot"), ours=True, slow=True, passes=1),
    Peer("Ruska tv", ours("tv"), ours=True),
    Peer("Ruska nlm", ours("nlm"), ours=True),
    Peer("Ruska wavelet", ours("wavelet"), ours=True),
    Peer("Ruska bm3d", ours("bm3d"), ours=True, needs="bm3d"),
    Peer("Gaussian 1.5 px", ours("gaussian")),
    Peer("skimage NLM", skimage_nlm),
    Peer("skimage TV", skimage_tv),
    Peer("skimage wavelet", skimage_wavelet),
    Peer("BM3D", bm3d_own, needs="bm3d"),
    Peer("BM3D, spectrum", bm3d_spectrum, needs="bm3d"),
    Peer("Anscombe BM3D", anscombe_bm3d, needs="bm3d"),
    Peer("BM3D (true noise)", bm3d_true, needs="bm3d"),
    Peer("Anscombe BM3D (true noise)", anscombe_bm3d_true, needs="bm3d"),
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
    Peer("Ruska deblur", ruska_deblur, ours=True, passes=8, version=_PRIOR),
    Peer(
        "Ruska deblur (true noise)", lambda case: ruska_deblur(case, _told(case)), ours=True, passes=8, version=_PRIOR
    ),
    Peer("flow PnP, same prior (true noise)", em_generalist.flow, slow=True, passes=100, version=_PRIOR),
    Peer("DPS, same prior (true noise)", em_generalist.gradient, slow=True, passes=1000, version=_PRIOR),
    Peer("blurred", lambda case: case.measurement),
    Peer("Richardson-Lucy", richardson_lucy),
    Peer("unsupervised Wiener", unsupervised_wiener),
    Peer("TV (true noise)", total_variation),
    Peer("BM3D, Richardson-Lucy (true noise)", bm3d_richardson_lucy, needs="bm3d"),
    Peer(
        "DeepInverse DiffPIR, TV (true noise)",
        DEEPINVERSE.peer("deepinverse_diffpir.py"),
        slow=True,
        environment=DEEPINVERSE,
    ),
)
ENLARGE = (
    Peer("Ruska prior", ruska_enlarge, ours=True, passes=8, version=_PRIOR + 1),
    Peer(
        "Ruska prior (true noise)", lambda case: ruska_enlarge(case, _told(case)), ours=True, passes=8, version=_PRIOR
    ),
    Peer("flow PnP, same prior (true noise)", em_generalist.flow, slow=True, passes=100, version=_PRIOR),
    Peer("nearest", nearest),
    Peer("cubic", cubic),
    Peer("cubic, back-projection", back_projection),
    Peer("TV (true noise)", total_variation),
    Peer("BM3D, cubic, back-projection (true noise)", bm3d_back_projection, needs="bm3d"),
)
PEERS: Mapping[str, tuple[Peer, ...]] = {
    "denoise": DENOISE, "deblur": DEBLUR, "superres": ENLARGE, "isotropic": ENLARGE,
}  # fmt: skip


def applies(peer: Peer, case: Case) -> bool:
    """Whether the peer can be told what it must be: a real pair has no true noise."""
    if case.clean is not None and "(true noise)" in peer.name:
        return False
    if peer.name == "Anscombe BM3D (true noise)":
        return isinstance(case.noise, PoissonGaussian) and len(case.noise.scan_line_kernel) == 1
    return True
