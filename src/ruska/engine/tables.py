"""Rows that blocks find (points, measurements): positions become those of the image, rows in the halo are dropped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ruska.engine.job import Job
    from ruska.engine.plan import Block
    from ruska.image import Output


def own_rows(job: Job, block: Block, output: Output, rows: NDArray[Any]) -> NDArray[np.float64]:
    """Rows (n, columns) whose position is in the block's core, with positions in voxels of the image.

    A table without columns named z, y or x is kept whole. Position 0 is the centre of the first voxel.
    """
    rows = np.asarray(rows, dtype=np.float64).reshape(-1, len(output.columns))
    mine = np.ones(len(rows), bool)
    first = job.plan.first_spatial
    axes = job.plan.layout.spatial_axes.lower().replace("q", "z").replace("t", "z")
    for axis, read, core in zip(axes, block.read[first:], block.core[first:], strict=True):
        if axis in output.columns:
            column = output.columns.index(axis)
            rows[:, column] += read.start
            mine &= (rows[:, column] >= core.start - 0.5) & (rows[:, column] < core.stop - 0.5)
    return rows[mine]
