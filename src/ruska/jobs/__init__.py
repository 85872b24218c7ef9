"""Runs requests, or workflows of several, in separate processes: start, watch, cancel, resume; and a warm worker.

A job is a folder (see `jobs.folder`), and its whole state is on disk: any number of processes may watch it, and it
goes on without them.
"""

from ruska.jobs.control import Job, cancel, resume, submit, watch
from ruska.jobs.control import list_jobs as list
from ruska.jobs.events import Event
from ruska.jobs.state import State
from ruska.jobs.worker import Worker

__all__ = ["Event", "Job", "State", "Worker", "cancel", "list", "resume", "submit", "watch"]
