"""`check_method`: does a method return what it declares, and the same as a whole, in blocks, threads and processes?"""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ruska.testing.phantoms import phantom

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ruska.engine.contracts import Executor
    from ruska.engine.job import Feed
    from ruska.engine.plan import Plan
    from ruska.image import Output

_EXACT = 1e-5  # of the largest value
_PLENTY = 1 << 40  # bytes: planning must not depend on the machine


def check_method(
    method: Any, image: NDArray[Any] | None = None, axes: str | None = None, *,
    others: Mapping[str, NDArray[Any]] | None = None, edge: int | None = None, seam: float = 0.05,
    processes: bool = True,
) -> None:  # fmt: skip
    """Raise AssertionError unless ``method`` (see `ruska.engine.Method`) does what it says.

    Checked: what it returns is what it declares, by name, channels and grid, and finite; its inputs are left as they
    are; the same input gives the same bytes; blocks give what the whole gives, to 1e-5 of the largest value where its
    ``locality`` is exact (objects: the very same), within ``seam`` where it is approximate; threads, and processes if
    it can be pickled, give the same bytes as a single worker.

    image, axes : what it runs on, such as "ZYX"; a noisy phantom with room for its halo when None.
    others : arrays for the other inputs it takes, by name, with the last of ``axes``.
    edge : length of a block along each axis; about a third of the image when None.
    seam : root mean square of the difference over the standard deviation of the result; of objects, the adapted Rand
        error. processes : False leaves them out, as they take seconds to start.
    """
    _check_declared(method)
    if image is None:
        image, axes = phantom(method.halo)
    bench = _Bench(method, np.asarray(image), axes or "TZYX"[-np.ndim(image) :], dict(others or {}))
    edge = edge or max(8, -(-max(image.shape[-len(method.halo) :]) // 3))
    assert bench.plan(edge).size > 1, f"a block of {edge} is the whole image; give a smaller edge, or a larger image"
    if hasattr(method, "sweeps"):
        _check_sweeps(method)
    else:
        _check_call(bench, edge)
    whole, parts = bench.run(None), bench.run(edge)
    for output in method.outputs:
        _compare(output, whole[output.name], parts[output.name], _is_exact(method), seam)
    from ruska.engine.executors import Processes, Threads

    _check_same(parts, bench.run(edge, Threads(3)), "on threads")
    if processes and _can_be_pickled(method):
        _check_same(parts, bench.run(edge, Processes(2)), "on processes")


def _check_declared(method: Any) -> None:
    dimensions = len(method.halo)
    assert dimensions in (2, 3), f"halo has {dimensions} numbers, expected one for each of 2 or 3 spatial axes"
    assert min(method.halo) >= 0, f"halo is {method.halo}, expected numbers of at least 0"
    assert len(method.multiple) == dimensions, f"multiple has {len(method.multiple)} numbers, halo has {dimensions}"
    assert min(method.multiple) >= 1, f"multiple is {method.multiple}, expected numbers of at least 1"
    assert method.domain in ("normalised", "raw"), f"domain is {method.domain!r}, expected 'normalised' or 'raw'"
    assert method.threads in ("one", "many"), f"threads is {method.threads!r}, expected 'one' or 'many'"
    assert method.bytes_per_voxel >= 0, f"bytes_per_voxel is {method.bytes_per_voxel}, expected a number of bytes"
    assert method.outputs, "outputs is empty, expected at least the result"
    names = [output.name for output in method.outputs]
    assert len(set(names)) == len(names), f"outputs are {names}: two have the same name"
    for output in method.outputs:
        if output.merge == "table":
            assert output.columns, f"output '{output.name}' is a table without columns"
        if output.merge == "labels":
            assert output.values == "raw", f"output '{output.name}' holds labels, so its values must be 'raw'"
            kind = np.dtype(output.dtype or "float32").kind
            assert kind in "ui", f"output '{output.name}' holds labels, so its dtype must be a whole number"


@dataclass(frozen=True)
class _Bench:
    """A method and its test input."""

    method: Any
    image: NDArray[Any]
    axes: str
    others: dict[str, NDArray[Any]]

    def plan(self, edge: int | None) -> Plan:
        from ruska.engine import Budget, Layout, plan_blocks

        layout = Layout(self.axes, self.image.shape, len(self.method.halo))
        return plan_blocks(layout, self.method, Budget(_PLENTY, 4), dtype=self.image.dtype, out_dtype=np.float32,
                           edge=edge or max(self.image.shape), baseline=0)  # fmt: skip

    @property
    def feeds(self) -> dict[str, Feed]:
        from ruska.engine import ArraySource
        from ruska.engine.job import Feed

        return {name: Feed(ArraySource(v, self.axes[-v.ndim :])) for name, v in self.others.items()}

    def run(self, edge: int | None, executor: Executor | None = None) -> dict[str, NDArray[Any]]:
        """Every output whole, (others, c, *spatial) or rows; by one worker where ``executor`` is None."""
        from ruska.engine import ArraySource, BlockStore, MemoryStore, NoLedger, measure_intensities, run
        from ruska.engine.executors import Alone

        plan, source = self.plan(edge), ArraySource(self.image, self.axes)
        statistics = measure_intensities(source)
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
            ledger, sinks = NoLedger(), {}
            if executor is not None:
                ledger.folder = Path(name)
            for output in self.method.outputs:
                shape, dtype = plan.shape_of(output), np.dtype(output.dtype or np.float32)
                store = Path(name) / "sinks" / output.name
                sinks[output.name] = (
                    None if output.merge == "table" else MemoryStore(shape, dtype) if executor is None
                    else BlockStore(store, shape, dtype, plan.extent_of(output))
                )  # fmt: skip
            outcome = run(source, self.method, sinks, plan, normalisation=statistics.normalisation(),
                          fill=statistics.mean, others=self.feeds, ledger=ledger,
                          executor=executor or Alone())  # fmt: skip
            read = {k: np.array(s.read(tuple(slice(0, n) for n in s.shape))) for k, s in sinks.items() if s is not None}
        return read | outcome.tables

    def block(self, edge: int) -> tuple[dict[str, Any], Any]:
        """What the method is handed for the first block: tensors (b, c, *spatial), and the random field there."""
        from ruska.engine import ArraySource, measure_intensities
        from ruska.engine.job import IMAGE, Feed, Job

        source, plan = ArraySource(self.image, self.axes), self.plan(edge)
        normalisation = measure_intensities(source).normalisation()
        job = Job({IMAGE: Feed(source, normalisation), **self.feeds}, self.method, plan, {})
        first = plan.block(0)
        return job.read(first.read, first.pad)[0], job.random(first.read, first.pad)


def _check_call(bench: _Bench, edge: int) -> None:
    """One call on one block: what comes back, twice the same, and the inputs as they were."""
    method = bench.method
    inputs, random = bench.block(edge)
    kept = {name: values.clone() for name, values in inputs.items()}
    given = dict(inputs)
    found = {name: values.clone() for name, values in method(given, random).items()}
    for name, values in inputs.items():
        assert _same(values, kept[name]), f"input '{name}' was changed; work on a copy (a block may be tried again)"
    _check_returned(method, kept["image"], found)
    again = method(dict(inputs), random)
    for name, values in found.items():
        assert _same(values, again[name]), (
            f"output '{name}' differs between two calls on the same block; take random numbers from the random field"
        )


def _check_sweeps(method: Any) -> None:
    for part in ("init", "sweep", "finish", "state_channels"):
        assert hasattr(method, part), f"the method has sweeps and no {part} (see ruska.engine.IterativeMethod)"


def _check_returned(method: Any, image: Any, found: Mapping[str, Any]) -> None:
    declared = {output.name: output for output in method.outputs}
    unknown = sorted(set(found) - set(declared))
    assert not unknown, f"returned {', '.join(unknown)}, declared {', '.join(declared)}"
    missing = [name for name in declared if name not in found]
    assert not missing, f"declared {', '.join(missing)}, but did not return it"
    for name, output in declared.items():
        values = found[name]
        if output.merge == "table":
            expected: tuple[int, ...] = (len(values), len(output.columns))
        else:
            grid = output.grid(len(method.halo))
            space = (int(n * s) for n, s in zip(image.shape[2:], grid, strict=True))
            expected = (image.shape[0], output.channels or image.shape[1], *space)
        assert tuple(values.shape) == expected, (
            f"output '{name}' has shape {tuple(values.shape)}, expected {expected} for a block {tuple(image.shape)}"
        )
        if values.is_floating_point():
            assert bool(values.isfinite().all()), f"output '{name}' holds NaN or infinity, but the input does not"


def _is_exact(method: Any) -> bool:
    return getattr(method, "locality", "exact") == "exact"


def _compare(output: Output, whole: NDArray[Any], parts: NDArray[Any], exact: bool, seam: float) -> None:
    what = f"output '{output.name}'"
    if output.merge == "table":
        assert len(whole) == len(parts) or not exact, f"{what} has {len(parts)} rows in blocks, {len(whole)} whole"
        if exact:
            order = [np.lexsort(rows.T[::-1]) for rows in (whole, parts)]
            assert np.allclose(whole[order[0]], parts[order[1]], rtol=1e-4, atol=1e-4), f"{what}: other rows in blocks"
        return
    if output.merge == "labels":
        _compare_labels(what, whole, parts, exact, seam)
        return
    difference = parts.astype(np.float64) - whole
    if exact:
        off = float(np.abs(difference).max() / max(float(np.abs(whole).max()), 1e-30))
        assert off <= _EXACT, (
            f"{what}: blocks differ from the whole by {off:.2g} of the largest value, expected at most {_EXACT:g}: the "
            "halo is too small, or the method is not local (then say locality = 'approximate')"
        )
        return
    off = float(np.sqrt(np.mean(difference**2)) / max(float(whole.std()), 1e-30))
    assert off <= seam, f"{what}: blocks differ from the whole by {off:.2g} of its deviation, expected at most {seam:g}"


def _compare_labels(what: str, whole: NDArray[Any], parts: NDArray[Any], exact: bool, seam: float) -> None:
    if exact:
        count = len(np.unique(whole)), len(np.unique(parts))
        assert np.array_equal(whole, parts), (
            f"{what}: other objects in blocks ({count[1]}) than whole ({count[0]}): the halo is too small, or the "
            "method is not local (then say locality = 'approximate')"
        )
        return
    from skimage.metrics import adapted_rand_error

    error = float(adapted_rand_error(whole.astype(np.int64), parts.astype(np.int64))[0])
    assert error <= seam, f"{what}: blocks differ from the whole by {error:.2g} (adapted Rand), expected {seam:g}"


def _check_same(one: Mapping[str, NDArray[Any]], other: Mapping[str, NDArray[Any]], where: str) -> None:
    for name, values in one.items():
        assert np.array_equal(values, other[name], equal_nan=values.dtype.kind == "f"), (
            f"output '{name}' has other values {where} than with one worker: does a call keep state?"
        )


def _same(one: Any, other: Any) -> bool:
    import torch

    both = one.shape == other.shape and one.dtype == other.dtype
    return both and bool(torch.equal(one.nan_to_num() if one.is_floating_point() else one,
                                     other.nan_to_num() if other.is_floating_point() else other))  # fmt: skip


def _can_be_pickled(method: Any) -> bool:
    try:
        pickle.loads(pickle.dumps(method))
    except Exception:  # whatever its parts raise
        return False
    return True
