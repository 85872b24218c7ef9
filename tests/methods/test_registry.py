"""Names and settings: what is valid, what a wrong one is told, and that all of it is documented."""

from __future__ import annotations

from pathlib import Path

import pytest

from ruska import methods
from ruska.errors import SettingsError

DOCS = Path(__file__).parents[2] / "docs" / "methods.md"


@pytest.mark.parametrize(
    ("name", "settings", "says"),
    [
        ("gausian", {}, "Did you mean 'gaussian'"),
        ("tv", {"wieght": 1}, "Valid: noise_std, strength"),
        ("tv", {"stength": 1}, "Did you mean 'strength'"),
        ("tv", {"strength": 0}, "must be above 0"),
        ("tv", {"strength": "nan"}, "finite"),
        ("median", {"radius": 1.5}, "integer"),
        ("gaussian", {"dimensions": 4}, "2: every slice"),
        ("wavelet", {"wavelet": "db9999"}, "is unknown"),
    ],
)
def test_wrong_settings_are_told_the_way_out(name, settings, says):
    with pytest.raises(SettingsError, match=says):
        methods.create(name, settings)


def test_strings_from_a_command_line_are_converted():
    recipe = methods.create("nlm", {"noise_std": "none", "patch_size": "7", "dimensions": "3", "strength": "0.5"})
    assert recipe.settings.noise_std is None
    assert (recipe.settings.patch_size, recipe.settings.dimensions, recipe.settings.strength) == (7, 3, 0.5)


@pytest.mark.parametrize("name", methods.names())
def test_every_method_and_setting_is_documented(name):
    about = methods.describe(name)
    text = DOCS.read_text(encoding="utf-8")
    assert about["summary"]
    assert f"`{name}`" in text
    for setting, meaning in about["settings"].items():
        assert not meaning.endswith("None")
        assert f"`{setting}`" in text


def test_the_automatic_table_is_documented():
    text = DOCS.read_text(encoding="utf-8")
    for rule in methods.RULES:
        assert f"| {rule.when} | `{rule.method}` | {rule.why} |" in text
