"""A method of parts does to every plane what the plane's own method does to it alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ruska.engine import ArraySource, Budget, Layout, MemoryStore, plan_blocks, run
from ruska.engine.devices import networks_of, twin
from ruska.engine.parts import in_parts
from ruska.engine.random_field import PlacedRandomField
from ruska.methods.per_plane import FieldOfPlanes, PerPlane
from ruska.methods.slices import SliceMethod


def times(factor):
    return SliceMethod(lambda plane: plane * plane.dtype.type(factor), (3, 3), 8.0, {"factor": factor, "same": 1})


def parts():
    table = np.array([[0, 1], [2, 1], [0, 0]])
    return PerPlane((times(2), times(3), times(5)), table), np.array([[2, 3], [5, 3], [2, 2]])


@pytest.mark.parametrize("edge", [None, 16])
def test_every_plane_gets_its_own_method_whatever_the_blocks(edge):
    method, factors = parts()
    values = np.random.default_rng(0).normal(size=(3, 2, 40, 33)).astype(np.float32)
    plan = plan_blocks(Layout("ZCYX", values.shape, 2), method, Budget(1 << 40, 1), dtype=np.float32,
                       out_dtype=np.float32, edge=edge)  # fmt: skip
    store = MemoryStore(plan.output_shape, np.float32)
    run(ArraySource(values, "ZCYX"), method, store, plan)
    np.testing.assert_allclose(store.read((slice(None),) * 4), values * factors[..., None, None], rtol=1e-6)


def test_parts_of_a_batch_know_where_they_are():
    method, factors = parts()
    values = torch.randn(3, 2, 24, 24)
    field = PlacedRandomField(0, (0, 0, 0), (3, 24, 24), 2)
    found = in_parts(method, {"image": values}, field, (1, 2, 16, 24), method)["mean"]
    torch.testing.assert_close(found, values * torch.from_numpy(factors)[..., None, None].float())


def test_numbers_of_planes_are_those_of_the_whole():
    field = PlacedRandomField(3, (5, 0, 8), (4, 6, 7), 2)
    part = FieldOfPlanes(field, np.array([1, 3]), 2)
    torch.testing.assert_close(part.normal(0, 1), field.normal(0, 1, 2)[[1, 3]])
    assert part.places.tolist() == [[6], [8]]


def test_settings_that_differ_are_left_to_be_measured_again():
    assert parts()[0].settings == {"factor": None, "same": 1}


def test_a_network_that_parts_share_is_copied_once_for_another_device():
    from dataclasses import dataclass

    @dataclass(frozen=True)
    class Own:
        network: torch.nn.Module

    shared = torch.nn.Linear(2, 2)
    method = PerPlane((Own(shared), Own(shared)), np.zeros(1, int))
    other = twin(method)
    assert len(list(networks_of(method))) == 2
    assert other.parts[0].network is other.parts[1].network is not shared
