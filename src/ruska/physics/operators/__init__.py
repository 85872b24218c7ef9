"""What an instrument does to a specimen, as linear operators with exact transposes. A restoration undoes it."""

from ruska.physics.operators.blur import AxialBlur, Blur, GaussianBlur
from ruska.physics.operators.compose import Composition, Identity
from ruska.physics.operators.contract import Geometry, Operator
from ruska.physics.operators.custom import load_operator
from ruska.physics.operators.decimate import Decimation
from ruska.physics.operators.dense import Line, lines
from ruska.physics.operators.families import FAMILIES, BlurShape, Family, blur_shape, free_shape
from ruska.physics.operators.mask import Mask
from ruska.physics.operators.normal import data_step
from ruska.physics.operators.psf import airy_psf, astigmatic_psf, disc_psf, gaussian_psf, measured_psf
from ruska.physics.operators.spread import spread

__all__ = [
    "FAMILIES",
    "AxialBlur",
    "Blur",
    "BlurShape",
    "Composition",
    "Decimation",
    "Family",
    "GaussianBlur",
    "Geometry",
    "Identity",
    "Line",
    "Mask",
    "Operator",
    "airy_psf",
    "astigmatic_psf",
    "blur_shape",
    "data_step",
    "disc_psf",
    "free_shape",
    "gaussian_psf",
    "lines",
    "load_operator",
    "measured_psf",
    "spread",
]
