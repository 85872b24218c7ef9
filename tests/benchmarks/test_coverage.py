"""Coverage of a standard deviation: right for normal errors, and the factor that mends one that is not."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks.coverage import compared, coverage, factor, table


def row(told, dataset="a"):
    random = np.random.default_rng(0)
    std = random.uniform(0.5, 2, (200, 200))
    return {"dataset": dataset, "psnr": 20.0, "psnr_of_mean": 19.5,
            **compared(np.abs(random.normal(0, std)), told * std)}  # fmt: skip


def test_normal_errors_are_covered_as_they_should_be():
    known = row(1.0)
    assert coverage(known, 1) == pytest.approx(0.683, abs=0.01)
    assert coverage(known, 2) == pytest.approx(0.954, abs=0.01)
    assert known["rms_ratio"] == pytest.approx(1, abs=0.02)
    assert known["correlation"] > 0.3


def test_the_factor_mends_the_median_image():
    rows = [row(0.5), row(0.25), row(1.0)]
    assert factor(rows) == pytest.approx(2, rel=0.03)
    assert coverage(rows[0], factor(rows)) == pytest.approx(0.683, abs=0.01)


def test_the_table_has_a_line_for_each_dataset_and_one_for_all():
    lines = table([row(1.0), row(0.5), row(0.5, "b")], 2.0).splitlines()
    assert [line.split(" | ")[0] for line in lines[2:]] == ["| a", "| b", "| all"]
    assert lines[3].startswith("| b | 38% | 69% | 95% | 1.00 |")  # half the deviation, then the whole
