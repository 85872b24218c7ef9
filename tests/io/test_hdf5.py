"""HDF5: choosing a dataset, foreign metadata, refusal of other files' bytes, our own files."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from ruska.errors import GeometryError, InputError
from ruska.image import NO_UNIT, Image, Quantity
from ruska.io import losses_sentence, read, write

DATA = np.arange(120, dtype=np.uint16).reshape(4, 5, 6)


def h5(path: Path, **datasets: np.ndarray) -> Path:
    with h5py.File(path, "w") as file:
        for name, values in datasets.items():
            file[name.replace("__", "/")] = values
    return path


def test_the_only_image_is_taken_lazily(tmp_path: Path) -> None:
    image = read(h5(tmp_path / "a.h5", some__where=DATA, times=np.arange(4.0), column=np.zeros((9, 1))))
    assert not isinstance(image.data, np.ndarray)
    np.testing.assert_array_equal(image.data[1:3, :2, 3:], DATA[1:3, :2, 3:])


def test_several_images_are_listed_and_one_can_be_named(tmp_path: Path) -> None:
    path = h5(tmp_path / "a.h5", a__first=DATA, a__second=DATA + 1)
    with pytest.raises(InputError, match=r"/a/first \(4 x 5 x 6, uint16\); /a/second"):
        read(path)
    np.testing.assert_array_equal(read(f"{path}:/a/second").numpy(), DATA + 1)
    with pytest.raises(InputError, match="no dataset"):
        read(f"{path}:/a/third")


def test_the_top_level_or_customary_name_decides_and_it_is_noted(tmp_path: Path) -> None:
    top = read(h5(tmp_path / "a.h5", image=DATA, deep__other=DATA + 1))
    named = read(h5(tmp_path / "b.h5", raw=DATA, labels=DATA + 1))
    for image in (top, named):
        np.testing.assert_array_equal(image.numpy(), DATA)
        assert "also there" in image.notes[0]


def test_no_image_at_all_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no image"):
        read(h5(tmp_path / "a.h5", spectrum=np.arange(10.0), complex=np.zeros((4, 4), complex)))
    with pytest.raises(InputError, match="complex128"):
        read(f"{tmp_path}/a.h5:/complex")


def test_other_files_bytes_are_never_read(tmp_path: Path) -> None:
    secret = h5(tmp_path / "secret.h5", data=DATA)
    (tmp_path / "secret.raw").write_bytes(DATA.tobytes())
    layout = h5py.VirtualLayout(DATA.shape, DATA.dtype)
    layout[:] = h5py.VirtualSource(str(secret), "data", DATA.shape)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["link"] = h5py.ExternalLink(str(secret), "/data")
        file["soft"] = h5py.SoftLink("/link")
        file["round"] = h5py.SoftLink("/round")
        file.create_virtual_dataset("virtual", layout)
        file.create_dataset("external", DATA.shape, DATA.dtype, external=[(str(tmp_path / "secret.raw"), 0, 240)])
    for name, words in (("link", "another file"), ("soft", "another file"), ("round", "back to itself"),
                        ("virtual", "other files"), ("external", "another file")):  # fmt: skip
        with pytest.raises(InputError, match=words):
            read(f"{tmp_path}/a.h5:/{name}")


def test_our_names_cannot_smuggle_in_a_link(tmp_path: Path) -> None:
    secret = h5(tmp_path / "secret.h5", data=DATA)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["data"] = h5py.ExternalLink(str(secret), "/data")
        file["ruska"] = json.dumps({"version": 1, "axes": "ZYX"})
    with pytest.raises(InputError):
        read(tmp_path / "a.h5")
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file["data"], file["ruska"] = DATA, json.dumps({"version": 1, "axes": "ZYX"})
        file["mask"] = h5py.ExternalLink(str(secret), "/data")
    with pytest.raises(InputError, match="another file"):
        read(tmp_path / "b.h5")


def test_truncated_file_is_an_input_error(tmp_path: Path) -> None:
    path = h5(tmp_path / "a.h5", data=np.zeros((100, 100)))
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(InputError, match="truncated"):
        read(path)


def test_ilastik_axistags_order_the_axes(tmp_path: Path) -> None:
    values = np.arange(4 * 5 * 6 * 2).reshape(4, 5, 6, 2)
    path = h5(tmp_path / "a.h5", exported_data=values)
    with h5py.File(path, "a") as file:
        file["exported_data"].attrs["axistags"] = json.dumps({"axes": [{"key": k} for k in "zyxc"]})
        file["exported_data"].attrs["element_size_um"] = [0.05, 0.004, 0.004]
    image = read(path)
    assert image.axes == "ZCYX"
    np.testing.assert_array_equal(image.numpy(), values.transpose(0, 3, 1, 2))
    assert image.spacing["Z"] == Quantity(0.05, "um")


@pytest.mark.parametrize(("name", "unit"), [("element_size_um", "um"), ("resolution", "")])
def test_a_voxel_size_makes_a_stack_a_volume(tmp_path: Path, name: str, unit: str) -> None:
    path = h5(tmp_path / "a.h5", data=DATA)
    with h5py.File(path, "a") as file:
        file["data"].attrs[name] = [40.0, 4.0, 4.0]
    image = read(path)
    assert image.axes == "ZYX"
    assert dict(image.spacing) == {"Z": Quantity(40, unit), "Y": Quantity(4, unit), "X": Quantity(4, unit)}
    assert dict(image.header) == ({} if unit else {"hdf5": {"size_attribute": name}})


def test_sizes_in_axistags_without_a_unit_are_written_back(tmp_path: Path) -> None:
    path = h5(tmp_path / "a.h5", data=DATA)
    with h5py.File(path, "a") as file:
        tags = [{"key": key, "resolution": size} for key, size in zip("zyx", (5, 1, 1), strict=True)]
        file["data"].attrs["axistags"] = json.dumps({"axes": tags})
    image = read(path)
    assert image.spacing["Z"] == Quantity(5, "")
    write(tmp_path / "b.h5", image)
    with h5py.File(tmp_path / "b.h5") as file:
        found = json.loads(file["data"].attrs["axistags"])["axes"]
        assert [(tag["key"], tag["typeFlags"], tag["resolution"]) for tag in found] == [
            ("z", 2, 5), ("y", 2, 1), ("x", 2, 1)]  # fmt: skip
    assert read(tmp_path / "b.h5").spacing == image.spacing
    assert "header" not in (losses_sentence(tmp_path / "b.mrc", image) or "")


def hyperspy(path: Path, navigates: list[bool], units: list[str]) -> Path:
    with h5py.File(path, "w") as file:
        group = file.create_group("Experiments/scan")
        group["data"] = DATA
        for i, (navigate, unit) in enumerate(zip(navigates, units, strict=True)):
            axis = group.create_group(f"axis-{i}")
            axis.attrs.update(scale=0.5 + i, offset=10.0, units=unit, navigate=navigate, name="xyz"[2 - i])
    return path


def test_hyperspy_axes_give_spacing_and_origin(tmp_path: Path) -> None:
    image = read(hyperspy(tmp_path / "a.hspy", [True, False, False], ["s", "nm", "Å"]))
    assert image.axes == "TYX"
    assert dict(image.spacing) == {"T": Quantity(0.5, "s"), "Y": Quantity(1.5, "nm"), "X": Quantity(2.5, "angstrom")}
    assert image.origin["Y"] == Quantity(10, "nm")
    assert read(hyperspy(tmp_path / "b.hspy", [True, False, False], ["", "nm", "nm"])).axes == "QYX"


def test_hyperspy_spectra_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="spectrum image"):
        read(hyperspy(tmp_path / "a.hspy", [True, True, False], ["nm", "nm", "eV"]))


def test_our_files_keep_everything_and_others_see_the_size(tmp_path: Path) -> None:
    sizes = {"Z": Quantity(50, "nm"), "Y": Quantity(4, "nm"), "X": Quantity(4, "nm")}
    image = Image(DATA, "ZYX", sizes, mask=DATA > 3, header={"big": {"text": "x" * 100_000}}, meaning="counts")
    assert write(tmp_path / "a.h5", image) == ()
    back = read(tmp_path / "a.h5")
    assert (back.spacing, back.header, back.meaning) == (image.spacing, image.header, "counts")
    np.testing.assert_array_equal(np.asarray(back.mask), image.mask)
    with h5py.File(tmp_path / "a.h5") as file:
        np.testing.assert_allclose(file["data"].attrs["element_size_um"], [0.05, 0.004, 0.004])
        assert file["data"].chunks is not None


def test_a_large_array_is_written_in_boxes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ruska.io import hdf5

    monkeypatch.setattr(hdf5, "_BOX_VOXELS", 1000)
    data = np.random.default_rng(0).integers(0, 255, (20, 150, 140)).astype(np.uint8)
    write(tmp_path / "a.h5", Image(data, "ZYX"))
    np.testing.assert_array_equal(read(tmp_path / "a.h5").numpy(), data)


def test_real_hyperspy_and_hdf5_files(micrographs: Path, manifest: list[dict[str, str]]) -> None:
    rows = [r for r in manifest if r["path"].endswith((".hspy", ".hdf5")) and r["split"] in ("train", "val")]
    assert len(rows) >= 4
    for row in rows:
        image = read(micrographs / row["path"])
        assert "x".join(map(str, image.shape)) == row["shape"], row["path"]
        assert str(image.dtype) == row["dtype"]
        if row["pixel_size_nm"]:
            assert image.voxel_size_nm["X"] == pytest.approx(float(row["pixel_size_nm"].split("x")[0]), rel=1e-4)


def test_real_instrument_files_read_or_say_why_not(micrographs: Path) -> None:
    velox = read(micrographs / "formats/scifidatasets/EMDReader_Image_FEI.emd")
    assert (velox.axes, velox.shape) == ("YX", (512, 512))
    assert velox.voxel_size_nm["X"] == pytest.approx(5.3024, rel=1e-4)
    assert velox.numpy().std() > 0
    stack = read(micrographs / "formats/rosettasciio_testdata/emd__fei_example_tem_stack.emd")
    assert (stack.axes, stack.shape) == ("QYX", (2, 3, 3))
    for name in ("rosettasciio_testdata/emd__fei_example_complex_fft.emd",
                 "openncem/au_145mm_68kx_microprobe_01_master.h5"):  # fmt: skip
        with pytest.raises(InputError, match=r"holds|other files"):
            read(micrographs / "formats" / name)


def test_axes_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(GeometryError):
        read(h5(tmp_path / "a.h5", data=DATA), axes="YX")


def test_a_damaged_tree_of_names_is_one_sentence(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("raw", data=np.ones((20, 30)))
    data = (tmp_path / "a.h5").read_bytes()
    (tmp_path / "a.h5").write_bytes(data.replace(b"TREE", b"FREE"))
    with pytest.raises(InputError, match="is damaged"):
        read(tmp_path / "a.h5")


@pytest.mark.parametrize(("name", "pattern"), [
    ("cell.ims", "DataSet/ResolutionLevel {level}/TimePoint 0/Channel {channel}/Data"),  # Imaris
    ("cell.h5", "t00000/s{channel:02}/{level}/cells"),  # BigDataViewer
    ("cell.mat", "{level}{channel}"),
])  # fmt: skip
def test_the_image_at_full_resolution_is_proposed_under_a_name_that_works(
    tmp_path: Path, name: str, pattern: str
) -> None:
    with h5py.File(tmp_path / name, "w") as file:
        for level, channel in ((2, 0), (1, 0), (0, 0), (0, 1)):
            data = np.full((6, 64 >> level, 64 >> level), channel + 1, np.uint8)
            file[pattern.format(level=level, channel=channel)] = data
        file["s00/resolutions"] = np.ones((3, 3))
    with pytest.raises(InputError, match="holds 5 images") as caught:
        read(tmp_path / name)
    told = str(caught.value.fix).removeprefix("Name one: ").rstrip(".")
    image = read(tmp_path / told)
    assert image.shape == (6, 64, 64)
    assert (image.numpy() == 1).all()


@pytest.mark.parametrize(("labels", "axes"), [("xyz", "ZYX"), ("zyx", "ZYX"), (("time", "y", "x"), "TYX"),
                         (("Channel", "X", "Y"), "CYX"), (("", "y", "x"), "QYX"), ("zzx", "QYX"),
                         ("abc", "QYX")])  # fmt: skip
def test_labels_of_dimensions_say_the_axes(tmp_path: Path, labels: tuple[str, ...], axes: str) -> None:
    data = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["a"] = data
        for i, label in enumerate(labels):
            file["a"].dims[i].label = label
    image = read(tmp_path / "a.h5")
    words = [label.upper()[:1] for label in labels]
    order = (0, 1, 2) if axes == "QYX" else [words.index(a) for a in axes]
    assert image.axes == axes
    np.testing.assert_array_equal(image.numpy(), data.transpose(order))
    assert any("axes" in note for note in image.notes) == (axes == "QYX")


def test_what_is_said_without_a_unit_and_in_words_is_kept(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["raw"] = DATA
        file["raw"].attrs["resolution"] = [40.0, 4.0, 2.0]
        for i, label in enumerate(("angle", "row", "col")):
            file["raw"].dims[i].label = label
        file["volumes/cremi"] = DATA
        file["volumes/cremi"].attrs["resolution"] = [40.0, 4.0, 4.0]
        file["sized"] = DATA
        file["sized"].attrs.update({"voxel_size": [2.0, 3.0, 4.0], "voxel_size_unit": "micron"})
        file["ilastik"] = DATA
        tags = [{"key": "x", "resolution": 2.0}, {"key": "y", "resolution": 3.0}, {"key": "z", "resolution": 50.0}]
        file["ilastik"].attrs["axistags"] = json.dumps({"axes": tags})
        file["ones"] = DATA
        file["ones"].attrs["resolution"] = [1, 1, 1]
    image = read(f"{tmp_path}/a.h5:/raw")
    assert (image.axes, dict(image.spacing)) == ("QYX", {"Y": Quantity(4, NO_UNIT), "X": Quantity(2, NO_UNIT)})
    assert any("'angle'" in note for note in image.notes)
    assert image.voxel_size_nm == {}
    write(tmp_path / "b.h5", image)
    with h5py.File(tmp_path / "b.h5") as file:
        assert [d.label for d in file["data"].dims] == ["angle", "row", "col"]
        np.testing.assert_array_equal(file["data"].attrs["resolution"], [4, 2])
        assert "element_size_um" not in file["data"].attrs
    assert read(tmp_path / "b.h5").spacing == image.spacing
    cremi = read(f"{tmp_path}/a.h5:/volumes/cremi")
    assert cremi.voxel_size_nm == {"Z": 40.0, "Y": 4.0, "X": 4.0}
    assert "CREMI" in cremi.notes[0]
    assert read(f"{tmp_path}/a.h5:/sized").voxel_size_nm == pytest.approx({"Z": 2000.0, "Y": 3000.0, "X": 4000.0})
    tagged = read(f"{tmp_path}/a.h5:/ilastik")
    assert (tagged.axes, {a: q.value for a, q in tagged.spacing.items()}) == ("ZYX", {"X": 2.0, "Y": 3.0, "Z": 50.0})
    assert read(f"{tmp_path}/a.h5:/ones").spacing == {}
    given = read(f"{tmp_path}/a.h5:/ilastik", voxel_size="50nm,3nm,2nm")
    assert given.voxel_size_nm == {"Z": 50.0, "Y": 3.0, "X": 2.0}
