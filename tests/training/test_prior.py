"""Training a prior: it learns, goes on where it stopped, names a wrong setting, and makes a model that denoises."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys

import numpy as np
import pytest
import torch

import ruska
from ruska.corpus import build, domain_of
from ruska.errors import InputError, OutputError, ResourceError, SettingsError
from ruska.image import Image
from ruska.metrics import psnr
from ruska.networks.denoiser import Denoiser
from ruska.physics import PoissonGaussian, cell_phantom
from ruska.pipeline.prior_training import curve
from ruska.training import prior
from ruska.training.prior import PRESETS, WEIGHTS, main, settings_of, train_prior
from ruska.weights import load_model
from ruska.weights.tensors import load_weights

TINY = {"widths": "[16, 32]", "blocks": "[1, 1]", "patch": "64", "batch": "4", "learning_rate": "0.002",
        "restoring": "0"}  # fmt: skip  # walks are slow; tests of them ask for them


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    for seed in range(4):
        ruska.write(folder / f"{seed}.tif", Image(cell_phantom((192, 192), seed=seed).astype(np.float32), "YX"))
    build(sorted(folder.glob("*.tif")), folder / "packed")
    return folder / "packed"


def test_a_trained_prior_denoises_what_it_has_not_seen(corpus, tmp_path):
    card = ruska.train([corpus], tmp_path / "model", method="prior", settings={**TINY, "steps": 150})
    assert card.method == "prior"
    assert len(card.data) == 4
    assert card.domain == domain_of(corpus)
    truth = cell_phantom((160, 200), seed=9)
    noisy = 40 + 500 * PoissonGaussian(30, 0.05).simulate(truth, seed=0)
    result = ruska.denoise(Image(noisy, "YX"), method="prior", settings={"model": str(tmp_path / "model")})
    restored = (result.image.numpy() - 40) / 500
    assert psnr(restored, truth, 1.0) > psnr((noisy - 40) / 500, truth, 1.0) + 6
    assert restored.mean() == pytest.approx(truth.mean(), abs=0.01)


def test_a_prior_is_not_trained_where_memory_is_lacking(corpus, tmp_path):
    with pytest.raises(ResourceError, match=r"leaves 0 GB for training, which needs 0\.1.* GB.*GB more, or train on"):
        ruska.train([corpus], tmp_path / "model", method="prior", settings=TINY, memory="1MB")
    assert not (tmp_path / "model" / "weights.safetensors").exists()


def test_the_card_says_how_it_was_trained(corpus, tmp_path):
    given = {**TINY, "steps": 100, "restoring": "0.1", "walks": 2}
    card = ruska.train([corpus], tmp_path / "my model", method="prior", settings=given)
    facts = card.training
    assert facts["patches"] == round(100 * (0.9 * 4 + 0.1 * 2))
    assert [step for step, _ in facts["curve"]] == [50, 100]
    assert facts["curve"][-1][1] == pytest.approx(facts["loss"], abs=1e-4)
    words = shlex.split(facts["command"])
    assert words[:6] == ["ruska", "train", "prior", corpus.name, "-o", "my model"]
    assert settings_of("cpu", dict(word.split("=") for word in words[7::2])) == settings_of("cpu", given)


def test_what_was_trained_elsewhere_gets_its_card_here(corpus, tmp_path, monkeypatch):
    folder, own = tmp_path / "model", settings_of("cpu", {**TINY, "steps": 5})
    elsewhere = {"device": "cuda", "machine": "a large GPU", "torch": "9"}
    with monkeypatch.context() as patch:
        patch.setattr("ruska.training.loop.machine", lambda device: elsewhere)
        train_prior(corpus, folder, own)
    card = ruska.train([corpus], folder, method="prior", settings={**TINY, "steps": 5})
    assert elsewhere.items() <= card.training.items()
    more = ruska.train([corpus], folder, method="prior", settings={**TINY, "steps": 6})
    assert more.training["device"] == "cpu"
    train_prior(corpus, tmp_path / "other", own)
    with pytest.raises(OutputError, match="no training with these settings"):
        ruska.train([corpus], tmp_path / "other", method="prior", settings={**TINY, "steps": 5, "batch": 3})


def test_without_ruskas_command_errors_and_interrupts_are_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["prior", str(tmp_path / "none"), "-o", str(tmp_path / "out")])
    with pytest.raises(SystemExit, match=r"ruska: .*none.*holds no manifest\.json"):
        main()

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(prior, "train_prior", interrupted)
    with pytest.raises(SystemExit, match="130"):
        main()
    assert capsys.readouterr().err == "Stopped. The same command resumes from here.\n"


def test_a_long_curve_is_thinned():
    found = curve([1.0] * 100 + [50.0] + [2.0] * 99)
    assert len(found) <= 24
    assert {loss for _, loss in found} == {1.0, 2.0}
    assert found[-1][0] == 50 * 200
    assert curve([]) == []


def test_limits_of_a_trained_prior_are_set(corpus, tmp_path):
    found = train_prior(corpus, tmp_path, settings_of("cpu", {**TINY, "steps": "3"}))
    limits = {name: value for name, value in found.network.state_dict().items() if name.endswith("limit")}
    assert len(limits) == 3  # one a block
    assert all(0 < float(value) < 1e4 for value in limits.values())
    kept, _ = load_weights(tmp_path / WEIGHTS)
    assert all(torch.equal(kept[name], value) for name, value in limits.items())


def test_a_deeper_network_starts_from_a_trained_one_without_its_limits(corpus, tmp_path):
    small = {**TINY, "steps": "3"}
    train_prior(corpus, tmp_path / "small", settings_of("cpu", small))
    deep = settings_of("cpu", {**small, "blocks": "[2, 3]", "steps": "1", "learning_rate": "1e-9"})
    found = train_prior(corpus, tmp_path / "deep", deep, start=tmp_path / "small" / WEIGHTS)
    before, _ = load_weights(tmp_path / "small" / WEIGHTS)
    after = found.network.state_dict()
    torch.testing.assert_close(after["network.down.2.first.weight"], before["network.down.1.first.weight"])
    kept, _ = load_weights(tmp_path / "deep" / prior.CHECKPOINT)
    limits = [name for name in before if name.endswith("limit")]
    assert limits
    for name in limits:  # found anew: those of a finished training leave less room
        block = name.replace("down.1", "down.2")
        assert torch.isfinite(kept[f"network/{block}"])
        assert kept[f"network/{block}"] != before[name]


def test_more_steps_go_on_and_other_settings_are_refused(corpus, tmp_path):
    folder = tmp_path / "model"
    ruska.train([corpus], folder, method="prior", settings={**TINY, "steps": 6})
    ruska.train([corpus], folder, method="prior", settings={**TINY, "steps": 10})
    assert load_model(folder).card.training["steps"] == 10
    with pytest.raises(OutputError, match="other settings"):
        ruska.train([corpus], folder, method="prior", settings={**TINY, "steps": 10, "batch": "2"})


def test_stopped_and_resumed_is_the_same_as_in_one_go(corpus, tmp_path):
    walks = {"restoring": "0.7", "walks": "1"}  # of ten steps: on both sides of the break
    own = settings_of("cpu", {**TINY, **walks, "decay": "flat", "steps": "8"})
    whole = train_prior(corpus, tmp_path / "whole", own)
    train_prior(corpus, tmp_path / "parts", settings_of("cpu", {**TINY, **walks, "decay": "flat", "steps": "5"}))
    resumed = train_prior(corpus, tmp_path / "parts", own)
    for one, other in zip(whole.network.parameters(), resumed.network.parameters(), strict=True):
        np.testing.assert_allclose(one.detach().numpy(), other.detach().numpy(), atol=1e-6)
    assert resumed.steps == 8


def test_files_are_packed_on_the_way(tmp_path):
    file = tmp_path / "clean.tif"
    ruska.write(file, Image(cell_phantom((192, 192), seed=0).astype(np.float32), "YX"))
    ruska.train([file], tmp_path / "model", method="prior", settings={**TINY, "steps": 2})
    assert (tmp_path / "model" / "corpus" / "manifest.json").exists()


@pytest.mark.parametrize(("name", "value", "said"), [
    ("batchsize", "4", "batch"), ("batch", "many", "not valid"), ("batch", "0", "positive"),
    ("patch", "100", "multiple"), ("widths", "[16]", "equally many"), ("decay", "cosin", "cosine"),
    ("minutes", "-1", "positive"), ("preset", "gpu", "cpu"), ("prediction", "eps", "epsilon"),
    ("path", "flows", "flow"), ("path", "3", "flow"),
])  # fmt: skip
def test_a_wrong_setting_is_named(corpus, tmp_path, name, value, said):
    with pytest.raises(SettingsError, match=said):
        ruska.train([corpus], tmp_path / "model", method="prior", settings={name: value})
    assert not (tmp_path / "model").exists()


def test_the_bare_command_trains_with_nothing_but_the_corpus(corpus, tmp_path, monkeypatch, capsys):
    flags = [f"--set={name}={value}" for name, value in {**TINY, "steps": "3"}.items()]
    monkeypatch.setattr("sys.argv", ["prior", str(corpus), "-o", str(tmp_path / "out"), *flags])
    main()
    assert "3 steps" in capsys.readouterr().out
    assert (tmp_path / "out" / WEIGHTS).exists()


@pytest.mark.parametrize(("share", "expected"), [("0.2", 2), ("0", 0)])
def test_a_share_of_the_steps_restores(corpus, tmp_path, monkeypatch, share, expected):
    drawn, meet = [], prior.meet
    monkeypatch.setattr(prior, "meet", lambda net, *given: drawn.append(net.training) or meet(net, *given))
    train_prior(corpus, tmp_path, settings_of("cpu", {**TINY, "restoring": share, "walks": "1", "steps": "6"}))
    assert drawn.count(True) == expected  # of the first ten steps; the others measure the bounds afterwards


def test_samples_are_drawn_unless_told_not_to(corpus, tmp_path):
    train_prior(corpus, tmp_path / "with", settings_of("cpu", {**TINY, "steps": "2"}))
    assert [file.name for file in (tmp_path / "with" / "samples").glob("*.png")] == ["step-0000001.png"]
    train_prior(corpus, tmp_path / "without", settings_of("cpu", {**TINY, "steps": "2", "samples": "0"}))
    assert not (tmp_path / "without" / "samples").exists()
    assert settings_of("cpu", {"samples": "0"}).identity() == settings_of("cpu", {}).identity()


def test_nothing_is_needed_but_torch_numpy_and_safetensors(corpus, tmp_path):
    others = "PIL tensorboard scipy skimage pywt tifffile mrcfile h5py zarr matplotlib typer rich pydantic psutil"
    program = f"""
import sys
from importlib.machinery import PathFinder
class Bare(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in {others.split()} else PathFinder.find_spec(name, path, target)
sys.meta_path[sys.meta_path.index(PathFinder)] = Bare
from ruska.training.prior import main
main()
"""
    settings = {**TINY, "steps": "2", "restoring": "0.1", "walks": "1"}
    flags = [f"--set={name}={value}" for name, value in settings.items()]
    words = [sys.executable, "-c", program, corpus, "-o", tmp_path / "out", *flags]
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / WEIGHTS).exists()
    assert not list((tmp_path / "out").rglob("*.png"))


def test_a_model_of_another_method_is_refused(corpus, tmp_path):
    folder = tmp_path / "model"
    ruska.train([corpus], folder, method="prior", settings={**TINY, "steps": 1})
    card = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps({**card, "method": "blindspot"}))
    with pytest.raises(InputError, match="blindspot"):
        ruska.denoise(np.random.default_rng(0).random((64, 64)), method="prior", settings={"model": str(folder)})


def test_a_start_is_a_whole_prior(corpus, tmp_path):
    folder = tmp_path / "model"
    ruska.train([corpus], folder, method="prior", settings={**TINY, "steps": 1})
    changed = bytearray((folder / WEIGHTS).read_bytes())
    changed[-1] ^= 1
    (folder / WEIGHTS).write_bytes(bytes(changed))
    with pytest.raises(InputError, match="does not match its card"):
        ruska.train([corpus], tmp_path / "b", method="prior", settings={**TINY, "steps": 1, "start": str(folder)})


@pytest.mark.parametrize(
    "given",
    [{"widths": [5000], "blocks": [1]}, {"widths": [4], "blocks": [1000]}, {"widths": [4096] * 2, "blocks": [9, 9]}],
)
def test_a_network_that_no_card_may_name_is_not_trained(given):
    with pytest.raises(SettingsError, match="at most"):
        settings_of("cpu", given)


def test_presets_are_valid():
    for name in PRESETS:
        assert settings_of(name, {}) == PRESETS[name]


@pytest.mark.parametrize("preset", list(PRESETS))
def test_the_weights_of_every_preset_fit_into_a_small_file(preset):
    own = PRESETS[preset]
    with torch.device("meta"):
        network = Denoiser(widths=own.widths, blocks=own.blocks)
    halves = 2 * sum(value.numel() for value in network.parameters())
    embedded = preset in ("cpu", "gpu-30min")  # the others make files of their own
    assert halves < (14e6 if embedded else 16e6)


@pytest.mark.parametrize(("path", "prediction"), [
    ("exploding", "epsilon"), ("flow", "velocity"), ("ddpm", "epsilon"), ("cosine", "x0"), ("zero-terminal-snr", "v"),
])  # fmt: skip
def test_every_path_and_prediction_learns(corpus, tmp_path, path, prediction):
    own = settings_of("cpu", {**TINY, "steps": 30, "samples": "0", "path": path, "prediction": prediction})
    torch.manual_seed(own.seed)
    before, after = own.build(), train_prior(corpus, tmp_path, own).network
    x, noise = (torch.randn(2, 1, 64, 64, generator=torch.Generator().manual_seed(k)) for k in (0, 1))
    x = torch.nn.functional.avg_pool2d(x, 9, 1, 4) * 9  # smooth, of unit variance
    sigma = torch.full((2, 1, 1, 1), 0.7)
    with torch.inference_mode():
        losses = [float(net.loss(x + sigma * noise, sigma, None, x)) for net in (before, after)]
        errors = [float((net(x + sigma * noise, sigma) - x).square().mean()) for net in (before, after)]
    assert losses[1] < 0.9 * losses[0]
    assert errors[1] < 0.9 * errors[0]


def test_the_card_says_path_and_prediction_and_the_prior_is_used_as_any(corpus, tmp_path):
    given = {**TINY, "steps": 2, "path": "flow", "prediction": "velocity"}
    card = ruska.train([corpus], tmp_path / "m", method="prior", settings=given)
    assert (card.network["path"], card.network["prediction"]) == ("flow", "velocity")
    assert {"path=flow", "prediction=velocity"} <= set(shlex.split(card.training["command"]))
    image = np.random.default_rng(0).random((64, 64)).astype(np.float32)
    result = ruska.denoise(image, method="prior", settings={"model": str(tmp_path / "m")})
    assert np.isfinite(result.image.numpy()).all()
    start = {**TINY, "steps": 2, "start": str(tmp_path / "m")}
    with pytest.raises(InputError, match="prediction is velocity, but that of this training is x0"):
        ruska.train([corpus], tmp_path / "n", method="prior", settings=start)
    usual = settings_of("cpu", TINY)
    assert set(usual.network()) == {"widths", "blocks"}  # as cards from before
    assert not {"path", "prediction"} & set(usual.lasting())
