"""The state of a job: what its folder says, and whether its process is still alive."""

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
    """The contents of state.json.

    status : ``dead`` is never written: it means that the job's process is gone. since : Unix time in seconds.
    pid, host, process_start : identify the process that runs it, as in `scratch.Owner`.
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
    """Replace state.json. Raises OSError, e.g. for a full disk."""
    who = {} if owner is None else {"pid": owner.pid, "host": owner.host, "process_start": owner.start}
    state = State(status=status, since=round(time.time(), 3), **who, **more)
    write_json(folder / STATE, state.model_dump(exclude_none=True))


def write_failure(folder: Path, error: BaseException, exit_code: int) -> None:
    """Write that the job failed. If even that cannot be written, `state_of` later reports that its process is gone."""
    with suppress(OSError):
        write_state(folder, "failed", kind=type(error).__name__, message=str(error) or type(error).__name__,
                    exit_code=exit_code)  # fmt: skip


def state_of(folder: Path) -> State:
    """The current state of the job in ``folder``. If its record exists, it is done, whatever else is there."""
    first = _written(folder)
    if first.ended or not _is_abandoned(folder, first):
        return first
    last = _written(folder)  # it may have ended between the two checks
    if last != first:
        return state_of(folder)
    return State(status="dead", since=first.since, pid=first.pid, host=first.host,
                 message="its process ended unexpectedly; resume it to continue")  # fmt: skip


def _written(folder: Path) -> State:
    try:
        if (folder / RECORD).is_file():
            return State(status="done", since=(folder / RECORD).stat().st_mtime)
        found: State = checked(State, read_object(folder / STATE), STATE)
        return found
    except (RuskaError, OSError) as error:
        if isinstance(error, InputError) and isinstance(error.__cause__, FileNotFoundError):
            return State(status="queued")  # a request written by hand, not yet run
        return State(status="dead", message=str(error))


def _is_abandoned(folder: Path, state: State) -> bool:
    """Whether the process that runs the job, or was started to run it, is certainly gone."""
    if state.status == "running":
        return state.owner is None or state.owner.is_dead()
    try:
        owner = Owner.parse(str(read_object(folder / PROCESS).get("owner")))
    except RuskaError:
        return False
    return owner is not None and owner.is_dead()
