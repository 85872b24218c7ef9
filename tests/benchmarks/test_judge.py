"""The judge: the same seeds give the same numbers, planted faults are named, nothing is skipped in silence."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from benchmarks.cases import Case, cases
from benchmarks.judge import Memory, interval, judge, score, tables
from benchmarks.peers import PEERS, Peer, applies
from scipy.ndimage import fourier_gaussian, fourier_shift

from ruska.physics import STANDARD_DOSES, cell_phantom
from ruska.physics.operators import Identity

TRUTH = cell_phantom((576, 320), seed=2)


def phantom_case():
    dose = STANDARD_DOSES[0]
    return Case("denoise", "phantom", "200 e", dose.simulate(TRUTH, seed=1), Identity(), dose, TRUTH)


def through_fourier(filtered, amount):
    wide = np.pad(TRUTH, 32, mode="symmetric")
    return np.fft.ifft2(filtered(np.fft.fft2(wide), amount)).real[32:-32, 32:-32]


def seam_every_256(image):
    return image + 0.01 * (np.arange(image.shape[0])[:, None] // 256 % 2)


@pytest.mark.parametrize(("restored", "name"), [
    (through_fourier(fourier_shift, (0.5, 0.0)), "shifted by +0.50 px along Y"),
    (through_fourier(fourier_gaussian, 0.3), "blurred by 0.3"),
    (1.02 * TRUTH, "contrast is 1.02"),
    (seam_every_256(TRUTH), "seams after rows 255, 511"),
])  # fmt: skip
def test_planted_faults_are_flagged_by_name(restored, name):
    noise = np.random.default_rng(0).normal(0, 0.01, TRUTH.shape)
    faults = score(restored + noise, phantom_case())["faults"]
    assert len(faults) == 1
    assert name in faults[0]


def test_what_failed_and_what_is_missing_is_said(monkeypatch, tmp_path):
    def broken(case):
        raise ZeroDivisionError("by design")

    peers = (Peer("good", lambda case: case.measurement), Peer("broken", broken),
             Peer("absent", broken, needs="a_package_nobody_has"))  # fmt: skip
    monkeypatch.setitem(PEERS, "denoise", peers)
    said = []
    rows = judge([phantom_case()], Memory(tmp_path), say=said.append)
    assert [row["peer"] for row in rows] == ["good"]
    assert any("FAILED broken" in line and "by design" in line for line in said)
    assert any("SKIPPED absent: a_package_nobody_has" in line for line in said)
    assert not any("broken" in file.name for file in tmp_path.iterdir())


def test_results_are_remembered_by_what_they_depend_on(monkeypatch, tmp_path):
    calls = []

    def counted(case):
        calls.append(case.name)
        return case.measurement

    monkeypatch.setitem(PEERS, "denoise", (Peer("counted", counted),))
    first = judge([phantom_case()], Memory(tmp_path), say=lambda text: None)
    again = judge([phantom_case()], Memory(tmp_path), say=lambda text: None)
    assert first == again
    assert len(calls) == 1
    other = replace(phantom_case(), measurement=phantom_case().measurement + 1)
    judge([other], Memory(tmp_path), say=lambda text: None)
    monkeypatch.setitem(PEERS, "denoise", (Peer("counted", counted, version=2),))
    judge([phantom_case()], Memory(tmp_path), say=lambda text: None)
    assert len(calls) == 3


def test_the_table_names_the_best(tmp_path, monkeypatch):
    peers = (Peer("noisy", lambda case: case.measurement), Peer("perfect", lambda case: 0.99 * TRUTH))
    monkeypatch.setitem(PEERS, "denoise", peers)
    text = tables(judge([phantom_case()], Memory(tmp_path), say=lambda text: None))
    assert "| **perfect** | 1 |" in text
    assert "| noisy | 1 |" in text
    assert "| phantom 200 e |" in text


def test_the_interval_holds_the_mean():
    values = [20.0, 21.0, 23.0, 28.0]
    low, high = interval(values)
    assert low < np.mean(values) < high
    assert interval(values) == (low, high)
    assert interval([3.0]) == (3.0, 3.0)


def test_the_same_seeds_give_the_same_cases(micrographs):
    found, again = ({case.name: case.digest for case in cases(("deblur", "isotropic"))} for _ in range(2))
    assert found == again
    assert len(found) == 6 * 3 + 4


def test_every_case_can_be_scored_and_its_truth_is_perfect(micrographs):
    seen = set()
    for case in cases():
        if not case.quick:
            continue
        seen.add(case.task)
        assert any(applies(peer, case) for peer in PEERS[case.task])
        if case.truth is not None:
            found = score(case.truth, case)
            assert found["psnr"] == float("inf")
            assert found["faults"] == []
            std = case.noise_std
            assert std is not None
            assert 0.01 < std < 0.2
    assert seen == {"denoise", "deblur", "superres", "isotropic"}
