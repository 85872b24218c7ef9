"""Block plans: cores partition the source, reads are aligned, memory is predicted and bounded."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from engine_methods import BoxFilter, Identity
from hypothesis import given, settings
from hypothesis import strategies as st

from ruska.engine import Budget, Delivery, Layout, format_bytes, parse_memory, plan_blocks
from ruska.engine.need import longest_read
from ruska.errors import GeometryError, ResourceError, SettingsError


def plan_of(shape, method=None, axes=None, memory=1 << 34, workers=1, **options):
    axes = axes or "TCZYX"[-len(shape) :]
    method = method or Identity()
    layout = Layout(axes, shape, len(method.halo))
    options = {"dtype": np.uint16, "out_dtype": np.uint16, "baseline": 0, **options}
    return plan_blocks(layout, method, Budget(memory, workers), **options)


@settings(max_examples=60, deadline=None)
@given(
    st.tuples(st.integers(1, 3), st.integers(1, 90), st.integers(1, 90)),
    st.integers(0, 9),
    st.sampled_from([1, 2, 8]),
    st.integers(1, 64),
)
def test_cores_partition_the_source_and_reads_are_aligned(shape, halo, multiple, edge):
    plan = plan_of(shape, Identity(halo=(halo, halo), multiple=(multiple, multiple)), edge=edge)
    seen = np.zeros(plan.shape, int)
    for i in range(plan.size):
        block = plan.block(i)
        seen[block.core] += 1
        for core, read, pad, n in zip(block.core[-2:], block.read[-2:], block.pad, shape[-2:], strict=True):
            assert read.start % multiple == 0
            assert (read.stop + pad - read.start) % multiple == 0
            assert read.start <= max(0, core.start - halo)
            assert read.stop >= min(n, core.stop + halo)
            assert pad < multiple
    assert (seen == 1).all()


def test_less_memory_means_smaller_blocks_and_the_prediction_keeps_to_it():
    method = BoxFilter(radius=8, bytes_per_voxel=100.0)
    sizes = []
    for memory in ("2GB", "500MB", "250MB"):
        plan = plan_of((64, 4096, 4096), method, "ZYX", parse_memory(memory), workers=4)
        assert plan.memory_bytes <= parse_memory(memory)
        sizes.append(np.prod(plan.extent) * plan.workers)
    assert sizes[0] >= sizes[1] > sizes[2]


def test_too_little_memory_says_how_much_is_needed():
    method = Identity(bytes_per_voxel=1e4, multiple=(256, 256))
    with pytest.raises(ResourceError, match="Allow at least") as caught:
        plan_of((1024, 1024), method, memory=250 << 20)
    needed = caught.value.fix.removeprefix("Allow at least ").rstrip(".").replace(" ", "")
    assert plan_of((1024, 1024), method, memory=parse_memory(needed)).size == 16


def test_pieces_of_the_file_are_decoded_whole():
    def said(slices):
        return plan_of((64, 2048, 2048), axes="ZYX", edge=(1, 1, 2048, 2048), chunks=(slices, 1, 256, 256)).memory_bytes

    assert said(64) - said(32) == pytest.approx(32 * 2048**2 * 2)  # uint16


@pytest.mark.parametrize("memory", ["8GB", "1GB"])
def test_what_needs_a_wide_halo_takes_fewer_slices_rather_than_small_blocks(memory):
    wide = Identity(halo=(100, 100), threads="many", bytes_per_voxel=40.0)
    plan = plan_of((128, 4096, 4096), wide, "ZYX", chunks=(64, 1, 128, 128), memory=parse_memory(memory))
    slices, _, *edges = plan.extent
    assert min(edges) >= 1024
    assert 1 <= slices <= 8
    heavy = Identity(halo=(100, 100), threads="many", bytes_per_voxel=400.0)
    tight = plan_of((128, 4096, 4096), heavy, "ZYX", chunks=(64, 1, 128, 128), memory=parse_memory("1GB"))
    assert tight.extent == (1, 1, 1024, 1024)
    narrow = plan_of((128, 4096, 4096), Identity(halo=(4, 4)), "ZYX", chunks=(64, 1, 1024, 1024))
    assert narrow.extent[0] == 64


def test_slices_that_are_stored_together_are_taken_together():
    chunked = {"axes": "ZYX", "chunks": (32, 1, 128, 128), "workers": 2}
    plan = plan_of((500, 2048, 2048), **chunked)
    assert plan.extent[0] == 32
    assert np.prod(plan.extent) <= 1 << 22
    tight = plan_of((500, 2048, 2048), **chunked, memory=parse_memory("250MB"))
    assert tight.memory_bytes <= parse_memory("250MB")
    assert min(tight.extent[2:]) >= 128


def test_small_frames_are_taken_many_at_a_time():
    assert plan_of((1000, 64, 64), axes="TYX").extent[0] == 256


def test_every_worker_gets_blocks_when_a_call_keeps_one_core_busy():
    assert plan_of((1024, 1024), BoxFilter(), workers=4).size >= 8
    assert plan_of((1024, 1024), BoxFilter(threads="many"), workers=4).size == 1


def test_no_more_blocks_are_in_flight_than_there_are():
    method = BoxFilter(threads="many", bytes_per_voxel=400.0)
    alone, beside = (plan_of((1024, 1024), method, workers=n) for n in (1, 2))
    assert alone.size == beside.size == beside.workers == 1
    assert beside.memory_bytes == alone.memory_bytes


def test_what_waits_for_the_network_takes_no_networks_memory():
    """A second block is read or written while the first is computed, so it does not take as much again."""
    beside, alone = (
        plan_of((4096, 4096), BoxFilter(threads="many", bytes_per_voxel=1000.0), edge=1024, workers=n) for n in (2, 1)
    )
    assert beside.workers == 2
    assert beside.memory_bytes - alone.memory_bytes < 0.1 * alone.memory_bytes
    cores = [plan_of((4096, 4096), BoxFilter(bytes_per_voxel=1000.0), edge=1024, workers=n) for n in (1, 2)]
    assert cores[1].memory_bytes > 1.9 * cores[0].memory_bytes


def test_nothing_is_read_beside_a_method_that_takes_long():
    method = BoxFilter(threads="many", bytes_per_voxel=100.0)
    assert plan_of((4096, 4096), method, edge=1024, workers=4).workers == 2
    method.alone = True
    assert plan_of((4096, 4096), method, edge=1024, workers=4).workers == 1


def test_methods_say_what_a_block_takes_and_more_where_the_process_keeps_freed_memory(monkeypatch):
    method = Identity(threads="many", halo=(8, 8))
    method.working_bytes = lambda shape, kept: (600 if kept else 400) * np.prod(shape)
    said = []
    for kept in (False, True):
        monkeypatch.setattr("ruska.engine.plan.keeps_freed_memory", lambda kept=kept: kept)
        said.append(plan_of((1, 2, 2048, 1024), method, axes="ZCYX", edge=1024).memory_bytes)
    assert said[1] - said[0] == pytest.approx(200 * 2 * 1032 * 1024)  # a halo on the inner side only


def test_what_a_first_call_takes_for_good_counts_with_the_blocks_and_with_the_report():
    for cost in (1.0, 1000.0):
        method = Identity(bytes_per_voxel=cost, threads="many")
        before = plan_of((512, 512), method).memory_bytes
        method.stays = 50e6
        assert plan_of((512, 512), method).memory_bytes - before == pytest.approx(50e6, abs=1)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 90), st.integers(0, 9), st.sampled_from([1, 2, 8]), st.integers(1, 64))
def test_the_longest_read_is_that_of_a_block(n, halo, multiple, edge):
    plan = plan_of((n, n), Identity(halo=(halo, halo), multiple=(multiple, multiple)), edge=edge)
    blocks = [plan.block(i) for i in range(plan.size)]
    longest = max(b.read[-1].stop - b.read[-1].start + b.pad[-1] for b in blocks)
    assert longest_read(n, plan.extent[-1], halo, multiple) == longest


def test_results_in_memory_count_and_no_report_is_drawn_of_them():
    plain, held, spread = (
        plan_of((4096, 4096), edge=256, delivery=Delivery(report=False, held=bytes_, doubt=doubt)).memory_bytes
        for bytes_, doubt in ((0.0, False), (12.0, False), (12.0, True))
    )
    assert held - plain == pytest.approx(12 * 4096**2)
    assert spread - held > 40 * 4096**2  # their standard deviation is made at once
    assert 70e6 < plain < 110e6 < plan_of((4096, 4096), edge=256).memory_bytes  # the verdict's, without a report's


def test_tiles_that_wait_in_memory_count():
    blurred = BoxFilter(merge="mean")
    said = [
        plan_of((16384, 16384), blurred, edge=2048, delivery=Delivery(report=False, held=held)).memory_bytes
        for held in (1e-9, 0.0)
    ]  # of tiles so large that they take more than the verdict
    assert said[0] - said[1] == pytest.approx((2 * 8 + 1) * 4 * 2048**2, rel=1e-3)


def test_a_report_of_samples_takes_more():
    plain, doubt = (plan_of((1024, 1024), delivery=Delivery(doubt=doubt)).memory_bytes for doubt in (False, True))
    assert 30e6 < doubt - plain < 100e6


def test_small_jobs_are_predicted_with_the_report():
    """Measured: 86 MB for 512 x 512 pixels, 168 MB for 1024 x 1024 and for the part of 4096 x 4096 that is shown."""
    for edge, took in ((512, 86e6), (1024, 168e6), (4096, 168e6)):
        said = plan_of((edge, edge), workers=1, edge=256).memory_bytes
        assert took < said < 1.4 * took
    with pytest.raises(ResourceError, match="Allow at least"):
        plan_of((64, 64), memory=parse_memory("60MB"))


def test_a_refusal_says_the_least_that_would_do():
    with pytest.raises(ResourceError, match="of which Python and its libraries hold") as caught:
        plan_of((512, 512), memory=parse_memory("300MB"), baseline=250 << 20)
    least = parse_memory(caught.value.fix.removeprefix("Allow at least ").rstrip(".").replace(" ", ""))
    assert plan_of((512, 512), memory=least, baseline=250 << 20).memory_bytes <= least
    with pytest.raises(ResourceError):
        plan_of((512, 512), memory=int(0.9 * least), baseline=250 << 20)


def test_what_the_preparation_took_is_part_of_the_prediction(monkeypatch):
    """A training on the image takes more than the restoration, and has been by then."""
    layout, types = Layout("YX", (64, 64), 2), {"dtype": np.uint16, "out_dtype": np.uint16}
    monkeypatch.setattr("ruska.engine.plan.peak_memory", lambda: 5 * 10**9)
    nothing, training = Budget(1 << 34, 1, peak_before=5 * 10**9), Budget(1 << 34, 1, peak_before=10**9)
    assert plan_blocks(layout, Identity(), nothing, **types).memory_bytes < 3 * 10**9
    assert plan_blocks(layout, Identity(), training, **types).memory_bytes == 5 * 10**9


def test_a_3d_method_needs_a_stack():
    volume = Identity(halo=(1, 1, 1), multiple=(1, 1, 1), scale=(Fraction(1),) * 3)
    with pytest.raises(GeometryError, match="needs a stack"):
        plan_of((64, 64), volume)
    assert plan_of((4, 64, 64), volume, "TYX").layout.spatial_axes == "TYX"


@pytest.mark.parametrize(("text", "count"), [("2GB", 2 * 10**9), ("512 MiB", 512 << 20), ("1.5g", 15 * 10**8)])
def test_memory_is_parsed(text, count):
    assert parse_memory(text) == count


@pytest.mark.parametrize("text", ["", "much", "-1GB", "0", "3 parsecs"])
def test_nonsense_memory_is_refused(text):
    with pytest.raises(SettingsError, match="amount of memory"):
        parse_memory(text)


def test_bytes_are_formatted():
    assert [format_bytes(n) for n in (5, 1500, 2.5e9, 3e13)] == ["5 B", "1.5 kB", "2.5 GB", "30 TB"]
