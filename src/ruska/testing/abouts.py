"""`check_about`: does a method's entry give valid options, forms and tables, and does its recipe prepare a method?"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ruska.errors import SettingsError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ruska.methods import About


def check_about(
    about: About, settings: Mapping[str, Any] | None = None, image: NDArray[Any] | None = None, axes: str | None = None,
    *, prepare: bool = True, rehearsal: bool = False, voxel_size_nm: Mapping[str, float] | None = None,
) -> Any:  # fmt: skip
    """Raise AssertionError unless ``about`` is an entry that Ruska can use; returns the method it prepares.

    Checked: its schema is JSON; every setting has a description, and those in ``basic`` exist; the defaults are valid;
    unknown settings are refused; settings survive JSON; the recipe prepares a method on a small image.

    settings : needed when the defaults do not suffice, as for a method with a required setting.
    image, axes : to prepare on; a phantom when None. rehearsal : only predict, which methods that learn do quickly.
    prepare : False: the entry alone, as of a way to train; None is returned.
    """
    from pydantic import ValidationError

    from ruska.methods import Settings
    from ruska.methods.settings import parse

    assert isinstance(about.record, type), f"record is {about.record!r}, expected a class"
    assert issubclass(about.record, Settings), f"{about.record.__name__} is not a ruska.methods.Settings"
    assert about.summary.strip(), "summary is empty: `ruska methods` shows it"
    assert prepare is False or "image" in about.roles, f"roles are {set(about.roles)}, expected 'image' among them"
    json.dumps(about.schema())
    for name, field in about.record.model_fields.items():
        assert field.description, f"setting '{name}' has no description: Field(default, description=...)"
    for name in about.record.basic:
        assert name in about.record.model_fields, f"basic names '{name}', which is not a setting"
    try:
        own = parse(about.record, about.name, settings or {})
    except SettingsError as error:
        given = "these settings are" if settings else "the defaults are"
        raise AssertionError(f"{given} not valid: {error} Give check_about valid settings.") from error
    kept = json.loads(own.model_dump_json())
    try:
        about.record.model_validate({**kept, "no_such_setting": 1})
    except (ValidationError, SettingsError):
        pass
    else:
        raise AssertionError("an unknown setting was accepted; keep model_config as ruska.methods.Settings has it")
    again = about.record.model_validate(kept)
    assert again == own, f"settings changed on their way through JSON: {own!r} became {again!r}"
    if not prepare:
        return None
    return _prepared(about.make(own), image, axes, rehearsal, voxel_size_nm or {})


def _prepared(
    recipe: Any, image: NDArray[Any] | None, axes: str | None, rehearsal: bool, voxel_size_nm: Mapping[str, float]
) -> Any:  # fmt: skip
    import torch  # noqa: F401

    from ruska.engine import ArraySource, Budget, NormalisedSource, measure_intensities
    from ruska.engine.layout import in_stack_order
    from ruska.testing.phantoms import phantom

    if image is None:
        image, axes = phantom((0, 0))
    source = ArraySource(image, axes or "ZYX"[-image.ndim :])
    statistics = measure_intensities(source)
    normalisation = statistics.normalisation()
    normalised = NormalisedSource(in_stack_order(source), normalisation, statistics.mean)
    budget = Budget(8 << 30, 1, rehearsal=rehearsal, voxel_edges=voxel_size_nm)
    method = recipe.prepare(normalised, normalisation, budget)
    for part in ("halo", "multiple", "outputs", "domain", "bytes_per_voxel", "threads"):
        assert hasattr(method, part), f"the method that was prepared has no {part} (see ruska.engine.Method)"
    return method
