"""A model trained on files, used on others: the same command goes on, and nothing is replaced unasked."""

from __future__ import annotations

import numpy as np
import pytest

import ruska
from ruska.engine import ArraySource
from ruska.engine.layout import in_stack_order
from ruska.errors import InputError, OutputError, SettingsError
from ruska.image import Image
from ruska.image.quantity import Quantity
from ruska.methods.blindspot_learning import Hidden
from ruska.physics import PoissonGaussian, cell_phantom
from ruska.pipeline import train
from ruska.weights import load_model

QUICK = {"precision": "fp32", "patch": 64, "batch": 2, "learning_rate": 3e-3, "spot": "1x1"}


def section(seed, shape=(96, 112)):
    truth = np.asarray(cell_phantom(shape, seed=seed))
    return truth, PoissonGaussian(12, 0.04).simulate(truth, seed=seed)


def named(values, name, axes="YX", size=4.0):
    return Image(values, axes, name=name, spacing={"X": Quantity(size, "nm"), "Y": Quantity(size, "nm")})


def test_a_model_trained_on_some_files_denoises_another(tmp_path, monkeypatch):
    monkeypatch.setattr(Hidden.__init__, "__defaults__", (1, 1, (8, 16)))  # two scales instead of four: in seconds
    images = [named(section(seed, (96, 96 + 16 * seed))[1] * 1000, f"{seed}.tif") for seed in (1, 2, 3)]
    card = train(images, tmp_path / "m", settings={**QUICK, "steps": 120})
    assert [d.name for d in card.data] == ["1.tif", "2.tif", "3.tif"]
    assert (tmp_path / "m" / "log.csv").read_text().startswith("step,seconds,loss,score")
    assert (tmp_path / "m" / "weights.safetensors").stat().st_mode == (tmp_path / "m" / "card.json").stat().st_mode
    truth, noisy = section(9)
    result = ruska.denoise(named(300 * noisy, "9.tif"), method="blindspot", settings={"model": str(tmp_path / "m")})
    wrong = np.mean((result.image.numpy() / 300 - truth) ** 2)
    assert wrong < 0.5 * np.mean((noisy - truth) ** 2)  # how far so short a training gets differs by the processor
    assert wrong < 0.9 * truth.var()
    assert result.record["weights"] == card.sha256
    assert not result.record["warnings"]
    coarse = ruska.denoise(
        named(noisy, "9.tif", size=40.0), method="blindspot", settings={"model": str(tmp_path / "m")}
    )
    assert "trained on 4 nm" in coarse.record["warnings"][0]


def test_the_same_call_goes_on_and_more_steps_are_added(tmp_path):
    images = [named(section(1)[1], "1.tif")]
    train(images, tmp_path / "whole", settings={**QUICK, "steps": 12, "decay": "flat"})
    train(images, tmp_path / "parts", settings={**QUICK, "steps": 5, "decay": "flat"})
    first = load_model(tmp_path / "parts").card
    parts = train(images, tmp_path / "parts", settings={**QUICK, "steps": 12, "decay": "flat"})
    assert (first.training["steps"], parts.training["steps"]) == (5, 12)
    assert first.sha256 != parts.sha256
    # the rise of the learning rate is a tenth of the steps, so the two are near and not equal
    ours, theirs = (load_model(tmp_path / name).tensors for name in ("whole", "parts"))
    assert all(np.allclose(ours[k], theirs[k], atol=0.05) for k in ours)
    again = train(images, tmp_path / "parts", settings={**QUICK, "steps": 12, "decay": "flat"})
    assert again.sha256 == parts.sha256


def test_another_training_is_not_replaced_unasked(tmp_path):
    images = [named(section(1)[1], "1.tif")]
    card = train(images, tmp_path / "m", settings={**QUICK, "steps": 2})
    with pytest.raises(OutputError, match="other settings or data"):
        train(images, tmp_path / "m", settings={**QUICK, "steps": 2, "seed": 1})
    with pytest.raises(OutputError, match="other settings or data"):
        train([named(section(2)[1], "1.tif")], tmp_path / "m", settings={**QUICK, "steps": 2})
    assert load_model(tmp_path / "m").card.sha256 == card.sha256
    other = train(images, tmp_path / "m", settings={**QUICK, "steps": 2, "seed": 1}, overwrite=True)
    assert other.sha256 != card.sha256


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(OutputError, match="not empty"):
        train([named(section(1)[1], "1.tif")], tmp_path, settings={**QUICK, "steps": 2})
    assert (tmp_path / "thesis.txt").read_text() == "years of work"
    with pytest.raises(OutputError, match="is a file"):
        train([named(section(1)[1], "1.tif")], tmp_path / "thesis.txt", settings={**QUICK, "steps": 2})


def test_what_cannot_be_trained_is_said(tmp_path):
    images = [named(section(1)[1], "1.tif")]
    with pytest.raises(SettingsError, match="cannot be trained"):
        train(images, tmp_path / "m", method="gaussian")
    with pytest.raises(InputError, match="no image"):
        train([], tmp_path / "m")
    with pytest.raises(SettingsError, match="names a model to use"):
        train(images, tmp_path / "m", settings={"model": "x"})
    with pytest.raises(SettingsError, match="single frame"):
        train(images, tmp_path / "m", settings={**QUICK, "frames": 3})
    assert not (tmp_path / "m" / "card.json").exists()


def test_a_model_is_used_only_for_what_it_was_made(tmp_path):
    stack = Image(np.stack([section(1)[1]] * 3), "ZYX", name="s.tif")
    train([stack], tmp_path / "m", settings={**QUICK, "steps": 2, "frames": 3})
    settings = {"model": str(tmp_path / "m")}
    assert ruska.denoise(stack, method="blindspot", settings=settings).image.shape == stack.shape
    with pytest.raises(InputError, match="3 neighbouring frames"):
        ruska.denoise(section(1)[1], method="blindspot", settings=settings)
    with pytest.raises(SettingsError, match="not for shine"):
        ruska.denoise(stack, method="shine", settings=settings)


def test_a_training_can_start_from_a_model(tmp_path):
    images = [named(section(1)[1], "1.tif")]
    train(images, tmp_path / "a", settings={**QUICK, "steps": 20})
    flat = {**QUICK, "steps": 1, "learning_rate": 1e-9, "start": str(tmp_path / "a")}
    train(images, tmp_path / "b", settings=flat)
    a, b = (load_model(tmp_path / name).tensors for name in "ab")
    assert all(np.allclose(a[k], b[k], atol=1e-6) for k in a)
    with pytest.raises(InputError, match="the network's is 16 x 3 x 3 x 3"):
        train([Image(np.stack([section(1)[1]] * 3), "ZYX")], tmp_path / "c",
                    settings={**flat, "frames": 3})  # fmt: skip


@pytest.mark.parametrize(("axes", "expected"), [
    ("YX", "YX"), ("ZYX", "ZYX"), ("ZCYX", "CZYX"), ("TZCYX", "TCZYX"), ("TCYX", "CTYX"), ("CYX", "CYX"),
])  # fmt: skip
def test_neighbouring_frames_lie_along_the_stack_axis(axes, expected):
    shape = tuple(range(2, 2 + len(axes)))
    values = np.arange(np.prod(shape)).reshape(shape)
    ordered = in_stack_order(ArraySource(values, axes))
    assert ordered.axes == expected
    box = tuple(slice(0, n - 1) for n in ordered.shape)
    order = [axes.index(a) for a in expected]
    np.testing.assert_array_equal(ordered.read(box), values.transpose(order)[box])


def test_channels_are_no_neighbouring_frames():
    planes = np.random.default_rng(0).random((4, 2, 48, 48), dtype=np.float32)
    settings = {**QUICK, "steps": 3, "patch": 32, "frames": 3, "fold": False}
    mixed = ruska.denoise(Image(planes, "ZCYX"), method="blindspot", settings=settings).image.numpy()
    apart = ruska.denoise(Image(planes.swapaxes(0, 1), "CZYX"), method="blindspot", settings=settings).image.numpy()
    np.testing.assert_allclose(mixed.swapaxes(0, 1), apart, atol=1e-6)


def test_a_state_of_another_training_in_the_folder_is_refused_unless_it_may_be_replaced(tmp_path):
    """As where the model to start from was trained anew under its old name."""
    images, settings = [named(section(1)[1], "1.tif")], {**QUICK, "steps": 2}
    train(images, tmp_path / "m", settings=settings)
    train(images, tmp_path / "other", settings={**settings, "seed": 1})
    (tmp_path / "other" / "training.safetensors").replace(tmp_path / "m" / "training.safetensors")
    with pytest.raises(OutputError, match=r"training\.safetensors: .*other settings.*--overwrite"):
        train(images, tmp_path / "m", settings=settings)
    assert train(images, tmp_path / "m", settings=settings, overwrite=True).training["steps"] == 2
