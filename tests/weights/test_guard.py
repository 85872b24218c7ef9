"""A run says in one sentence that an image is unlike what its model was trained on, and nothing where it is not."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

import ruska
from ruska.image import Image
from ruska.physics import cell_phantom
from ruska.pipeline import describe
from ruska.pipeline.prepare import outside_domain
from ruska.weights import ModelCard
from ruska.weights.embedded import EMBEDDED
from ruska.weights.model import CARD

DOMAIN = {"noise": [0.06, 5.9], "skewness": [-0.55, 0.6], "equal": [0, 0.11], "detail": [1.2, 10.8]}
SHAPE = (96, 96)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """The model that comes with Ruska, with a domain in its card."""
    folder = tmp_path_factory.mktemp("models") / "known"
    shutil.copytree(EMBEDDED, folder)
    facts = json.loads((folder / CARD).read_text(encoding="utf-8"))
    (folder / CARD).write_text(json.dumps({**facts, "name": "known", "domain": DOMAIN}), encoding="utf-8")
    return folder


def noisy(values):
    return (values + np.random.default_rng(0).normal(0, 0.05, values.shape)).astype(np.float32)


def spots():
    found = np.zeros(SHAPE)
    found[20::40, 20::40] = 1
    found = gaussian_filter(found, 4)
    return Image(noisy(found / found.max()), "YX", name="spots.tif")


def test_a_run_and_its_prediction_warn_of_spots_on_black(model):
    (said,) = ruska.denoise(spots(), method="prior", settings={"model": str(model)}).record["warnings"]
    assert "unlike those that known was trained on" in said
    assert "bright spots on black" in said
    assert "--method wavelet" in said
    assert said in describe(spots(), "prior", {"model": str(model)})["reason"]


def test_tissue_is_not_spoken_of(model):
    image = Image(noisy(cell_phantom(SHAPE, seed=3)), "YX", name="cells.tif")
    assert ruska.denoise(image, method="prior", settings={"model": str(model)}).record["warnings"] == []
    assert "unlike" not in describe(image, "prior", {"model": str(model)})["reason"]


def test_restorations_are_warned_about_without_a_method_of_denoising(model):
    result = ruska.superres(spots(), scale=2, settings={"model": str(model), "steps": 1})
    (said,) = result.record["warnings"]
    assert "check the result carefully" in said
    assert "wavelet" not in said


def test_too_small_an_image_is_passed(model):
    from ruska.engine import ArraySource, NormalisedSource, measure_intensities

    tiny = Image(np.eye(12, dtype=np.float32), "YX")
    source = ArraySource(tiny.data, "YX")
    statistics = measure_intensities(source)
    normalised = NormalisedSource(source, statistics.normalisation(), statistics.mean)
    assert outside_domain(tiny, ModelCard.read(model / CARD), normalised) == ()
