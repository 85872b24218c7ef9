"""The scores of a result as files: numbers and a picture."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ruska.errors import OutputError
from ruska.evaluation.faults import INVERTED, inverted_words
from ruska.io.names import check_free
from ruska.report.beside import place
from ruska.report.score_picture import choose_compared, draw_scores

if TYPE_CHECKING:
    from ruska.evaluation import FrameScores, Scores
    from ruska.image import Image


@dataclass(frozen=True)
class ScorePaths:
    """Where scores are written."""

    numbers: Path
    picture: Path


def check_scores(folder: Path, *, overwrite: bool = False) -> ScorePaths:
    """Paths in ``folder``, which need not exist; OutputError when one is taken and ``overwrite`` is not given."""
    paths = ScorePaths(folder / "scores.json", folder / "scores.png")
    if folder.exists() and not folder.is_dir():
        raise OutputError(folder, "is a file, expected a folder for the numbers and the picture", "Choose another.")
    check_free((paths.numbers, paths.picture), overwrite=overwrite)
    return paths


def write_scores(
    paths: ScorePaths, scores: Scores, record: Mapping[str, Any], result: Image, truth: Image | None,
    noisy: Image | None,
) -> None:  # fmt: skip
    """Write ``scores.json`` (``record`` and the scores) and ``scores.png``: both, or neither.

    result, truth, noisy : on the grid on which they were scored.
    Raises OutputError when a file cannot be written.
    """
    picture = draw_scores(choose_compared(result, truth, noisy), _title(result, truth), _headline(scores))
    _write(paths, json_text({**record, "scores": scores.as_dict()}), picture)


def write_frame_scores(paths: ScorePaths, scores: FrameScores, record: Mapping[str, Any], frames: Image) -> None:
    """The same of repeated frames."""
    from ruska.report.frames_picture import draw_frames

    _write(paths, json_text({**record, "scores": scores.as_dict()}), draw_frames(scores, frames))


def _write(paths: ScorePaths, numbers: str, picture: bytes) -> None:
    new = not paths.numbers.exists()
    try:
        paths.numbers.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(paths.numbers.parent, f"cannot be made ({error.strerror})",
                          "Choose another folder.") from error  # fmt: skip
    place(paths.numbers, numbers.encode())
    try:
        place(paths.picture, picture)
    except OutputError:
        if new:
            paths.numbers.unlink(missing_ok=True)
        raise


def json_text(facts: Mapping[str, Any] | Sequence[Any]) -> str:
    """JSON in ASCII, control characters escaped; NaN and infinity, which it has no word for, as null."""
    return json.dumps(_finite(facts), indent=2, default=str) + "\n"


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    if isinstance(value, np.generic):
        return _finite(value.item())
    if isinstance(value, float) and not abs(value) < float("inf"):
        return None
    return value


def _title(result: Image, truth: Image | None) -> str:
    return result.name if truth is None else f"{result.name} against {truth.name}"


def _headline(scores: Scores) -> str:
    """The few figures that matter most, in one line."""
    words = []
    if scores.truth is not None:
        t = scores.truth
        words.append(f"PSNR {t.psnr_db.median:.2f} dB ({t.psnr_db_fitted.median:.2f} dB with gain and offset fitted), "
                     f"SSIM {t.ssim.median:.3f}")  # fmt: skip
        if t.correlation.median < -INVERTED:
            words.append(inverted_words(t.correlation.median))
    if scores.residual is not None:
        words.append(f"residual {scores.residual.spectrum_db.median:.1f} dB from the noise's spectrum")
    if scores.registration is not None:
        r = scores.registration
        words.append(f"truth moved by {r.shift_y_px.median:+.2f} px down, {r.shift_x_px.median:+.2f} px right, "
                     f"confidence {r.confidence.low:.2f}")  # fmt: skip
    return "; ".join(words)
