"""Total variation, non-local means, wavelets and BM3D: denoisers that are told how strong the noise is.

All work on normalised intensities. ``noise_std`` is in fractions of the image's intensity range (0.1 to 99.9
percentile); None means estimated from the data, as the strength of the white noise a denoiser must assume.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, field_validator

from ruska.errors import MissingExtraError, SettingsError, did_you_mean
from ruska.methods.about import DENOISE, About
from ruska.methods.looking import Readable, typical_noise, typical_plane
from ruska.methods.settings import Settings
from ruska.methods.shrinkage import measure, white
from ruska.methods.slices import SliceMethod

if TYPE_CHECKING:
    from numpy.typing import NDArray

_NOISE = "Noise standard deviation, as a fraction of the intensity range. Default: estimated from the data."
_DIMENSIONS = "2: every slice on its own. 3: across slices too (Z, Y, X)."
_WAVELETS = 70.0  # bytes a pixel; measured: 67
_LEAST_NOISE = 1e-4  # of the range: below, there is nothing to remove, and strengths must not become 0


class TotalVariationSettings(Settings):
    """Settings of `TotalVariation`."""

    basic: ClassVar[tuple[str, ...]] = ("strength",)
    noise_std: float | None = Field(None, gt=0, le=2, description=_NOISE)
    strength: float = Field(0.9, gt=0, le=10, description="Weight of the smoothness term in noise levels, 0 to 10.")
    iterations: int = Field(60, ge=1, le=1000, description="Iterations of Chambolle's algorithm, 1 to 1000.")
    dimensions: int = Field(2, ge=2, le=3, description=_DIMENSIONS)


class NonLocalMeansSettings(Settings):
    """Settings of `NonLocalMeans`."""

    basic: ClassVar[tuple[str, ...]] = ("strength",)
    noise_std: float | None = Field(None, gt=0, le=2, description=_NOISE)
    strength: float = Field(0.6, gt=0, le=10, description="Decay of the weights (h) in noise levels, 0 to 10.")
    patch_size: int = Field(5, ge=3, le=15, description="Edge of the patches compared, in pixels, 3 to 15.")
    patch_distance: int = Field(9, ge=1, le=50, description="How far away patches are searched, in pixels, 1 to 50.")
    dimensions: int = Field(2, ge=2, le=3, description=_DIMENSIONS)


class WaveletSettings(Settings):
    """Settings of `Wavelet`."""

    basic: ClassVar[tuple[str, ...]] = ("noise_std",)
    noise_std: float | None = Field(None, gt=0, le=2, description=_NOISE)
    wavelet: str = Field("db2", description="Name of a PyWavelets wavelet, e.g. db2, sym8, haar.")
    shifts: int = Field(3, ge=0, le=7, description="Cycle spinning: the largest shift in pixels, 0 to 7.")

    @field_validator("wavelet")
    @classmethod
    def _is_known(cls, name: str) -> str:
        import pywt

        if name not in (known := pywt.wavelist(kind="discrete")):
            raise SettingsError("wavelet.wavelet", f"'{name}' is unknown", did_you_mean(name, known))
        return name


class BM3DSettings(Settings):
    """Settings of `BM3D`."""

    basic: ClassVar[tuple[str, ...]] = ("strength",)
    noise_std: float | None = Field(None, gt=0, le=2, description=_NOISE)
    strength: float = Field(
        1.1, gt=0, le=10, description="Noise level BM3D is told, as a multiple of the measured one, 0 to 10."
    )


@dataclass(frozen=True)
class _Same:
    """A filter that returns the type it was given."""

    function: Callable[[NDArray[Any]], NDArray[Any]]

    def __call__(self, plane: NDArray[Any]) -> NDArray[Any]:
        return self.function(plane).astype(plane.dtype)


def _noise(given: float | None, source: Readable) -> tuple[float, tuple[str, ...]]:
    """The noise level to work against, and what to tell the user of it."""
    if given is not None:
        return given, ()
    found = typical_noise(source)
    if found is None:
        return 0.05, ("The image is too small to estimate its noise; 5 % of the range was assumed.",)
    std = max(found.white_equivalent_std, _LEAST_NOISE)
    return std, (f"noise {found.std:.3g} of the intensity range, treated as {std:.3g}. {found.reason}",)


def _ready(
    function: Callable[[NDArray[Any]], NDArray[Any]], halo: int, bytes_per_voxel: float, settings: Settings,
    noise_std: float, notes: tuple[str, ...], *, exact: bool, threads: Literal["one", "many"] = "one",
) -> SliceMethod:  # fmt: skip
    resolved = {**settings.model_dump(), "noise_std": noise_std}
    dimensions = resolved.get("dimensions", 2)
    return SliceMethod(function, (halo,) * dimensions, bytes_per_voxel, resolved, notes,
                       locality="exact" if exact else "approximate", threads=threads)  # fmt: skip


@dataclass(frozen=True)
class TotalVariation:
    """Total variation by Chambolle (2004) (skimage.restoration.denoise_tv_chambolle), a fixed number of iterations."""

    settings: TotalVariationSettings

    def prepare(self, source: Readable, normalisation: object, budget: object) -> SliceMethod:
        from skimage.restoration import denoise_tv_chambolle  # now: counted with what is held before the blocks

        noise_std, notes = _noise(self.settings.noise_std, source)
        weight, iterations = self.settings.strength * noise_std, self.settings.iterations
        # eps=0: a fixed number of iterations, or a block would stop earlier than the whole.
        smooth = _Same(partial(denoise_tv_chambolle, weight=weight, eps=0, max_num_iter=iterations))
        taken = 50.0 if self.settings.dimensions == 2 else 62.0  # measured: 44 to 48, 56 to 60
        return _ready(smooth, min(iterations, 48), taken, self.settings, noise_std, notes, exact=False)


@dataclass(frozen=True)
class NonLocalMeans:
    """Non-local means of Buades, Coll & Morel (2005) (skimage.restoration.denoise_nl_means, fast mode)."""

    settings: NonLocalMeansSettings

    def prepare(self, source: Readable, normalisation: object, budget: object) -> SliceMethod:
        from skimage.restoration import denoise_nl_means

        noise_std, notes = _noise(self.settings.noise_std, source)
        own = self.settings
        average = _Same(partial(
            denoise_nl_means, patch_size=own.patch_size, patch_distance=own.patch_distance, h=own.strength * noise_std,
            sigma=noise_std, fast_mode=True,
        ))  # fmt: skip
        halo = own.patch_distance + own.patch_size // 2 + 1
        taken = 43.0 if own.dimensions == 2 else 60.0  # measured: 37 to 41, 52 to 58
        return _ready(average, halo, taken, own, noise_std, notes, exact=True)


@dataclass(frozen=True)
class Wavelet:
    """BayesShrink of Chang, Yu & Vetterli (2000), averaged over shifts, with the noise of each subband."""

    settings: WaveletSettings

    def prepare(self, source: Readable, normalisation: object, budget: object) -> SliceMethod:
        own = self.settings
        plane = None if own.noise_std is not None else typical_plane(source)
        found = None if plane is None else typical_noise(source)
        if plane is None or found is None:
            noise_std, notes = _noise(own.noise_std, source)
            shrink = white(noise_std, own.wavelet, own.shifts)
            return _ready(shrink, 64, _WAVELETS, own, noise_std, notes, exact=False)
        shrink, _ = measure(plane, own.wavelet, own.shifts, found)
        note = f"noise {found.std:.3g} of the intensity range, treated by its share in each subband. {found.reason}"
        if shrink.gain > 0:
            note += " It grows with the signal, which is evened out first (Anscombe)."
        # Without a level in the record, its command measures the noise again, and finds the same.
        return SliceMethod(shrink, (64, 64), _WAVELETS, own.model_dump(), (note,), locality="approximate")


@dataclass(frozen=True)
class BM3D:
    """BM3D of Dabov et al. (2007) as its authors distribute it (package ``bm3d``, non-commercial use only)."""

    settings: BM3DSettings

    def prepare(self, source: Readable, normalisation: object, budget: object) -> SliceMethod:
        try:
            import bm3d
        except ImportError as error:
            raise MissingExtraError("bm3d", "is not installed", "pip install 'ruska[bm3d]' (its licence allows "
                                    "non-commercial use only), or use --method auto.") from error  # fmt: skip
        noise_std, notes = _noise(self.settings.noise_std, source)
        collaborate = _Same(partial(bm3d.bm3d, sigma_psd=self.settings.strength * noise_std))
        return _ready(collaborate, 48, 590.0, self.settings, noise_std, notes, exact=False, threads="many")


TOTAL_VARIATION = About(
    "tv", DENOISE, "Total variation: flat regions, sharp edges; fast, robust to streaks; can look painted.",
    TotalVariationSettings, TotalVariation, each=True,
)  # fmt: skip
NON_LOCAL_MEANS = About(
    "nlm", DENOISE, "Non-local means: averages similar patches; keeps texture; best for white noise.",
    NonLocalMeansSettings, NonLocalMeans, each=True,
)  # fmt: skip
WAVELET = About(
    "wavelet", DENOISE, "Wavelet shrinkage with the noise of every subband: fast; keeps fine detail; for streaks too.",
    WaveletSettings, Wavelet, each=True,
)  # fmt: skip
BM3D_ABOUT = About(
    "bm3d", DENOISE, "BM3D: the classical reference. Optional package, for non-commercial use only; slow.",
    BM3DSettings, BM3D, each=True,
)  # fmt: skip
