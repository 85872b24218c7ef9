"""How a job stands: what its folder says, and whether the process that works on it still lives."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from ruska.errors import InputError, RuskaError
from ruska.jobs.folder import PROCESS, RECORD, STATE, read_object, write_json
from ruska.pipeline.request import checked
from ruska.scratch import Owner

Status = Literal["queued", "running", "done", "failed", "cancelled", "dead"]
ENDED = ("done", "failed", "cancelled", "dead")


class State(BaseModel):
    """What state.json says.

    status : ``dead`` is never written: it is the status of a job whose process has ended. since : seconds of Unix time.
    pid, host, process_start : of the process that works on it, as `scratch.Owner` tells processes apart.
    kind, message, exit_code : of a failure.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    status: Status
    since: float = 0.0
    pid: int | None = None
    host: str | None = None
    process_start: int | None = None
    kind: str | None = None
    message: str | None = None
    exit_code: int | None = None

    @property
    def ended(self) -> bool:
        return self.status in ENDED

    @property
    def owner(self) -> Owner | None:
        if self.pid is None or self.host is None or self.process_start is None:
            return None
        return Owner(self.host, self.pid, self.process_start)


def write_state(folder: Path, status: Status, *, owner: Owner | None = None, **more: Any) -> None:
    """Replace state.json. Raises OSError, such as a full disk."""
    who = {} if owner is None else {"pid": owner.pid, "host": owner.host, "process_start": owner.start}
    state = State(status=status, since=round(time.time(), 3), **who, **more)
    write_json(folder / STATE, state.model_dump(exclude_none=True))


def write_failure(folder: Path, error: BaseException, exit_code: int) -> None:
    """Mark the job as failed. Where even that cannot be written, `state_of` will say that its process has ended."""
    with suppress(OSError):
        write_state(folder, "failed", kind=type(error).__name__, message=str(error) or type(error).__name__,
                    exit_code=exit_code)  # fmt: skip


def state_of(folder: Path) -> State:
    """How the job in ``folder`` stands now. A record that is there means that it is done, whatever else is."""
    first = _written(folder)
    if first.ended or not _is_abandoned(folder, first):
        return first
    last = _written(folder)  # it may have ended between the two looks
    if last != first:
        return state_of(folder)
    return State(status="dead", since=first.since, pid=first.pid, host=first.host,
                 message="its process ended without saying why; it goes on when it is resumed")  # fmt: skip


def _written(folder: Path) -> State:
    try:
        if (folder / RECORD).is_file():
            return State(status="done", since=(folder / RECORD).stat().st_mtime)
        found: State = checked(State, read_object(folder / STATE), STATE)
        return found
    except (RuskaError, OSError) as error:
        if isinstance(error, InputError) and isinstance(error.__cause__, FileNotFoundError):
            return State(status="queued")  # a request that was written by hand, and is still to be run
        return State(status="dead", message=str(error))


def _is_abandoned(folder: Path, state: State) -> bool:
    """Whether the process that works on it, or that was started to, is surely no more."""
    if state.status == "running":
        return state.owner is None or state.owner.is_dead()
    try:
        owner = Owner.parse(str(read_object(folder / PROCESS).get("owner")))
    except RuskaError:
        return False
    return owner is not None and owner.is_dead()
