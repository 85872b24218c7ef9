"""Packing a corpus: what is clean goes in at the scales at which it is, masks and noise do not, training reads it."""

from __future__ import annotations

import json
import os

import numpy as np
import PIL.Image
import pytest
import torch
from scipy import ndimage

import ruska
from ruska.corpus import build
from ruska.corpus.planes import fine_detail, shrink, targets, unfit
from ruska.engine import work_folder
from ruska.errors import InputError, JobBusyError, OutputError
from ruska.image import Image
from ruska.physics import PoissonGaussian, cell_phantom
from ruska.training.packed import Packed


def write(path, values, axes=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    ruska.write(path, Image(np.asarray(values), axes or "ZYX"[-np.ndim(values) :], name=path.name))
    return path


@pytest.fixture(scope="module")
def clean():
    return (200 * cell_phantom((256, 320), seed=0) + 20).astype(np.float32)


def noisy(clean, level):
    return clean + np.random.default_rng(0).normal(0, level, clean.shape).astype(np.float32)


def test_noise_decides_the_scales(clean):
    signal = clean.std()
    assert [t.level for t in targets(noisy(clean, 0.02 * signal))][:2] == [1, 2]
    levels = [t.level for t in targets(noisy(clean, 0.3 * signal))]
    assert levels
    assert min(levels) == 2
    assert list(targets(noisy(clean, 3 * signal))) == []


def test_a_target_is_normalised_and_knows_its_noise(clean):
    found = next(targets(noisy(clean, 0.08 * clean.std())))
    assert abs(float(found.values.mean(dtype=np.float64))) < 0.01
    assert float(found.values.std(dtype=np.float64)) == pytest.approx(1, abs=0.03)
    assert found.noise == pytest.approx(0.08, rel=0.4)


def test_what_is_blurred_is_a_target_where_it_is_sharp_only(clean):
    blurred = ndimage.gaussian_filter(np.tile(clean, (2, 2)), 6)
    levels = [t.level for t in targets(noisy(blurred, 0.01 * blurred.std()))]
    assert levels
    assert min(levels) > 1
    assert list(targets(noisy(ndimage.gaussian_filter(clean, 20), 0.01))) == []


def test_detail_is_what_means_over_two_pixels_lose_and_no_noise(clean):
    plane = np.zeros((8, 8), np.float32)
    plane[:, ::2] = 2
    assert fine_detail(plane) == pytest.approx(1)
    assert fine_detail(np.repeat(np.repeat(clean, 2, 0), 2, 1)) == 0
    soft = ndimage.gaussian_filter(np.tile(clean, (2, 2)), 2)
    sharp, with_noise = (next(targets(noisy(soft, level * soft.std()))) for level in (0.003, 0.12))
    assert sharp.detail == pytest.approx(fine_detail(soft) / soft.std(), rel=0.1)
    assert with_noise.level == 1
    assert with_noise.detail == pytest.approx(sharp.detail, rel=0.2)


def test_planes_with_fine_detail_are_drawn_more_often(tmp_path, clean):
    soft = ndimage.gaussian_filter(np.tile(clean, (2, 2)), 1)[: len(clean), : clean.shape[1]]
    for name, plane in (("sharp", clean), ("soft", soft)):
        write(tmp_path / "a" / f"{name}.tif", plane)
    build([tmp_path / "a" / "sharp.tif", tmp_path / "a" / "soft.tif"], tmp_path / "packed")
    planes = json.loads((tmp_path / "packed" / "manifest.json").read_text())["planes"]
    found = {(p["source"], p["level"]): k for k, p in enumerate(planes)}
    sharp, soft = found["sharp.tif", 1], found["soft.tif", 1]
    share = Packed.load(tmp_path / "packed").share
    assert planes[sharp]["detail"] > 1.2 * planes[soft]["detail"]
    assert share[sharp] / share[soft] == pytest.approx((planes[sharp]["detail"] / planes[soft]["detail"]) ** 0.25)


def test_shrinking_averages_cells():
    plane = np.arange(35, dtype=np.float32).reshape(5, 7)
    np.testing.assert_allclose(shrink(plane, 2), [[4, 6, 8], [18, 20, 22]])


def test_masks_empty_and_clipped_planes_are_unfit(clean):
    assert unfit(clean) is None
    assert "mask" in unfit((clean > clean.mean()).astype(np.float32))
    assert "empty" in unfit(np.zeros((100, 100), np.float32))
    assert "clipped" in unfit(np.minimum(clean, np.quantile(clean, 0.5)) + noisy(0 * clean, 1e-3) * (clean < 100))
    broken = clean.copy()
    broken[3, 3] = np.nan
    assert "invalid" in unfit(broken)


def test_built_parts_hold_what_the_manifest_says(tmp_path, clean):
    stack = np.stack([clean, clean[::-1], clean[:, ::-1]])
    files = [
        write(tmp_path / "a" / "stack.tif", stack),
        write(tmp_path / "b" / "copy.tif", 3 * clean + 7),  # another grey scale, the same image
        write(tmp_path / "b" / "mask.tif", (clean > 100).astype(np.uint8)),
        write(tmp_path / "b" / "noise.tif", noisy(0 * clean, 1)),
    ]
    (tmp_path / "b" / "notes.txt").write_text("no image")
    report = build([*files, tmp_path / "b" / "notes.txt"], tmp_path / "packed")
    assert report.refused == {"is there already": 1, "a mask or a drawing": 1, "cannot be read (InputError)": 1,
                              "is too noisy or blurred at every scale": 1}  # fmt: skip
    manifest = json.loads((tmp_path / "packed" / "manifest.json").read_text())
    assert {p["group"] for p in manifest["planes"]} == {"a"}
    assert [s["name"] for s in manifest["sources"]] == ["a/stack.tif"]
    packed = Packed.load(tmp_path / "packed")
    assert len(packed.start) == report.planes
    assert packed.pixels.numel() == report.pixels
    first = packed.pixels[: 256 * 320].view(256, 320).float().numpy()
    assert np.corrcoef(first.ravel(), clean.ravel())[0, 1] > 0.999


def test_jpeg_files_start_at_half_resolution(tmp_path, clean):
    grey = np.clip(clean, 0, 255).astype(np.uint8)
    for suffix in ("jpg", "JPEG", "png"):
        file = tmp_path / suffix / f"plane.{suffix}"
        file.parent.mkdir()
        PIL.Image.fromarray(grey).save(file, **({} if suffix == "png" else {"quality": 95}))
        build([file], tmp_path / "packed" / suffix)
        manifest = json.loads((tmp_path / "packed" / suffix / "manifest.json").read_text())
        assert min(p["level"] for p in manifest["planes"]) == (1 if suffix == "png" else 2)


def test_patches_are_pieces_of_the_planes(tmp_path, clean):
    write(tmp_path / "a" / "one.tif", clean)
    build([tmp_path / "a" / "one.tif"], tmp_path / "packed")
    packed = Packed.load(tmp_path / "packed")
    random = torch.Generator().manual_seed(0)
    patches, noise = packed.draw(64, 64, random)
    assert patches.shape == (64, 1, 64, 64)
    assert noise.shape == (64,)
    assert patches.mean().item() == pytest.approx(0, abs=0.3)
    assert len({round(p.mean().item(), 5) for p in patches}) > 50
    # a plane smaller than the patch is mirrored
    big, _ = packed.draw(4, 400, random)
    assert torch.isfinite(big).all()
    assert big.shape[-1] == 400


def test_nothing_fit_is_an_error_that_says_why(tmp_path, clean):
    mask = write(tmp_path / "mask.tif", (clean > 100).astype(np.uint8))
    with pytest.raises(InputError, match=r"mask or a drawing \(1\)"):
        build([mask], tmp_path / "packed")


def test_a_folder_with_something_else_is_left_alone(tmp_path, clean):
    (tmp_path / "packed").mkdir()
    (tmp_path / "packed" / "thesis.txt").write_text("all I have")
    with pytest.raises(OutputError, match="holds no corpus"):
        build([write(tmp_path / "a.tif", clean)], tmp_path / "packed")
    assert (tmp_path / "packed" / "thesis.txt").exists()


@pytest.mark.parametrize("harm", ["no manifest", "no part", "other shape", "not json"])
def test_a_damaged_corpus_is_refused(tmp_path, clean, harm):
    folder = tmp_path / "packed"
    build([write(tmp_path / "a.tif", clean)], folder)
    manifest = folder / "manifest.json"
    if harm == "no manifest":
        manifest.unlink()
    elif harm == "no part":
        next(folder.glob("*.safetensors")).unlink()
    elif harm == "not json":
        manifest.write_text("{")
    else:
        facts = json.loads(manifest.read_text())
        facts["planes"][0]["shape"] = [10, 10]
        manifest.write_text(json.dumps(facts))
    with pytest.raises(InputError, match="packed"):
        Packed.load(folder)


def test_real_micrographs_can_be_packed(micrographs, tmp_path):
    files = sorted((micrographs / "train" / "plant_stem_sem").glob("*.tif"))[:2]
    files += sorted((micrographs / "train" / "axondeepseg_sem").glob("*myelin-manual.png"))[:1]
    report = build(files, tmp_path / "packed")
    assert report.planes >= 4
    assert report.refused["a mask or a drawing"] == 1


def test_noise_that_is_left_is_small(clean):
    level = PoissonGaussian(50, 0.02).simulate((clean - 20) / 200, seed=0)
    for target in targets(level):
        truth = shrink(clean, target.level)
        truth = (truth - truth.mean()) / truth.std()
        error = float((target.values.astype(np.float32) - truth).std())
        assert error < 2 * target.noise


@pytest.mark.parametrize("after", range(4))
def test_a_corpus_that_is_killed_while_it_is_replaced_is_the_old_or_the_new_one(tmp_path, clean, monkeypatch, after):
    one, two = write(tmp_path / "a" / "one.tif", clean), write(tmp_path / "a" / "two.tif", clean[::-1])
    folder = tmp_path / "packed"
    build([one], folder)
    (folder / "notes.txt").write_text("mine")
    replace, done = os.replace, []

    def killed(source, target):
        if len(done) == after:
            raise KeyboardInterrupt
        done.append(target)
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            build([one, two], folder)
    sources = {p["source"] for p in json.loads((folder / "manifest.json").read_text())["planes"]}
    assert sources == ({"one.tif"} if after < 2 else {"one.tif", "two.tif"})
    assert len(Packed.load(folder).start) > 0
    build([one, two], folder)
    parts = json.loads((folder / "manifest.json").read_text())["parts"]
    assert {p.name for p in folder.iterdir()} == {
        *parts,
        "manifest.json",
        "statistics.json",
        "contact.png",
        "notes.txt",
    }
    assert {p.name for p in tmp_path.iterdir()} == {"a", "packed"}


def test_useless_input_leaves_the_corpus_as_it_was(tmp_path, clean):
    folder = tmp_path / "packed"
    build([write(tmp_path / "a.tif", clean)], folder)
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    with pytest.raises(InputError):
        build([write(tmp_path / "mask.tif", (clean > 100).astype(np.uint8))], folder)
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before
    assert not list(tmp_path.glob(".*"))


def test_two_builds_cannot_share_a_corpus_and_a_killed_one_begins_anew(tmp_path, clean):
    file, folder = write(tmp_path / "a.tif", clean), tmp_path / "packed"
    with work_folder(folder) as work:
        (work / "corpus").mkdir()
        (work / "corpus" / "part000-0123abcd.safetensors").write_bytes(b"half")
        with pytest.raises(JobBusyError):
            build([file], folder)
    assert not folder.exists()
    build([file], folder)
    assert len(list(folder.glob("part*"))) == 1
    assert not list(tmp_path.glob(".*"))
