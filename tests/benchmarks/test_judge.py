"""The judge: the same seeds give the same numbers, planted faults are named, nothing is skipped in silence."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest
from benchmarks.cases import Case, cases
from benchmarks.judge import Memory, judge
from benchmarks.memory import peak_memory
from benchmarks.notes import Notes
from benchmarks.peers import PEERS, PRIOR, Peer, applies
from benchmarks.peers_env import Environment
from benchmarks.robustness import measured, table
from benchmarks.samplers import SAMPLERS
from benchmarks.scoring import score
from benchmarks.speed import quality_over_time
from benchmarks.tables import best_classical, error_ratio, interval, tables
from scipy.ndimage import fourier_gaussian, fourier_shift

from benchmarks import classical
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


def test_other_weights_or_code_concern_what_ruska_drives_and_no_one_else(monkeypatch, tmp_path):
    calls = []

    def known(weights):
        def restore(name):
            return lambda case: calls.append(name) or case.measurement

        return (Peer("own", restore("own"), ours=True, version=weights),
                Peer("sampler", restore("sampler"), driven=True, version=weights), Peer("peer", restore("peer")),
                Peer("told", restore("told"), told=lambda case: estimate))  # fmt: skip

    estimate = "0.1"
    case = phantom_case()
    for weights, code, said, computed in (
        (1, "a", "0.1", ["own", "sampler", "peer", "told"]),
        (1, "a", "0.1", []),
        (2, "a", "0.1", ["own", "sampler"]),
        (2, "b", "0.1", ["own", "sampler"]),
        (2, "b", "0.2", ["told"]),
    ):
        estimate = said
        monkeypatch.setattr("benchmarks.peers.source_digest", lambda code=code: code)
        calls.clear()
        judge([case], Memory(tmp_path), peers=lambda case, weights=weights: known(weights), say=lambda text: None)
        assert calls == computed


def test_whatever_the_embedded_network_drives_has_its_weights_for_a_version():
    driven = [
        peer
        for peers in (*PEERS.values(), *SAMPLERS.values())
        for peer in peers
        if peer.driven or (peer.ours and ("prior" in peer.name or "deblur" in peer.name or "auto" in peer.name))
    ]
    assert len(driven) > 10
    assert all(peer.version in (PRIOR, PRIOR + 1) for peer in driven)
    assert str(PRIOR) in next(peer for peer in driven if peer.name == "Ruska prior").stamp


def test_the_resolution_is_where_half_of_result_and_truth_correlates():
    random = np.random.default_rng(0)
    truth = random.normal(0, 1, (256, 256))
    frequency = np.hypot(np.fft.fftfreq(256)[:, None], np.fft.fftfreq(256)[None])
    spectrum = np.fft.fft2(random.normal(0, 1, truth.shape)) * np.sqrt(3 * (frequency / 0.2) ** 4)
    case = replace(phantom_case(), truth=truth, measurement=truth)
    result = truth + np.fft.ifft2(spectrum).real  # noise is three times the signal at a period of 5 pixels
    assert score(result, case)["resolution_px"] == pytest.approx(5, rel=0.04)
    blurred = np.fft.ifft2(np.fft.fft2(result) * np.exp(-20 * frequency**2)).real
    assert score(blurred, case)["resolution_px"] == pytest.approx(5, rel=0.04)  # no filter adds or takes information


def test_bm3d_tuned_to_the_truth_takes_the_best_strength(monkeypatch):
    case = phantom_case()
    monkeypatch.setattr(classical, "bm3d_spectrum", lambda case, strength: case.truth + abs(strength - 1.3))
    np.testing.assert_array_equal(classical.bm3d_tuned(case), case.truth)


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


def test_a_change_of_the_scores_computes_no_image_anew(monkeypatch, tmp_path):
    calls = []

    def counted(case):
        calls.append(case.name)
        return case.measurement

    monkeypatch.setitem(PEERS, "denoise", (Peer("counted", counted),))
    first = judge([phantom_case()], Memory(tmp_path), say=lambda text: None)
    monkeypatch.setattr("benchmarks.judge.SCORES_VERSION", -1)
    again = judge([phantom_case()], Memory(tmp_path), say=lambda text: None)
    assert len(calls) == 1
    assert again[0]["version"] == -1
    assert again[0]["psnr"] == first[0]["psnr"]


def test_the_best_classical_peer_is_the_measure(monkeypatch, tmp_path):
    def between(share):
        return lambda case: share * TRUTH + (1 - share) * case.measurement

    peers = (Peer("noisy", between(0)), Peer("rival", between(0.5)), Peer("Ruska own", between(0.75), ours=True),
             Peer("a network", between(0.9), passes=1))  # fmt: skip
    monkeypatch.setitem(PEERS, "denoise", peers)
    rows = judge([phantom_case()], Memory(tmp_path), say=lambda text: None)
    assert best_classical(rows) == "rival"
    assert error_ratio(rows, "Ruska own", "rival")[0] == pytest.approx(0.25, rel=1e-3)
    assert error_ratio(rows, "noisy", "rival")[0] == pytest.approx(4, rel=1e-3)
    text = tables(rows, {("denoise", "rival"): 12.3})
    assert "Best classical peer: rival. Ruska's best, Ruska own, has 0.25 times its squared error" in text
    assert "| 12 | 0 |" in text


def test_only_peers_that_are_named_run_slow_ones_too(monkeypatch, tmp_path):
    peers = (Peer("quick", lambda case: case.measurement), Peer("slow", lambda case: TRUTH, slow=True))
    monkeypatch.setitem(PEERS, "denoise", peers)
    rows = judge([phantom_case()], Memory(tmp_path), only=["slow"], say=lambda text: None)
    assert [row["peer"] for row in rows] == ["slow"]


def test_the_residual_of_the_truth_has_the_noises_spectrum():
    blurred = score(through_fourier(fourier_gaussian, 2.0), phantom_case())["residual_db"]
    assert score(TRUTH, phantom_case())["residual_db"] < 1e-6
    assert blurred > 1


def test_real_pairs_are_scored_fitted_and_as_they_are(micrographs):
    case = next(cases(("denoise",)))
    assert case.clean is not None
    row = score(2 * case.measurement.astype(float) + 10, case)
    plain = score(case.measurement, case)
    assert row["psnr"] == pytest.approx(plain["psnr"], abs=1e-6)
    assert row["psnr_as_is"] < plain["psnr_as_is"] - 5
    assert plain["psnr_as_is"] <= plain["psnr"]


def test_a_peer_with_an_environment_of_its_own(monkeypatch, tmp_path):
    there = Environment("RUSKA_TEST_PYTHON", "a_package")
    script = tmp_path / "double.py"
    script.write_text(
        "import json, sys, pathlib, numpy as np\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "task = json.loads((folder / 'task.json').read_text())\n"
        "np.save(folder / 'restored.npy', task['settings']['factor'] * np.load(folder / 'measurement.npy'))\n"
        "(folder / 'seconds.txt').write_text('1.25')\n"
    )
    peer = Peer("outside", there.peer(script, factor=2), environment=there)
    monkeypatch.delenv("RUSKA_TEST_PYTHON", raising=False)
    monkeypatch.setitem(PEERS, "denoise", (peer,))
    said = []
    assert judge([phantom_case()], Memory(tmp_path / "a"), say=said.append) == []
    assert "SKIPPED outside: pip install a_package" in said[0]
    assert "RUSKA_TEST_PYTHON" in said[0]
    monkeypatch.setenv("RUSKA_TEST_PYTHON", sys.executable)
    case = phantom_case()
    np.testing.assert_allclose(peer.restore(case).image, 2 * case.measurement, rtol=1e-6)
    assert judge([case], Memory(tmp_path / "b"), say=said.append)[0]["seconds"] == 1.25
    script.write_text("raise SystemExit('no such luck')")
    with pytest.raises(RuntimeError, match="no such luck"):
        peer.restore(case)


def test_notes_are_kept_by_what_they_depend_on(tmp_path):
    notes, calls = Notes(tmp_path), []
    for about in ("a", "a", "b"):
        assert notes.recall(about, lambda: calls.append(1) or len(calls)) == (2 if about == "b" else 1)
    assert len(calls) == 2


def test_robustness_costs_nothing_where_nothing_changes(micrographs, tmp_path):
    found = measured(Notes(tmp_path), ("Gaussian 1.5 px",), ("fib25",))
    assert found["contrast inverted"]["Gaussian 1.5 px"] == pytest.approx(found["none"]["Gaussian 1.5 px"], abs=1e-3)
    assert found["told half the noise"]["Gaussian 1.5 px"] == [None]
    text = table(found)
    assert "| contrast inverted | " in text
    assert "| told half the noise |  |" in text


@pytest.mark.slow
def test_peak_memory_is_that_of_the_peer_alone(micrographs, tmp_path):
    chosen = [case for case in cases(("superres",)) if case.quick]
    peaks = peak_memory(chosen, Notes(tmp_path), {"superres": {"cubic"}})
    assert 0 < peaks["superres", "cubic"] < 200


def test_time_to_quality_leaves_out_what_is_slower_and_worse():
    rows = [{"task": "denoise", "real": False, "dataset": "d", "setting": "s", "peer": peer, "seconds": seconds,
             "megapixels": 1, "psnr": value} for peer, seconds, value in
            (("fast", 1, 20), ("bad", 2, 19), ("good", 3, 25))]  # fmt: skip
    text = quality_over_time(rows)
    assert "fast (1.00 s, 20.00) → good (3.00 s, 25.00)" in text
    assert "bad" not in text
