"""Deblurring, super-resolution and isotropic reconstruction from image or file to result."""

from __future__ import annotations

import os
from collections.abc import Mapping
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Literal

from ruska.errors import GeometryError
from ruska.pipeline.prepare import DTypes, Options, check_stack
from ruska.pipeline.restore import Result, as_image, run_job

if TYPE_CHECKING:
    from ruska.engine import Progress
    from ruska.image import Image

_FINEST = 12  # denominator of a factor that is told from voxel sizes


def deblur(
    image: Image | str | os.PathLike[str],
    output: str | os.PathLike[str] | None = None,
    *,
    sigma: float | None = None,
    psf: str | os.PathLike[str] | None = None,
    blind: Literal["gaussian", "defocus", "astigmatic", "free"] | None = None,
    settings: Mapping[str, Any] | None = None,
    dtype: DTypes = "same",
    samples: int = 0,
    seed: int = 0,
    memory: str | None = None,
    workers: int | None = None,
    roi: Mapping[str, slice] | None = None,
    overwrite: bool = False,
    report: bool = True,
    progress: Progress | None = None,
) -> Result:
    """Undo a blur of ``sigma`` pixels (Gaussian), or of the point spread function in the file ``psf``, in every slice.

    blind : the blur is not known, and to be found within a family: ``gaussian``, ``defocus`` (an even disc),
        ``astigmatic`` (an elliptic Gaussian) or ``free``. The record's settings and notes say what was found; an image
        in which no blur is found comes back as it was.
    settings : of method ``deblur`` (see `docs/methods.md`); the rest as for `denoise`.
    """
    given = dict(settings or {})
    given |= {"sigma": sigma} if sigma is not None else {}
    given |= {"psf": os.fspath(psf)} if psf is not None else {}
    given |= {"blind": blind} if blind is not None else {}
    options = Options(dtype, seed, memory, workers, roi, samples)
    return run_job("deblur", as_image(image), output, "deblur", given, options, overwrite=overwrite, report=report,
                   progress=progress)  # fmt: skip


def superres(
    image: Image | str | os.PathLike[str],
    output: str | os.PathLike[str] | None = None,
    *,
    scale: str | float | Fraction = 2,
    settings: Mapping[str, Any] | None = None,
    dtype: DTypes = "same",
    samples: int = 0,
    seed: int = 0,
    memory: str | None = None,
    workers: int | None = None,
    roi: Mapping[str, slice] | None = None,
    overwrite: bool = False,
    report: bool = True,
    progress: Progress | None = None,
) -> Result:
    """Pixels ``scale`` times finer along Y and X; pixel size and origin follow. The rest as for `denoise`."""
    given = {**(settings or {}), "scale": str(scale)}
    return run_job("superres", as_image(image), output, "superres", given,
                   Options(dtype, seed, memory, workers, roi, samples), overwrite=overwrite, report=report,
                   progress=progress)  # fmt: skip


def isotropic(
    image: Image | str | os.PathLike[str],
    output: str | os.PathLike[str] | None = None,
    *,
    factor: str | float | Fraction | None = None,
    settings: Mapping[str, Any] | None = None,
    dtype: DTypes = "same",
    samples: int = 0,
    seed: int = 0,
    memory: str | None = None,
    workers: int | None = None,
    roi: Mapping[str, slice] | None = None,
    overwrite: bool = False,
    report: bool = True,
    progress: Progress | None = None,
) -> Result:
    """As many slices as make voxels as deep as they are wide.

    factor : slice distance over pixel size; told from the voxel size when None. The rest as for `denoise`.

    Raises GeometryError where the voxel size does not tell, or says that the voxels are isotropic already.
    """
    opened = as_image(image)
    given = {**(settings or {}), "factor": str(factor if factor is not None else anisotropy(opened))}
    return run_job("isotropic", opened, output, "isotropic", given, Options(dtype, seed, memory, workers, roi, samples),
                   overwrite=overwrite, report=report, progress=progress)  # fmt: skip


def anisotropy(image: Image) -> Fraction:
    """Slice distance over pixel size, to a twelfth. Raises GeometryError where it is not to be told, or not above 1."""
    check_stack(image)
    sizes = image.voxel_size_nm
    if "Z" not in sizes or "X" not in sizes:
        raise GeometryError(image.name, "does not say how far apart its slices are",
                            "Pass --factor, or --voxel-size such as 50nm,5nm,5nm.")  # fmt: skip
    found = Fraction(sizes["Z"] / sizes["X"]).limit_denominator(_FINEST)
    if found <= 1:
        raise GeometryError(image.name, f"has slices {sizes['Z']:.3g} nm apart and pixels of {sizes['X']:.3g} nm",
                            "There is nothing to be made isotropic; for finer pixels: `ruska superres`.")  # fmt: skip
    return found
