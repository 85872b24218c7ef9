"""OME-XML of old schemas: read right, and carried on as XML of 2016-06."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import tifffile

from ruska.image import Quantity
from ruska.io import losses_sentence, one_image_each, read, write

PIXELS = np.random.default_rng(3).integers(0, 999, (2, 2, 8, 9)).astype(np.uint16)
NEW = "{http://www.openmicroscopy.org/Schemas/OME/2016-06}"
SIZES = 'DimensionOrder="XYCZT" SizeX="9" SizeY="8" SizeZ="2" SizeC="2" SizeT="1"'

# Each with what its schema says otherwise: names of elements and attributes, where they stand, and in which namespace.
OLD = {
    "2003-FC": f"""<OME xmlns="http://www.openmicroscopy.org/XMLschemas/OME/FC/ome.xsd">
<Instrument ID="urn:lsid:a:Instrument:1"><Microscope Manufacturer="maker" Model="M7" Type="Upright"/>
<Objective ID="urn:lsid:a:Objective:1" Manufacturer="maker" Model="O" SerialNumber="1"><LensNA>1.4</LensNA></Objective>
</Instrument>
<Image ID="urn:lsid:a:Image:1" Name="cell" PixelSizeX="0.1" PixelSizeY="0.1" PixelSizeZ="0.5">
<CreationDate>2004-05-06T07:08:09</CreationDate><Description>a cell</Description>
<ChannelInfo Name="GFP" ExWave="488" EmWave="510"><ChannelComponent Index="0"/></ChannelInfo>
<ChannelInfo Name="RFP"><ChannelComponent Index="1"/></ChannelInfo>
<Pixels ID="urn:lsid:a:Pixels:1" {SIZES} PixelType="Uint16" BigEndian="false">
<TiffData IFD="0" NumPlanes="4"/></Pixels></Image></OME>""",
    "2008-02": f"""<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2008-02"
 xmlns:Bin="http://www.openmicroscopy.org/Schemas/BinaryFile/2008-02">
<Instrument ID="Instrument:3"><Microscope Manufacturer="maker" Model="M7" Type="Upright"/>
<Objective ID="Objective:9" Manufacturer="maker" Model="O"><LensNA>1.4</LensNA><Immersion>Oil</Immersion></Objective>
</Instrument>
<Image ID="Image:5" Name="cell" DefaultPixels="Pixels:5"><CreationDate>2004-05-06T07:08:09</CreationDate>
<Description>a cell</Description>
<LogicalChannel ID="LogicalChannel:0" Name="GFP" ExWave="488" EmWave="510" PhotometricInterpretation="Monochrome">
<ChannelComponent Index="0" Pixels="Pixels:5"/></LogicalChannel>
<LogicalChannel ID="LogicalChannel:1" Name="RFP"><ChannelComponent Index="1" Pixels="Pixels:5"/></LogicalChannel>
<Pixels ID="Pixels:5" {SIZES} PixelType="uint16" BigEndian="false" PhysicalSizeX="0.1" PhysicalSizeY="0.1"
 PhysicalSizeZ="0.5"><TiffData/>
<Plane TheZ="1" TheC="0" TheT="0"><PlaneTiming DeltaT="2.5" ExposureTime="0.1"/></Plane></Pixels></Image></OME>""",
    **{schema: f"""<ome:OME xmlns:ome="http://www.openmicroscopy.org/Schemas/OME/{schema}"
 xmlns:SA="http://www.openmicroscopy.org/Schemas/SA/{schema}">
<ome:Instrument ID="Instrument:3"><ome:Microscope Manufacturer="maker" Model="M7" Type="Upright"/>
<ome:Objective ID="Objective:9" Manufacturer="maker" Model="O" LensNA="1.4" Iris="4"/></ome:Instrument>
<ome:Image ID="Image:5" Name="cell"><ome:{date}>2004-05-06T07:08:09</ome:{date}>
<ome:Description>a cell</ome:Description><ome:InstrumentRef ID="Instrument:3"/>
<ome:Pixels ID="Pixels:5" {SIZES} Type="uint16" PhysicalSizeX="0.1" PhysicalSizeY="0.1" PhysicalSizeZ="0.5">
<ome:Channel ID="Channel:7" Name="GFP" ExcitationWavelength="488" EmissionWavelength="510" Color="65535"
 AcquisitionMode="WideField"/><ome:Channel ID="Channel:8" Name="RFP"/><ome:TiffData IFD="0" PlaneCount="4"/>
<ome:Plane TheZ="1" TheC="0" TheT="0" DeltaT="2.5" ExposureTime="0.1"/></ome:Pixels></ome:Image>
<SA:StructuredAnnotations><SA:XMLAnnotation ID="Annotation:1"><SA:Value><kV>5</kV></SA:Value></SA:XMLAnnotation>
</SA:StructuredAnnotations></ome:OME>""" for schema, date in (
        ("2009-09", "CreationDate"), ("2010-06", "AcquiredDate"), ("2012-06", "AcquisitionDate"),
        ("2013-06", "AcquisitionDate"), ("2015-01", "AcquisitionDate"))},
}  # fmt: skip


@pytest.mark.parametrize("schema", OLD)
def test_old_schemas(schema: str, tmp_path: Path) -> None:
    xml = f'<?xml version="1.0" encoding="UTF-8"?>{OLD[schema]}'
    tifffile.imwrite(tmp_path / "a.ome.tif", PIXELS, description=xml.encode(), metadata=None, photometric="minisblack")
    image = read(tmp_path / "a.ome.tif")
    assert (image.axes, image.channel_names) == ("ZCYX", ("GFP", "RFP"))
    assert dict(image.spacing) == {"Z": Quantity(0.5, "um"), "Y": Quantity(0.1, "um"), "X": Quantity(0.1, "um")}
    assert one_image_each([tmp_path / "a.ome.tif"] * 2) == [tmp_path / "a.ome.tif"] * 2
    assert losses_sentence(tmp_path / "b.ome.tif", image) is None
    for source, target in (("a.ome.tif", "b.ome.tif"), ("b.ome.tif", "c.ome.tif")):
        assert write(tmp_path / target, read(tmp_path / source)) == ()
        with tifffile.TiffFile(tmp_path / target) as file:
            assert (file.series[0].kind, file.series[0].axes) == ("ome", "ZCYX")
            np.testing.assert_array_equal(file.asarray(), PIXELS)
            root = ElementTree.fromstring(file.ome_metadata)
        assert [child.tag for child in root] == [f"{NEW}{name}" for name in (
            "Instrument", "Image", "StructuredAnnotations")]  # fmt: skip
        made = root.find(f"{NEW}Image")
        assert [child.tag.removeprefix(NEW) for child in made] == [
            "AcquisitionDate", "Description", "InstrumentRef", "Pixels", "AnnotationRef"]  # fmt: skip
        assert made.find(f"{NEW}AcquisitionDate").text == "2004-05-06T07:08:09"
        assert made.find(f"{NEW}Description").text == "a cell"
        assert root.find(f"{NEW}Instrument/{NEW}Microscope").get("Model") == "M7"
        assert root.find(f"{NEW}Instrument/{NEW}Objective").get("LensNA") == "1.4"
        pixels = made.find(f"{NEW}Pixels")
        channels = pixels.findall(f"{NEW}Channel")
        assert [channel.get("Name") for channel in channels] == ["GFP", "RFP"]
        assert (channels[0].get("ExcitationWavelength"), channels[0].get("EmissionWavelength")) == ("488", "510")
        times = {p.get("DeltaT") for p in pixels.findall(f"{NEW}Plane")} - {None}
        assert times == (set() if schema == "2003-FC" else {"2.5"})
        assert [pixels.get(f"PhysicalSize{a}") for a in "ZX"] == ["0.5", "0.1"]
        original = root.find(f".//{NEW}XMLAnnotation/{NEW}Value")[0]  # all the rest, word for word
        assert original.tag.endswith("}OME")
        assert len([e for e in original.iter() if e.tag.endswith(("}Channel", "}LogicalChannel", "}ChannelInfo"))]) == 2
        assert not [e for e in original.iter() if e.tag.endswith("TiffData")]
        assert read(tmp_path / target).channel_names == ("GFP", "RFP")
