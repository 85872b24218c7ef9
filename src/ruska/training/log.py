"""The log of a training: a table, which a resumed training continues, and TensorBoard's files."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ruska.training.guard import COUNTS

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

_HEAD = "step,seconds,loss,score,learning_rate,bounded,shortened,left_out\n"
_NO_BOARD = "TensorBoard is not installed: the training is logged in log.csv only. pip install tensorboard"


class Log:
    """``folder/log.csv``, and event files next to it where TensorBoard is installed.

    step : where the training goes on; later rows, of a training that was killed after its last checkpoint, are dropped.
    """

    def __init__(self, folder: Path, step: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.table = folder / "log.csv"
        rows = self.table.read_text(encoding="utf-8").splitlines(keepends=True)[1:] if self.table.exists() else []
        kept = [_whole(row) for row in rows if _step(row) <= step]
        part = self.table.with_name("log.csv.part")
        part.write_text(_HEAD + "".join(kept), encoding="utf-8", newline="\n")
        os.replace(part, self.table)
        self.step = int(_step(kept[-1])) if kept else 0
        self.board = _board(folder, step)
        self.notes = () if self.board is not None else (_NO_BOARD,)

    def write(
        self, step: int, seconds: float, loss: float, score: float | None, learning_rate: float,
        guarded: Mapping[str, int] | None = None,
    ) -> None:  # fmt: skip
        """Append a row, unless it is there already. guarded : as `Guard.total` has it."""
        if step <= self.step:
            return
        self.step = step
        guarded = guarded or dict.fromkeys(COUNTS, 0)
        judged = "" if score is None else f"{score:.6g}"
        with self.table.open("a", encoding="utf-8", newline="\n") as file:
            counts = ",".join(str(guarded[name]) for name in COUNTS)
            file.write(f"{step},{seconds:.1f},{loss:.6g},{judged},{learning_rate:.6g},{counts}\n")
        if self.board is not None:
            numbers = {"loss": loss, "score": math.nan if score is None else score, "learning_rate": learning_rate}
            numbers |= {name: float(guarded[name]) for name in COUNTS}
            for name, value in numbers.items():
                if not math.isnan(value):
                    self.board.add_scalar(name, value, step)
            self.board.flush()

    def close(self) -> None:
        if self.board is not None:
            self.board.close()


def _whole(row: str) -> str:
    """With empty columns at the end where an earlier version left fewer."""
    return row.rstrip("\n") + "," * (_HEAD.count(",") - row.count(",")) + "\n"


def _step(row: str) -> float:
    """Of a whole row; infinity for one that was cut short, which has no line end."""
    number = row.partition(",")[0]
    return int(number) if number.isdigit() and row.endswith("\n") else math.inf


def _board(folder: Path, step: int) -> SummaryWriter | None:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder), purge_step=step + 1)
