"""Each row has its own offset, of the stated size."""

from __future__ import annotations

import numpy as np
import pytest

from ruska.errors import SettingsError
from ruska.physics import RowOffsets


def test_offsets_are_shared_by_a_row_and_by_nothing_else() -> None:
    clean = np.random.default_rng(0).random((3, 2000, 4))
    added = RowOffsets(0.2).simulate(clean, 7) - clean
    np.testing.assert_allclose(added, np.broadcast_to(added[..., :1], added.shape), atol=1e-6)
    offsets = added[..., 0]
    assert offsets.std() == pytest.approx(0.2, rel=0.05)
    assert abs(np.corrcoef(offsets[0], offsets[1])[0, 1]) < 0.08
    assert abs(np.corrcoef(offsets[0, 1:], offsets[0, :-1])[0, 1]) < 0.08
    np.testing.assert_array_equal(RowOffsets(0.2).simulate(clean, 7), (clean + added).astype(np.float32))
    assert not np.array_equal(RowOffsets(0.2).simulate(clean, 8) - clean, added)


@pytest.mark.parametrize("std", [-0.1, float("nan"), float("inf")])
def test_impossible_settings_are_refused(std: float) -> None:
    with pytest.raises(SettingsError, match="std"):
        RowOffsets(std)
