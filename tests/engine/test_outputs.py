"""What a method may give besides an image: its spread, labels, features, tables; and inputs beside the image."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pytest
import torch
from engine_methods import Identity, box_filter
from test_workers import OnDisk

from ruska.engine import ArraySource, Budget, Layout, MemoryStore, Normalisation, plan_blocks, run
from ruska.engine.executors import Processes
from ruska.engine.job import Feed
from ruska.engine.labels import same
from ruska.engine.store import BlockStore
from ruska.errors import SettingsError
from ruska.image import Output

RANDOM = np.random.default_rng(1)


def run_all(method, values, axes="YX", edge=None, folder=None, **options):
    """All outputs of a method, in canonical order, and what the run says of itself."""
    layout = Layout(axes, values.shape, len(method.halo))
    plan = plan_blocks(layout, method, Budget(8 << 30, options.pop("workers", 1)), dtype=values.dtype, out_dtype="f4",
                       edge=edge, baseline=0)  # fmt: skip
    sinks = {}
    for output in method.outputs:
        if output.merge == "table":
            sinks[output.name] = None
            continue
        shape, dtype = plan.shape_of(output), output.dtype or values.dtype
        sinks[output.name] = (
            MemoryStore(shape, dtype) if folder is None
            else BlockStore(folder / f"out {output.name}", shape, dtype, plan.extent_of(output))
        )  # fmt: skip
    outcome = run(ArraySource(values, axes), method, sinks, plan, **options)
    read = {k: s.read(tuple(slice(0, n) for n in s.shape)) for k, s in sinks.items() if s is not None}
    return read, outcome, plan


@dataclass
class Several(Identity):
    """A smoothed image, a spread, three features on a coarser grid, and how often it was called."""

    halo: tuple[int, ...] = (4, 4)
    multiple: tuple[int, ...] = (2, 2)
    domain: str = "normalised"

    @property
    def outputs(self):
        half = (Fraction(1, 2),) * 2
        return (
            Output("mean", merge="mean"), Output("std", dtype="float32", values="spread"),
            Output("features", channels=3, dtype="float32", scale=half, values="raw"),
        )  # fmt: skip

    def __call__(self, inputs, random):
        y = inputs["image"]
        coarse = torch.nn.functional.avg_pool2d(y.mean(1, keepdim=True), 2)
        return {
            "mean": box_filter(y, 2),
            "std": box_filter(y, 1),
            "features": torch.cat([coarse, -coarse, 0 * coarse], 1),
        }


@pytest.mark.parametrize(("axes", "shape"), [("YX", (48, 60)), ("CYX", (2, 48, 60)), ("ZCYX", (3, 2, 48, 60))])
def test_every_output_has_its_own_channels_grid_and_way_back(axes, shape):
    values = RANDOM.normal(100, 20, shape).astype(np.float32)
    scale = Normalisation(60.0, 40.0)
    whole, *_ = run_all(Several(), values, axes, edge=200, normalisation=scale)
    parts, _, plan = run_all(Several(), values, axes, edge=16, normalisation=scale)
    assert plan.size > 8
    planes = values.reshape(-1, *shape[-2:])
    expected = box_filter(torch.from_numpy(planes[:, None]), 2).numpy()
    np.testing.assert_allclose(whole["mean"].reshape(expected.shape), expected, rtol=1e-5)  # offset and scale
    spread = box_filter(torch.from_numpy(planes[:, None]), 1).numpy() - 60  # scale alone
    np.testing.assert_allclose(whole["std"].reshape(spread.shape), spread, rtol=1e-4, atol=1e-3)
    assert whole["features"].shape[-3:] == (3, 24, 30)  # raw, of its own channels
    assert abs(whole["features"][..., 0, :, :].mean() - 1) < 0.3
    for name, result in parts.items():
        np.testing.assert_allclose(result, whole[name], rtol=1e-4, atol=1e-3, err_msg=name)


def test_where_the_image_is_invalid_nothing_is_known_of_the_spread():
    values = RANDOM.normal(100, 20, (32, 32)).astype(np.float32)
    values[5, 6] = np.nan
    read, *_ = run_all(Several(), values, edge=16, fill=100.0)
    assert np.isnan(read["std"].squeeze()[5, 6])
    assert np.isnan(read["mean"].squeeze()[5, 6])
    assert np.isfinite(read["std"]).sum() == 32 * 32 - 1


@dataclass
class Instances(Identity):
    """Numbers objects that have a grey level each, in an order that depends on where it looks."""

    domain: str = "raw"
    dimensions: int = 2

    def __post_init__(self):
        self.halo = self.multiple = (0,) * self.dimensions
        self.multiple = (1,) * self.dimensions

    @property
    def outputs(self):
        return (Output("labels", channels=1, dtype="uint32", values="raw", merge="labels"),)

    def __call__(self, inputs, random):
        y = inputs["image"].numpy().astype(np.int64)
        found, inverse = np.unique(y, return_inverse=True)
        numbers = np.random.default_rng(found.size + int(y[0, 0].ravel()[0])).permutation(found.size) + 5
        numbers[found == 0] = 0
        return {"labels": torch.from_numpy(numbers[inverse].reshape(y.shape))}


def touching(shape, count):
    """A map of ``count`` cells that touch, each of its own grey level, and a background."""
    from scipy.spatial import cKDTree

    random = np.random.default_rng(4)
    seeds = np.unique(random.random((count, len(shape))), axis=0) * shape
    grid = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1)
    near = cKDTree(seeds).query(grid + 0.5)[1]
    values = random.permutation(len(seeds))[near] + 1
    return np.where(random.random(len(seeds) + 1)[values] < 0.1, 0, values).astype(np.int32)


@pytest.mark.parametrize(("shape", "count", "edge"), [((256, 320), 2000, 40), ((24, 48, 56), 300, 12)])
def test_touching_objects_are_numbered_the_same_whole_and_in_blocks(shape, count, edge):
    values = touching(shape, count)
    axes = "ZYX"[-len(shape) :]
    method = Instances(dimensions=len(shape))
    whole, _, one = run_all(method, values, axes, edge=400)
    parts, _, plan = run_all(method, values, axes, edge=edge, workers=3)
    assert one.size == 1
    assert plan.size >= 40
    labels = whole["labels"].reshape(shape)
    np.testing.assert_array_equal(parts["labels"].reshape(shape), labels)
    assert len(np.unique(labels)) == len(np.unique(values))  # none was united with another, none was cut
    assert len(np.unique(labels.astype(np.int64) * 10**6 + values)) == len(np.unique(values))
    numbers, first = np.unique(labels[labels > 0], return_index=True)
    assert list(numbers) == list(range(1, len(numbers) + 1))
    assert list(first) == sorted(first)  # in the order of their first voxels


def test_slices_have_objects_of_their_own():
    values = np.tile(touching((40, 40), 30), (3, 1, 1))
    whole, *_ = run_all(Instances(), values, "ZYX", edge=400)
    parts, *_ = run_all(Instances(), values, "ZYX", edge=16)
    np.testing.assert_array_equal(parts["labels"], whole["labels"])
    per_slice = [set(np.unique(s)) - {0} for s in whole["labels"].reshape(3, 40, 40)]
    assert not per_slice[0] & per_slice[1]
    assert len(per_slice[0]) == len(per_slice[2]) == len(np.unique(values)) - 1


class KillError(Exception):
    """A kill."""


def test_a_kill_between_any_two_blocks_changes_no_label(tmp_path):
    values = touching((48, 48), 60)
    whole, _, _ = run_all(Instances(), values, edge=400)

    class Fragile(OnDisk):
        def __init__(self, folder, left):
            if not folder.exists():
                super().__init__(folder)
            self.entries, self.folder, self.left = {}, folder, left

        def add(self, key, **facts):
            if self.left == 0:
                raise KillError
            self.left -= 1
            self.entries[key] = facts

    for after in range(0, 27, 2):
        ledger = Fragile(tmp_path / str(after), after)
        with pytest.raises(KillError):
            run_all(Instances(), values, edge=16, folder=ledger.folder, ledger=ledger)
        ledger.left = -1
        read, _, plan = run_all(Instances(), values, edge=16, folder=ledger.folder, ledger=ledger)
        assert plan.size == 9
        np.testing.assert_array_equal(read["labels"], whole["labels"])


def test_processes_number_objects_alike(tmp_path):
    values = touching((48, 48), 60)
    whole, _, _ = run_all(Instances(), values, edge=400)
    ledger = OnDisk(tmp_path / "run")
    read, _, _ = run_all(Instances(), values, edge=24, folder=ledger.folder, ledger=ledger, executor=Processes(2))
    np.testing.assert_array_equal(read["labels"], whole["labels"])


def test_objects_that_are_not_sure_are_united_by_the_most_they_share_with_each_other():
    mine = np.array([[1, 1, 1, 2, 2, 2, 0, 3]])
    theirs = np.array([[7, 7, 8, 8, 8, 8, 8, 9]])
    assert same(mine, theirs, exact=True).tolist() == [[1, 7], [1, 8], [2, 8], [3, 9]]  # a chain of 1, 2, 7, 8
    assert same(mine, theirs, exact=False).tolist() == [[1, 7], [2, 8], [3, 9]]


@dataclass
class Bright(Identity):
    """Finds the brightest pixels, and says where and how bright."""

    halo: tuple[int, ...] = (3, 3)

    @property
    def outputs(self):
        return (Output("spots", merge="table", columns=("y", "x", "value")),)

    def __call__(self, inputs, random):
        y = inputs["image"][0, 0]
        rows, columns = torch.where(y > 10)
        return {"spots": torch.stack([rows.float(), columns.float(), y[rows, columns].float()], 1)}


def test_rows_of_a_table_lie_where_they_are_in_the_image_and_none_is_found_twice():
    values = np.zeros((64, 80), np.float32)
    places = [(0, 0), (15, 16), (16, 15), (40, 79), (63, 33)]
    for k, place in enumerate(places):
        values[place] = 20 + k
    _, outcome, plan = run_all(Bright(), values, edge=16)
    assert plan.size == 20
    rows = outcome.tables["spots"]
    assert sorted(map(tuple, rows)) == [(y, x, 20 + k) for k, (y, x) in enumerate(places)]


@dataclass
class Masked(Identity):
    """Zero outside a mask, and the second image's mean added."""

    def __call__(self, inputs, random):
        assert inputs["mask"].dtype == torch.bool
        assert inputs["labels"].dtype == torch.int32
        return {"mean": torch.where(inputs["mask"], inputs["image"] + inputs["labels"], 0)}


def test_other_inputs_are_cut_like_the_image_and_broadcast_over_axes_they_lack():
    values = RANDOM.normal(100, 20, (3, 2, 40, 50)).astype(np.float32)
    mask = RANDOM.random((40, 50)) < 0.5
    labels = RANDOM.integers(0, 9, (3, 1, 40, 50)).astype(np.int32)
    others = {"mask": Feed(ArraySource(mask, "YX")), "labels": Feed(ArraySource(labels, "ZCYX"))}
    read, _, plan = run_all(Masked(multiple=(4, 4)), values, "ZCYX", edge=16, others=others)
    assert plan.size > 10
    expected = np.where(mask, values + labels, 0)
    np.testing.assert_allclose(read["mean"], expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda y: {}, "output 'mean' of the method: is missing: it returned nothing"),
        (lambda y: {"mena": y}, "is missing: it returned mena"),
        (lambda y: {"mean": y.expand(-1, 3, -1, -1)}, r"has shape \(1, 3, 16, 20\), expected \(1, 1, 16, 20\)"),
        (lambda y: {"mean": y[..., :5]}, r"has shape \(1, 1, 16, 5\)"),
    ],
)
def test_what_a_method_did_not_declare_is_not_written(made, said):
    class Wrong(Identity):
        def __call__(self, inputs, random):
            return made(inputs["image"])

    with pytest.raises(SettingsError, match=said):
        run_all(Wrong(), np.ones((16, 20), np.float32))


def test_what_is_no_number_becomes_nought_of_a_whole_number_and_is_counted():
    class Holes(Identity):
        def change(self, y, random):
            return torch.where(y > 5, torch.nan, y)

    values = np.arange(12, dtype=np.uint16).reshape(3, 4)
    read, outcome, _ = run_all(Holes(), values)
    np.testing.assert_array_equal(read["mean"][0], np.where(values > 5, 0, values))
    assert outcome.clipped == 6
