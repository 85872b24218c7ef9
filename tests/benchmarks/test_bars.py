"""The bars: figures and margins follow from the rows, and what was not measured is said to be so."""

from __future__ import annotations

import importlib
import sys

import numpy as np
import pytest
import torch
from benchmarks.bars import BACK_PROJECTED, TUNED, WHITE, Bar, Measured
from benchmarks.pixel_size import DIRECT, RIVAL, SIZES
from benchmarks.samplers import FLOW, OWN, STEPPED

from benchmarks import bars, samplers


def row(task, dataset, setting, peer, psnr, *, real=False, classical=False, resolution=4.0, seconds=1.0):
    return {"task": task, "dataset": dataset, "setting": setting, "peer": peer, "psnr": psnr, "real": real, "ssim": 0.9,
            "classical": classical, "resolution_px": resolution, "seconds": seconds, "megapixels": 0.1,
            "passes": 1}  # fmt: skip


def bar(found, part):
    return next(b for b in bars.bars(found) if part in f"{b.task}: {b.goal}")


def test_without_rows_every_bar_is_said_to_be_unmeasured():
    made = bars.bars(Measured())
    assert len(made) >= 14
    assert all(b.margin is None and "| not measured |" in b.line for b in made)
    assert bars.section(Measured()).count("not measured") == len(made)


def test_a_missed_bar_is_marked():
    assert "**no**" in Bar("denoise", "goal", "found", -0.01).line
    assert "| +0.00 | yes |" in Bar("denoise", "goal", "found", 0.0).line


def test_the_mean_and_the_worst_dataset_are_told_apart():
    rows = [row("denoise", name, setting, peer, psnr)
            for name, ours in (("a", 27.0), ("b", 25.9)) for setting in ("50 e", "12 e")
            for peer, psnr in ((OWN["denoise"], ours), (WHITE, 26.0))]  # fmt: skip
    rows.append(row("denoise", "c", "50 e, scan line", OWN["denoise"], 10.0))  # the peer does not apply to it
    mean, worst = bar(Measured(rows), WHITE), bar(Measured(rows), "no dataset below")
    assert mean.margin == pytest.approx(0.45 - 0.3)
    assert "4 cases" in mean.figure
    assert worst.margin == pytest.approx(-0.1)
    assert "on b" in worst.figure


def test_real_pairs_meet_the_peer_that_was_tuned_on_the_same_pairs():
    rows = [row("denoise", "kriss", f"pair {n}", peer, psnr, real=True)
            for n in (1, 10, 19, 28) for peer, psnr in ((OWN["denoise"], 33.0), (TUNED, 32.5))]  # fmt: skip
    rows.append(row("denoise", "kriss", "pair 4", OWN["denoise"], 20.0, real=True))
    assert bar(Measured(rows), TUNED).margin == pytest.approx(0.2)
    assert bar(Measured(rows), "32.4 + 0.3 dB").margin == pytest.approx(0.3)
    assert bar(Measured(rows), "SSIM").margin == pytest.approx(0.04)


def test_the_best_classical_peer_and_the_finest_one_are_found():
    rows = [row("superres", "a", "x2", OWN["superres"], 25.0, resolution=4.0),
            row("superres", "a", "x2", "good", 24.0, classical=True, resolution=5.0),
            row("superres", "a", "x2", "fine", 23.0, classical=True, resolution=3.5)]  # fmt: skip
    assert bar(Measured(rows), "good + 0.5 dB").margin == pytest.approx(0.5)
    sharper = bar(Measured(rows), "sharper")
    assert sharper.margin == pytest.approx(-0.5)
    assert "fine" in sharper.figure


def test_samplers_are_compared_on_the_cases_that_both_have():
    rows = [row("superres", name, "x2", OWN["superres"], 25.0, seconds=0.5) for name in "ab"]
    rows += [row("superres", "a", "x2", FLOW, 24.5, seconds=10.0, resolution=6.0)]
    gain, finer, faster, cases = samplers.compared(rows, OWN["superres"], FLOW)
    assert (gain, finer, faster, cases) == (pytest.approx(0.5), pytest.approx(1.5), pytest.approx(20), 1)
    assert bar(Measured(samplers=rows), "times faster than that").margin is None  # of denoising, which has no row
    assert [b.margin for b in bars.bars(Measured(samplers=rows)) if b.task == "superres"][-2:] == [
        pytest.approx(0.5), pytest.approx(15)]  # fmt: skip
    rows.append(row("superres", "a", "x2", STEPPED, 24.8, seconds=10.0))  # the better of the two counts
    assert bar(Measured(samplers=rows), STEPPED).margin == pytest.approx(0.2)
    assert "| +0.50 |" in samplers.section(rows)
    assert "| 20 |" in samplers.section(rows)


def test_isotropic_is_compared_with_back_projection_and_with_the_truth():
    rows = [row("isotropic", "fib25", setting, peer, psnr) for setting in ("x4", "x8")
            for peer, psnr in ((OWN["isotropic"], 25.0), (BACK_PROJECTED, 24.0))]  # fmt: skip
    assert bar(Measured(rows), BACK_PROJECTED + " + 0.7").margin == pytest.approx(0.3)
    cuts = [{"name": name, "setting": "x4", "bands": (0.0, octave, 0.0)}
            for name, octave in ((OWN["isotropic"], -8.0), (BACK_PROJECTED, -28.0), ("truth", 2.0))]  # fmt: skip
    assert bar(Measured(cuts=cuts), "look like XY").margin == pytest.approx(30 - 10)


def test_robustness_is_against_the_right_reference():
    own = OWN["denoise"]
    changes = {"none": {own: [25.0, 27.0]}, "contrast inverted": {own: [24.0, 26.8]},
               "noise the same everywhere": {own: [20.0, 22.0]},
               "noise the same everywhere, contrast inverted": {own: [20.1, 21.9]}}  # fmt: skip
    assert bar(Measured(changes=changes), "robustness: contrast").margin == pytest.approx(0.5 - 0.6)
    assert bar(Measured(changes=changes), "everywhere, contrast").margin == pytest.approx(0.5)
    sizes = {str(size): {DIRECT: [26.0], RIVAL: [25.0]} for size in SIZES}
    sizes["2"] = {DIRECT: [22.0], "resampled to the native size, denoised, resampled back": [22.8], RIVAL: [21.3]}
    found = Measured(sizes=sizes)
    assert bar(found, "detour").margin == pytest.approx(0.5 - 0.8)
    assert bar(found, "of the lead").margin == pytest.approx(0.5 - 0.3)


def test_the_networks_part_is_held_against_a_bare_pass():
    assert bar(Measured(passes={"ratio": 1.05, "command": 3.0}), "bare passes").margin == pytest.approx(0.15)


def test_the_bars_come_first_and_every_row_has_its_weights(micrographs, monkeypatch, tmp_path):
    program = importlib.import_module("benchmarks.__main__")
    monkeypatch.setattr(program, "HERE", tmp_path)
    monkeypatch.setattr(program, "STRIPS", tmp_path / "strips")
    monkeypatch.setattr(program, "peak_memory", lambda *given: {})
    words = ["--tasks", "deblur", "--cases", "deblur fib25 sigma 2", "--peers", "blurred"]
    monkeypatch.setattr(sys, "argv", ["benchmarks", *words])
    program.main()
    text = (tmp_path / "work" / "RESULTS.md").read_text()
    order = [text.index(part) for part in ("# Results", program.card().sha256[:12], "## Bars", "## deblur")]
    assert order == sorted(order)
    assert "Left out: nothing." in text  # of what was asked for
    assert (tmp_path / "strips" / "deblur_fib25_sigma_2.png").stat().st_size > 10_000


def test_samplers_meet_cut_cases_that_still_fit_their_operator(micrographs):
    found = {case.name: case for case in samplers.small_cases(("deblur", "superres", "isotropic"))}
    for case in found.values():
        seen = case.operator.forward(torch.from_numpy(case.truth)[None, None])[0, 0].numpy()
        inner = tuple(slice(8, -8) if n > 24 else slice(4, -4) for n in seen.shape)  # a blur reaches over the cut
        assert seen.shape == case.measurement.shape
        assert np.std((seen - case.measurement)[inner]) == pytest.approx(case.noise, rel=0.1)
    assert found["isotropic fib25 x4, 192 px"].truth.shape == (samplers.DEPTH, 96, 96)
    slow = [name for name, case in found.items() if samplers.DPS in [peer.name for peer in samplers.peers_of(case)]]
    assert slow == [f"deblur fib25 sigma 2, {samplers.SMALL} px"]
