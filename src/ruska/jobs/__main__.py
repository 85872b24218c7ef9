"""``python -m ruska.jobs FOLDER``: run the job in a folder. Exit codes are those of the command line."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NoReturn

from ruska.errors import SettingsError
from ruska.jobs.process import complain, leave, signals, work
from ruska.streams import stand_on_open_streams


def main() -> NoReturn:
    """Entry point."""
    stand_on_open_streams()
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        complain("expected the folder of a job, with a request.json: python -m ruska.jobs FOLDER")
        sys.exit(SettingsError.exit_code)
    with signals() as stop:
        code = work(Path(sys.argv[1]), stop)
        leave(code, stop)
    sys.exit(code)


if __name__ == "__main__":
    main()
