"""OME-TIFF in several files: one image, whichever of them is opened."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile

from ruska.errors import ChangedInputError, InputError
from ruska.image import Quantity
from ruska.io import one_image_each, read
from ruska.io.digest import digest_image
from ruska.io.stamps import check_unchanged

PLANES = np.random.default_rng(7).integers(0, 255, (3, 8, 9)).astype(np.uint8)
NAMES = ("cell_a.ome.tif", "cell_b.ome.tif", "cell_c.ome.tif")


def whole(own: str, names: tuple[str, ...] = NAMES) -> str:
    """OME-XML of an image with a plane in each file."""
    blocks = "".join(
        f'<TiffData FirstZ="{z}" IFD="0" PlaneCount="1"><UUID FileName="{name}">urn:uuid:{z}</UUID></TiffData>'
        for z, name in enumerate(names)
    )
    return (
        f'<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:{own}">'
        '<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint8" SizeX="9" SizeY="8" '
        f'SizeZ="{len(names)}" SizeC="1" SizeT="1" PhysicalSizeX="0.5" PhysicalSizeY="0.5">'
        f'<Channel ID="Channel:0:0" SamplesPerPixel="1"/>{blocks}</Pixels></Image></OME>'
    )


def binary_only(own: str, master: str) -> str:
    return (
        f'<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:{own}">'
        f'<BinaryOnly MetadataFile="{master}" UUID="urn:uuid:m"/></OME>'
    )


def make(folder: Path, kind: str) -> list[Path]:
    """Three files, a plane each. ``kind``: which of them have the XML."""
    folder.mkdir()
    for z, name in enumerate(NAMES):
        xml = {"every": whole(str(z)), "first": whole("0") if z == 0 else binary_only(str(z), NAMES[0]),
               "companion": binary_only(str(z), "cell.companion.ome"), "plain": ""}[kind]  # fmt: skip
        tifffile.imwrite(folder / name, PLANES[z], description=xml or None, metadata=None, ome=False)
    if kind in ("companion", "plain"):
        (folder / "cell.companion.ome").write_text(whole("m"))
    return sorted(folder.iterdir())


@pytest.mark.parametrize("kind", ["every", "first", "companion", "plain"])
def test_any_file_opens_the_whole_image(tmp_path: Path, kind: str) -> None:
    files = make(tmp_path / "set", kind)
    opened = [file for file in files if kind != "plain" or file.suffix == ".ome"]  # plain TIFFs name no other
    for file in opened:
        image = read(file)
        assert image.axes == "ZYX"
        np.testing.assert_array_equal(image.numpy(), PLANES)
        assert dict(image.spacing) == {"Y": Quantity(0.5, "um"), "X": Quantity(0.5, "um")}
        assert image.notes == (f"the image continues in {len(NAMES) - 1} other files",)
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(image.data))[0:3, 0:8, 0:9], PLANES)
    assert read(tmp_path / "set").axes == ("QYX" if kind == "plain" else "ZYX")  # the folder is the image
    chosen = one_image_each(files)
    expected = [file for file in files if file.suffix == ".ome"] or [files[0]]
    assert chosen == expected, kind
    if kind != "plain":
        only = [file for file in files if file.suffix == ".tif"]
        assert one_image_each(only) == only[:1]
        assert one_image_each(only[1:]) == only[1:2]
        assert one_image_each(only[::-1]) == [only[0] if kind == "first" else only[-1]]  # the one with the XML


def test_every_file_of_the_set_is_watched_and_identifies_it(tmp_path: Path) -> None:
    make(tmp_path / "set", "first")
    image = read(tmp_path / "set" / NAMES[2])
    before = digest_image(image)
    other = tmp_path / "set" / NAMES[1]
    tifffile.imwrite(other, PLANES[0], description=binary_only("1", NAMES[0]) + " ", metadata=None)
    assert digest_image(read(tmp_path / "set" / NAMES[2])) != before
    with pytest.raises(ChangedInputError):
        check_unchanged(image)


def test_files_that_are_missing_are_named(tmp_path: Path) -> None:
    make(tmp_path / "set", "first")
    (tmp_path / "set" / NAMES[1]).unlink()
    image = read(tmp_path / "set" / NAMES[2])
    np.testing.assert_array_equal(image.numpy(), [PLANES[0], np.zeros((8, 9)), PLANES[2]])
    assert [note for note in image.notes if "missing" in note] == [
        "1 of 3 planes are missing from the file: read as 0",
        f"a file of this image is missing: {NAMES[1]} (copy it beside this one)",
    ]
    (tmp_path / "set" / NAMES[0]).unlink()  # with what is said of the image
    image = read(tmp_path / "set" / NAMES[2])
    assert image.axes == "YX"
    assert image.notes == (f"a file of this image is missing: {NAMES[0]} (copy it beside this one)",)
    (tmp_path / "alone.companion.ome").write_text(whole("m"))
    with pytest.raises(InputError, match=f"none of its files, such as {NAMES[0]}, is beside it"):
        read(tmp_path / "alone.companion.ome")
    (tmp_path / "no.companion.ome").write_text("<OME")
    with pytest.raises(InputError, match="not valid OME-XML"):
        read(tmp_path / "no.companion.ome")


def test_one_image_each_joins_only_what_belongs_together(tmp_path: Path) -> None:
    files = make(tmp_path / "set", "every")
    renamed = tmp_path / "set" / "renamed.ome.tif"  # a file of its own, which knows itself by another name
    tifffile.imwrite(renamed, PLANES[0], description=whole("0", NAMES[:1]), metadata=None)
    other = tmp_path / "set" / "other.tif"
    tifffile.imwrite(other, PLANES[0])
    broken = tmp_path / "set" / "broken.ome.tif"
    broken.write_bytes(files[0].read_bytes()[:200])
    gone = tmp_path / "set" / "gone.ome.tif"
    given = [other, files[2], renamed, broken, files[0], gone, files[1]]
    assert one_image_each(given) == [other, files[2], renamed, broken, gone]
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(tmp_path / "set", elsewhere)
    again = [elsewhere / file.name for file in given]
    assert one_image_each([*given, *again]) == [*one_image_each(given), *one_image_each(again)]
    tifffile.imwrite(files[1], PLANES[1], description=whole("9", ("x.tif",)), metadata=None)  # another of that name
    assert files[1] in one_image_each(given)
    assert one_image_each([]) == []
