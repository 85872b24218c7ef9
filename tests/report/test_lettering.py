"""Titles of figures: no name makes matplotlib warn, and the page shows it as it is."""

from __future__ import annotations

import io
import warnings

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ruska.image import Image
from ruska.plain_text import one_line
from ruska.report import draw_noise, lettering, write_report

NAMES = (
    "电镜图像.tif",
    "試料_その１.tif",
    "시료.tif",
    "नमूना.tif",
    "𝔐 🔬.tif",
    "a$x_{1$b^.tif",
    "tab\tbell\a.tif",
    "café µm.tif",
)


@pytest.fixture(autouse=True)
def no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.mark.parametrize("name", NAMES)
def test_a_report_on_any_name_warns_of_nothing_and_shows_the_name(name, tmp_path):
    noisy = np.random.default_rng(0).normal(100, 9, (64, 64)).astype(np.float32)
    before, after = Image(noisy, "YX", name=name), Image(noisy / 2 + 50, "YX", name=name)
    paths = write_report(tmp_path / "clean.tif", before, after, {"input": {"path": name}})
    page = paths.html.read_text(encoding="utf-8")
    assert f"from {one_line(name).replace('&', '&amp;')}" in page


def test_the_picture_of_the_noise_takes_any_name():
    plane = np.random.default_rng(0).normal(100, 9, (64, 64))
    facts = {"std": 9.0, "correlation_x": [0.0] * 4, "correlation_y": [0.0] * 4, "blind_spot": [1, 1]}
    assert draw_noise(plane, facts, None, NAMES[0])[:4] == b"\x89PNG"


def test_letters_without_a_font_become_boxes(monkeypatch):
    monkeypatch.setattr(lettering, "_EAST_ASIAN", ())
    for cached in (lettering.families, lettering._letters):
        cached.cache_clear()
    assert lettering.drawable("电镜 µÅ→…−.tif") == "□□ µÅ→…−.tif"
    for cached in (lettering.families, lettering._letters):
        cached.cache_clear()


def test_letters_of_a_font_that_is_here_are_drawn(monkeypatch):
    from matplotlib import font_manager

    here = next(e.name for e in font_manager.fontManager.ttflist if e.name not in lettering.families())
    monkeypatch.setattr(lettering, "_EAST_ASIAN", ("Absent Font", here))
    lettering.families.cache_clear()
    assert lettering.families() == ("DejaVu Sans", here)
    lettering.families.cache_clear()


@pytest.mark.parametrize(("name", "room"), [("a" * 200 + ".tif", 110), ("試" * 200 + ".tif", 55)])
def test_long_names_keep_their_ends_and_stay_on_the_page(name, room):
    figure = Figure(figsize=(15, 5))
    FigureCanvasAgg(figure)
    lettering.set_title(figure, name, "Shown: all")
    figure.savefig(io.BytesIO(), format="png")
    said = figure.get_suptitle().split("\n")
    assert said[1] == "Shown: all"
    assert len(said[0]) <= room
    assert said[0].endswith(".tif")
    box = next(t for t in figure.texts if "Shown" in t.get_text()).get_window_extent()
    assert 0 <= box.x0 < box.x1 <= 1500
