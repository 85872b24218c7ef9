"""Requests run in processes of their own: started, watched, cancelled and resumed; workflows of several; a warm worker.

A job is a folder (see `jobs.folder`), and what is on the disk is all that is known of it: any number of processes may
look at it, and none of them has to live for it to go on.
"""

from ruska.jobs.control import Job, cancel, resume, submit, watch
from ruska.jobs.control import list_jobs as list
from ruska.jobs.events import Event
from ruska.jobs.state import State
from ruska.jobs.worker import Worker

__all__ = ["Event", "Job", "State", "Worker", "cancel", "list", "resume", "submit", "watch"]
