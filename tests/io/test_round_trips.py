"""Write, then read: every writable format keeps pixels and metadata, or says what it did not keep."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ruska.errors import OutputError
from ruska.image import Image, Quantity
from ruska.io import hdf5, read, write, zarr_store

FORMATS = (".ome.tif", ".tif", ".mrc", ".npy", ".npz", ".h5", ".ome.zarr")
COMPLETE = (".npz", ".h5", ".ome.zarr")  # say nothing, because nothing is lost
DTYPES = ("u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8", "?")
LENGTHS, TIMES = ("pm", "angstrom", "nm", "um", "mm", "m"), ("us", "ms", "s", "min")

positive = st.floats(1e-3, 1e4)
texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
records = st.dictionaries(texts, json_values, max_size=3)


@st.composite
def sizes(draw: st.DrawFn, axes: str, numbers: st.SearchStrategy[float]) -> dict[str, Quantity]:
    """A quantity of the right kind for some of the axes."""
    chosen = draw(st.sets(st.sampled_from(axes.replace("C", "").replace("Q", ""))))
    return {a: Quantity(draw(numbers), draw(st.sampled_from(TIMES if a == "T" else LENGTHS))) for a in sorted(chosen)}


@st.composite
def images(draw: st.DrawFn) -> Image:
    """Any image: axes in any order, sizes known or not, with or without everything optional."""
    leading = draw(st.lists(st.sampled_from("TCQZ"), unique=True, max_size=4))
    axes = "".join(leading) + "YX"
    shape = (*(draw(st.integers(1, 4)) for _ in leading), draw(st.integers(1, 9)), draw(st.integers(1, 9)))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    dtype = np.dtype(draw(st.sampled_from(DTYPES)))
    if dtype.kind == "f":
        data = random.normal(scale=100, size=shape).astype(dtype)
        data.flat[0] = draw(st.sampled_from([0.0, np.nan, np.inf]))
    else:
        data = random.integers(0, 256, (*shape[:-1], shape[-1] * dtype.itemsize)).astype(np.uint8).view(dtype)
        data = data if dtype.kind != "b" else random.random(shape) > 0.5
    channels = shape[axes.index("C")] if "C" in axes else 0
    masked = draw(st.sampled_from(["no", "whole", "plane"]))
    mask = None if masked == "no" else random.random(shape if masked == "whole" else shape[-2:]) > 0.3
    return Image(
        data, axes, draw(sizes(axes, positive)), draw(sizes(axes, st.floats(-1e4, 1e4))),
        draw(st.sampled_from(["counts", "grey", "normalised", "labels"])),
        tuple(draw(texts) for _ in range(channels)) if draw(st.booleans()) else (),
        mask, {"vendor": draw(records)} if draw(st.booleans()) else {}, draw(records),
    )  # fmt: skip


def refusal_is_fair(suffix: str, image: Image) -> bool:
    """Whether the format really cannot hold this image."""
    if suffix == ".mrc":
        return len(image.shape) > 3 or image.dtype.str[1:] in ("u4", "i4", "u8", "i8", "f8")
    return suffix == ".ome.zarr" and len(image.shape) == 6


def same_sizes(a: Any, b: Any, tolerance: float) -> bool:
    """Whether two mappings of quantities agree; a missing one is zero."""
    a, b = ({k: q for k, q in m.items() if q.value} for m in (a, b))
    if tolerance == 0:
        return a == b
    return set(a) == set(b) and all(abs(b[k].to(a[k].unit) - a[k].value) <= tolerance * abs(a[k].value) for k in a)


def differences(image: Image, back: Image, tolerance: float) -> set[str]:
    """Names of the fields that did not come back."""
    mask_same = (image.mask is None) == (back.mask is None) and (
        image.mask is None
        or np.array_equal(np.broadcast_to(image.mask, image.shape), np.broadcast_to(np.asarray(back.mask), image.shape))
    )
    found = {
        "axes": back.axes == image.axes,
        "spacing": same_sizes(image.spacing, back.spacing, tolerance),
        "origin": same_sizes(image.origin, back.origin, tolerance),
        "meaning": back.meaning == image.meaning,
        "channel": back.channel_names == image.channel_names,
        "mask": mask_same,
        "header": all(back.header.get(k) == v for k, v in image.header.items() if v),
        "record": back.provenance == image.provenance,
    }
    return {word for word, same in found.items() if not same}


@pytest.mark.parametrize("suffix", FORMATS)
@given(image=images())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_nothing_is_lost_in_silence(tmp_path: Path, suffix: str, image: Image) -> None:
    path = tmp_path / f"a{suffix}"
    try:
        lost = write(path, image, overwrite=True)
    except OutputError:
        assert refusal_is_fair(suffix, image)
        return
    back = read(path)
    pixels = back.numpy()
    if back.dtype != image.dtype:
        assert any("stored as" in line for line in lost), f"{image.dtype} became {back.dtype}: {lost}"
    if back.shape != image.shape:
        assert back.shape == tuple(n for n in image.shape[:-2] if n > 1) + image.shape[-2:]
        assert any("axes" in line for line in lost)
    np.testing.assert_array_equal(pixels.reshape(image.shape).astype(image.dtype), image.data)
    said = " ".join(lost).replace("voxel size", "spacing").replace("frame interval", "spacing").replace("axis", "axes")
    for word in differences(image, back, 1e-6 if suffix == ".mrc" else 0.0):
        assert word in said, f"{word} was lost in silence: {lost}"
    if suffix in COMPLETE:
        assert lost == ()
        assert back.dtype == image.dtype


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_second_trip_changes_nothing(tmp_path: Path, suffix: str) -> None:
    """What was read can be written again and reads the same: headers do not grow, sizes do not drift."""
    data = np.random.default_rng(0).normal(size=(5, 12, 14)).astype(np.float32)
    spacing = {"Z": Quantity(50.3, "nm"), "Y": Quantity(4.1, "nm"), "X": Quantity(4.1, "nm")}
    write(tmp_path / f"a{suffix}", Image(data, "ZYX", spacing))
    first = read(tmp_path / f"a{suffix}")
    write(tmp_path / f"b{suffix}", first)
    second = read(tmp_path / f"b{suffix}")
    np.testing.assert_array_equal(second.numpy(), data)
    assert (second.axes, second.spacing, second.origin, second.header) == (
        first.axes, first.spacing, first.origin, first.header)  # fmt: skip


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_lazy_array_is_streamed(tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A writer asks for boxes, never for the whole."""
    for module in (hdf5, zarr_store):
        monkeypatch.setattr(module, "_BOX_VOXELS", 1 << 19)

    class Counting:
        shape, dtype = (6, 700, 700), np.dtype("u2")
        largest = 0

        def __getitem__(self, box: tuple[slice, ...]) -> np.ndarray:
            assert all(0 <= s.start < s.stop <= n and s.step is None for s, n in zip(box, self.shape, strict=True))
            size = tuple(s.stop - s.start for s in box)
            self.largest = max(self.largest, int(np.prod(size)))
            return np.broadcast_to(np.arange(box[0].start, box[0].stop, dtype="u2")[:, None, None], size)

    pixels = Counting()
    write(tmp_path / f"a{suffix}", Image(pixels, "QYX"))
    assert 0 < pixels.largest <= 1 << 19
    np.testing.assert_array_equal(read(tmp_path / f"a{suffix}").numpy()[:, 5, 7], np.arange(6))
