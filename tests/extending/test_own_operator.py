"""An instrument of a user's own, in a file: restored with the prior, in blocks, resumed, and by other processes."""

from __future__ import annotations

import json
import pickle
from fractions import Fraction

import numpy as np
import pytest
from typer.testing import CliRunner

import ruska
from ruska import methods, pipeline
from ruska.cli.main import app
from ruska.errors import InputError, JobCancelledError, SettingsError
from ruska.image import Image, Quantity
from ruska.methods.settings import references
from ruska.physics.operators import GaussianBlur, load_operator
from ruska.testing import check_operator

SOURCE = '''"""Means over two pixels along Y."""
import torch

class Mine:
    scale = (0.5, 1)
    reach = 1
    weight = 1.0

    def forward(self, x):
        return self.weight * torch.nn.functional.avg_pool2d(x, (2, 1))

    def adjoint(self, y, shape=None):
        return self.weight * y.repeat_interleave(2, 2) / 2

class Volume:
    scale = (1, 1, 1)

    def forward(self, x):
        return x

    def adjoint(self, y, shape=None):
        return y

class Wrong(Mine):
    def adjoint(self, y, shape=None):
        return y.repeat_interleave(2, 2)

class Lost(Mine):
    def forward(self, x):
        raise RuntimeError("no beam")
'''


@pytest.fixture
def mine(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(SOURCE, encoding="utf-8")
    return path


def image(shape=(40, 48)):
    random = np.random.default_rng(1)
    rows, columns = np.indices(shape)
    clean = 100 + 60 * ((rows // 8 + columns // 12) % 2)
    return Image((clean + random.normal(0, 4, shape)).astype(np.float32), "YX",
                 {"Y": Quantity(8, "nm"), "X": Quantity(4, "nm")})  # fmt: skip


def test_it_keeps_the_contract_of_operators_wherever_it_is_sent(mine):
    check_operator(load_operator(f"{mine}:Mine"))
    sent = pickle.loads(pickle.dumps(load_operator(f"{mine}:Mine")))
    assert sent.scale == (Fraction(1, 2), Fraction(1))
    assert sent.reach == 1
    check_operator(sent)


@pytest.mark.parametrize(("change", "says"), [
    ({"reach": 0}, "looks further"), ({"scale": (1, 1)}, "forward gave shape"),
    ({"adjoint": lambda self, y, shape=None: 2 * y}, "not the transpose"),
    ({"forward": lambda self, x: x + 1}, "not linear"), ({"forward": lambda self, x: x.mul_(2)}, "changed its input"),
    ({"forward": lambda self, x: x.double()}, "gave torch.float64"),
])  # fmt: skip
def test_what_is_wrong_with_an_operator_is_said(change, says):
    blur = GaussianBlur((1.0, 1.0))
    right = {"scale": (1, 1), "reach": 4, "forward": lambda self, x: blur.forward(x),
             "adjoint": lambda self, y, shape=None: blur.adjoint(y)}  # fmt: skip
    check_operator(type("Right", (), right)())
    if "scale" in change:
        change = {"forward": lambda self, x: x[:, :, ::2]}
    with pytest.raises(AssertionError, match=says):
        check_operator(type("Changed", (), right | change)())


def test_a_command_and_python_undo_it_on_the_finer_grid(mine, tmp_path):
    ruska.write(tmp_path / "in.tif", image())
    out = tmp_path / "out.tif"
    found = CliRunner().invoke(app, ["deblur", str(tmp_path / "in.tif"), "-o", str(out), "--operator", f"{mine}:Mine",
                                     "--steps", "2", "--no-report", "--json"], catch_exceptions=False)  # fmt: skip
    assert found.exit_code == 0, found.output
    record = json.loads(found.output)
    assert record["settings"]["operator"] == f"{mine}:Mine"
    assert f"operator={mine}:Mine" in record["command"]
    result = ruska.read(out)
    assert result.shape == (80, 48)
    assert result.voxel_size_nm == {"Y": 4.0, "X": 4.0}
    again = ruska.deblur(image(), operator=f"{mine}:Mine", settings={"steps": 2})
    np.testing.assert_array_equal(again.image.numpy(), result.numpy())
    assert again.record["plan"]["halo"] == [49, 97]  # the context of the prior, the operator's reach


def test_an_operator_for_volumes_runs_on_volumes_alone(mine):
    stack = Image(np.stack([image((16, 16)).numpy()] * 4), "ZYX")
    found = ruska.deblur(stack, operator=f"{mine}:Volume", settings={"steps": 1})
    assert found.image.shape == (4, 16, 16)
    with pytest.raises(ruska.errors.GeometryError, match="is for volumes"):
        ruska.deblur(image(), operator=f"{mine}:Volume", settings={"steps": 1})


def test_a_run_in_blocks_resumes_unless_the_file_was_edited(mine, tmp_path, monkeypatch):
    monkeypatch.setattr("ruska.methods.deblur.HALO", 1)
    monkeypatch.setattr("ruska.engine.plan._PREFERRED_EDGE", {2: 24, 3: 24})
    ruska.write(tmp_path / "in.tif", image())
    asked = pipeline.Request(
        task="deblur", method="deblur", settings={"operator": f"{mine}:Mine", "steps": 1},
        inputs={"image": pipeline.Input(path=str(tmp_path / "in.tif"))}, output=str(tmp_path / "out.tif"),
        run=pipeline.RunOptions(report=False, workers=1),
    )  # fmt: skip

    def stopped():
        seen = []
        stop = pipeline.Here(event=lambda stage, done, total, note="": seen.append((stage, done)),
                             cancelled=lambda: ("restoring", 2) in seen)  # fmt: skip
        with pytest.raises(JobCancelledError):
            pipeline.run(asked, stop)

    whole = pipeline.run(asked.model_copy(update={"output": None}))
    assert whole.record["plan"]["blocks"] >= 4
    stopped()
    resumed = pipeline.run(asked)
    assert resumed.record["blocks"]["resumed"] >= 2
    np.testing.assert_array_equal(resumed.image.numpy(), whole.image.numpy())
    (tmp_path / "out.tif").unlink()
    (tmp_path / "out.record.json").unlink()
    stopped()
    mine.write_text(SOURCE.replace("weight = 1.0", "weight = 1.25"), encoding="utf-8")
    edited = pipeline.run(asked)
    assert edited.record["blocks"]["resumed"] == 0
    assert not np.array_equal(edited.image.numpy(), whole.image.numpy())


@pytest.mark.parametrize(("name", "error", "says"), [
    ("Wrong", SettingsError, "adjoint is not the transpose"), ("Lost", SettingsError, "no beam"),
    ("Mime", InputError, "Did you mean 'Mine'"),
])  # fmt: skip
def test_an_operator_that_cannot_be_used_is_refused_before_the_work(mine, name, error, says):
    with pytest.raises(error, match=says):
        ruska.deblur(image(), operator=f"{mine}:{name}")


def test_a_file_that_fails_when_it_is_run_is_named(tmp_path):
    (tmp_path / "mine.py").write_text("import nothing_like_it", encoding="utf-8")
    with pytest.raises(InputError, match=r"mine\.py: could not be run \(ModuleNotFoundError"):
        load_operator(f"{tmp_path / 'mine.py'}:Mine")


def test_exactly_one_way_says_what_the_blur_is(mine):
    with pytest.raises(SettingsError, match="sigma and operator were given"):
        methods.create("deblur", {"sigma": 1, "operator": f"{mine}:Mine"})


def test_a_server_can_tell_that_it_is_code():
    assert references(methods.about("deblur").record, "code") == ("operator",)


@pytest.mark.slow
def test_other_processes_load_it_again(mine, tmp_path, monkeypatch):
    monkeypatch.setattr("ruska.methods.deblur.HALO", 1)
    monkeypatch.setattr("ruska.engine.plan._PREFERRED_EDGE", {2: 24, 3: 24})
    ruska.write(tmp_path / "in.tif", image())
    made = {}
    for executor in ("threads", "processes"):
        out = tmp_path / f"{executor}.tif"
        found = ruska.deblur(tmp_path / "in.tif", out, operator=f"{mine}:Mine", settings={"steps": 1},
                             executor=executor, workers=2, report=False)  # fmt: skip
        assert found.record["plan"]["blocks"] >= 4
        made[executor] = found.image.numpy()
    np.testing.assert_array_equal(made["processes"], made["threads"])
