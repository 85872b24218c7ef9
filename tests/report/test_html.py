"""The report file: its name, that it stands alone, that nothing in it can break out, and what it says."""

from __future__ import annotations

import base64
import io
import json
import re
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Picture

from ruska.errors import OutputError
from ruska.image import Image, Quantity
from ruska.physics import STANDARD_DOSES, cell_phantom
from ruska.plain_text import lines
from ruska.report import json_text, sidecar, write_report

CLEAN = cell_phantom((128, 128), 1)
NOISY = STANDARD_DOSES[1].simulate(CLEAN, 0)
BEFORE = Image(NOISY, "YX", {"X": Quantity(4, "nm"), "Y": Quantity(4, "nm")}, name="noisy <i>&.tif")
AFTER = BEFORE.with_data(CLEAN)
RECORD = {
    "command": "ruska denoise 'a <b>.tif' -o clean.tif",
    "method": "nlm",
    "method_reason": "the noise is <script>alert(1)</script> correlated",
    "settings": {"strength": 0.1234567, "nested": {"fast_mode": True, "<k>": None}},
    "input": {"hash": "sha256:" + "ab" * 32, "shape": [128, 128]},
    "plan": {"memory_bytes": 3 * 2**20},
    "seed": 0,
    "clipped": 0,
    "warnings": [],
}


class Tags(HTMLParser):
    """Collects tags and attributes, and checks that they nest."""

    void = ("meta", "img")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in self.void:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def parsed(page: str) -> Tags:
    tags = Tags()
    tags.feed(page)
    assert not tags.open
    return tags


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("report")
    paths = write_report(folder / "clean.ome.tif", BEFORE, AFTER, RECORD)
    assert paths.html == folder / "clean.report.html"
    assert paths.png == folder / "clean.report.png"
    assert sorted(p.name for p in folder.iterdir()) == ["clean.report.html", "clean.report.png"]
    text = paths.html.read_text(encoding="utf-8")
    embedded = re.search(r'src="data:image/png;base64,([^"]+)"', text)
    assert embedded is not None
    assert base64.b64decode(embedded[1]) == paths.png.read_bytes()
    return text


@pytest.mark.parametrize(("name", "expected"), [
    ("clean.tif", "clean"), ("clean.ome.tif", "clean"), ("a.b.OME.TIFF", "a.b"), ("v.ome.zarr", "v"), ("v.zarr", "v"),
    ("x.1.mrc", "x.1"), ("bare", "bare"), (".ome.tif", ".ome"),
])  # fmt: skip
def test_sidecar_names(name: str, expected: str) -> None:
    assert sidecar(Path("f") / name, ".report.html") == Path("f") / f"{expected}.report.html"


def test_stands_alone_without_scripts(page: str) -> None:
    tags = parsed(page).seen
    assert not {tag for tag, _ in tags} & {"script", "link", "iframe", "object"}
    assert not re.search(r"https?://|url\(|@import", re.sub(r"base64,[^\"]+", "", page))
    assert ("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}) in tags
    assert "prefers-color-scheme: dark" in page


def test_every_string_of_the_user_is_escaped(page: str) -> None:
    assert {"i", "b", "k"}.isdisjoint(tag for tag, _ in parsed(page).seen)
    assert "noisy &lt;i&gt;&amp;.tif" in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "a &lt;b&gt;.tif" in page


def test_says_what_was_done_and_how_to_trust_it(page: str) -> None:
    image = next(attributes for tag, attributes in parsed(page).seen if tag == "img")
    assert image["alt"] is not None
    assert "128 by 128 pixels" in image["alt"]
    for text in ("Noise was removed; no lost structure was found.", "0.123457", "nested › fast mode",
                 "3.0 MiB", "128 x 128", "sha256:abab", "What one image cannot tell"):  # fmt: skip
        assert text in page, text


@pytest.mark.parametrize("existing", ["r.report.html", "r.report.png"])
def test_existing_report_is_kept_unless_told(tmp_path: Path, existing: str) -> None:
    old = tmp_path / existing
    old.write_text("mine")
    with pytest.raises(OutputError, match=r"exists already.*--overwrite"):
        write_report(tmp_path / "r.tif", BEFORE, AFTER, {})
    assert old.read_text() == "mine"
    write_report(tmp_path / "r.tif", BEFORE, AFTER, {}, overwrite=True)
    assert old.read_bytes() != b"mine"


def test_a_folder_that_is_not_there_is_an_output_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="could not be written"):
        write_report(tmp_path / "missing" / "r.tif", BEFORE, AFTER, {})


def test_clipping_is_told_once_and_warnings_are_repeated(tmp_path: Path) -> None:
    record = {"clipped": 7, "warnings": ["7 voxels were outside the range of uint8 and were clipped", "odd <axes>"]}
    text = write_report(tmp_path / "r.tif", BEFORE, AFTER, record).html.read_text(encoding="utf-8")
    verdict = text[text.index("<section") : text.index("</section>")]
    assert verdict.count("7 voxels") == 1
    assert "The run warns: odd &lt;axes&gt;." in verdict
    assert "Look closely" in verdict


@pytest.mark.parametrize(("before", "after", "why"), [
    (NOISY, np.kron(CLEAN, np.ones((2, 2))), "different grid"), (NOISY[:20], CLEAN[:20], "smaller than 32"),
])  # fmt: skip
def test_what_cannot_be_judged_is_not(tmp_path: Path, before: np.ndarray, after: np.ndarray, why: str) -> None:
    paths = write_report(tmp_path / "r.tif", Image(before, "YX"), Image(after, "YX"), {})
    text = paths.html.read_text(encoding="utf-8")
    assert "was not judged" in text
    assert why in text
    parsed(text)


def test_pictures_leave_no_global_figure(page: str) -> None:
    import matplotlib._pylab_helpers as helpers

    assert page
    assert helpers.Gcf.get_num_fig_managers() == 0


def test_the_standard_deviation_is_shown_and_said(tmp_path: Path) -> None:
    std = BEFORE.with_data(np.full(CLEAN.shape, 0.25, np.float32))
    paths = write_report(tmp_path / "plain.tif", BEFORE, AFTER, RECORD)
    with_std = write_report(tmp_path / "drawn.tif", BEFORE, AFTER, RECORD, drawn=(std, BEFORE, AFTER))
    assert "Standard deviation" not in paths.html.read_text(encoding="utf-8")
    assert "Standard deviation: 0.25 grey levels at the median" in with_std.html.read_text(encoding="utf-8")
    heights = [Picture.open(io.BytesIO(p.png.read_bytes())).height for p in (paths, with_std)]
    assert heights[1] > heights[0] + 300  # a row more


def test_nothing_unseen_is_in_a_page_and_its_command_can_be_copied(tmp_path: Path) -> None:
    hostile = "$x_{1}$\x1b[31m\x00\r\n\x9b\u202e\u2066\u200b\u2028\udcff<b>.tif"
    before, after = replace(BEFORE, name=hostile), replace(AFTER, name=hostile)
    nested = {hostile: [hostile, {"a": hostile}]}
    record = {"method": hostile, "method_reason": hostile, "warnings": [hostile], hostile: hostile, "settings": nested,
              "command": "ruska denoise 'a\n\x1b\u202e.tif' -o $x.tif"}  # fmt: skip
    paths = write_report(tmp_path / "r.tif", before, after, record)
    page = paths.html.read_text(encoding="utf-8")
    assert lines(page) == page
    assert r"$&#x27;a\012\033\342\200\256.tif&#x27; -o &#x27;$x.tif&#x27;" in page or sys.platform == "win32"
    assert r"from $x_{1}$\x1b[31m\x00\r\n\x9b\u202e\u2066\u200b\u2028\udcff&lt;b&gt;.tif" in page
    assert {"b"}.isdisjoint(tag for tag, _ in parsed(page).seen)


def test_numbers_of_a_record_are_json_and_its_text_is_ascii() -> None:
    values = {"nan": float("nan"), "inf": [np.float32("inf")], "n": np.int64(3), "x": np.float32(0.5)}
    values |= {"é\x1b": "日\n\udcff"}
    text = json_text(values)
    assert text.isascii()
    assert lines(text) == text
    assert json.loads(text, parse_constant=pytest.fail) == {
        "nan": None, "inf": [None], "n": 3, "x": 0.5, "é\x1b": "日\n\udcff"}  # fmt: skip
