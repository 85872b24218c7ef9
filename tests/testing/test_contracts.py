"""Our own methods, operators and sinks run through what `ruska.testing` asks of those of others."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch

from ruska import methods
from ruska.engine import BlockStore, CanonicalSink, Layout, MemoryStore
from ruska.physics.operators import (
    AxialBlur,
    Blur,
    Composition,
    Decimation,
    GaussianBlur,
    Identity,
    Mask,
    airy_psf,
    astigmatic_psf,
)
from ruska.testing import check_about, check_method, check_operator, check_sink

QUICK = {
    "identity": {}, "gaussian": {}, "median": {}, "tv": {"iterations": 10}, "nlm": {"patch_distance": 4}, "wavelet": {},
    "richardson-lucy": {"sigma": 1, "iterations": 2},
}  # fmt: skip
THICK = {name: {**QUICK[name], "dimensions": 3} for name in ("gaussian", "median", "tv")}
THICK["nlm"] = {"patch_distance": 2, "patch_size": 3, "dimensions": 3}
LEARNED = {
    "prior": {}, "deblur": {"sigma": 1, "steps": 1}, "superres": {"scale": "3/2", "steps": 1},
    "isotropic": {"factor": "2", "steps": 1},
}  # fmt: skip
TRAINED = {"blindspot": {}, "noise2void": {}, "udvd": {}, "shine": {}}
UNEVEN = np.random.default_rng(3).random((5, 9))


def test_no_method_is_left_out():
    assert {*QUICK, *LEARNED, *TRAINED, "bm3d"} == set(methods.METHODS)


@pytest.mark.parametrize("name", QUICK)
def test_methods_keep_the_contract(name):
    check_method(check_about(methods.about(name), QUICK[name]), processes=name == "gaussian")


@pytest.mark.parametrize("name", THICK)
def test_methods_of_volumes_keep_it_too(name):
    check_method(check_about(methods.about(name), THICK[name]), processes=False)


@pytest.mark.parametrize("name", LEARNED)
def test_methods_with_the_prior_keep_it(name):
    image = np.random.default_rng(1).normal(100, 20, (48, 56) if name != "isotropic" else (4, 16, 16))
    image[..., 12:, 6:] += 80
    method = check_about(methods.about(name), LEARNED[name], image.astype(np.float32))
    check_method(method, image.astype(np.float32), edge=24 if name != "isotropic" else 8, processes=False)


@pytest.mark.parametrize("name", TRAINED)
def test_what_is_known_of_methods_that_train_is_sound(name):
    check_about(methods.about(name), TRAINED[name], prepare=False)


def test_what_is_known_of_bm3d_is_sound():
    check_about(methods.about("bm3d"), prepare=False)  # its package is not installed everywhere


OPERATORS = {
    "identity": (Identity(), 0),
    "gaussian": (GaussianBlur((1.3, 0.0)), 6),
    "airy": (Blur(airy_psf(3.0)), None),
    "astigmatic": (Blur(astigmatic_psf(3, 1, 30)), None),
    "uneven": (Blur(UNEVEN), 4),
    "decimation": (Decimation((Fraction(4), Fraction(3))), 0),
    "rational decimation": (Decimation((Fraction(5, 2), Fraction(7, 3))), 2),
    "mask": (Mask(torch.from_numpy(np.random.default_rng(0).random((36, 38)) > 0.3)), None),
    "blur and decimation": (Composition(GaussianBlur((2.0, 2.0)), Decimation((Fraction(2), Fraction(5, 2)))), 12),
    "section": (AxialBlur((0.2, 0.5, 0.3)), 1),
    "isotropic": (Composition(GaussianBlur((2.0, 0.0, 0.0)), Decimation((Fraction(6), 1, 1))), 14),
}


@pytest.mark.parametrize("name", OPERATORS)
def test_operators_keep_the_contract(name):
    operator, reach = OPERATORS[name]
    check_operator(operator, reach=reach)


@pytest.mark.parametrize("kind", ["memory", "blocks", "zarr"])
def test_sinks_keep_the_contract(kind, tmp_path):
    made = []

    def make(shape, dtype):
        made.append(shape)
        grain = tuple(-(-n // 2) for n in shape)
        if kind == "memory":
            return MemoryStore(shape, dtype)
        if kind == "blocks":
            return BlockStore(tmp_path / str(len(made)), shape, dtype, grain)
        from ruska.io.zarr_store import ZarrSink

        layout = Layout("CYX" if len(shape) == 3 else "ZCYX", shape, 2)
        return CanonicalSink(ZarrSink(tmp_path / f"{len(made)}.zarr", shape, dtype, layout.axes, chunks=grain), layout)

    check_sink(make)
