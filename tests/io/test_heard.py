"""What libraries log about damaged files is kept, never printed, and only for the one who reads."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading

from ruska.io.heard import as_notes, heard

NAME = "ruska-test-library"


def test_warnings_are_collected() -> None:
    logger = logging.getLogger(NAME)
    before = list(logger.handlers)
    with heard(NAME) as words:
        logger.warning("tag %d is odd", 3)
        logger.error("and more")
        logger.info("by the way")
    assert words == ["tag 3 is odd", "and more"]
    assert logger.handlers == before
    assert as_notes("library", words) == ("the file is unusual or damaged (library: tag 3 is odd, and 1 more)",)
    assert as_notes("library", []) == ()


def test_nothing_is_printed_by_a_program_that_has_set_up_no_logging() -> None:
    said = "import logging; from ruska.io.heard import heard\nwith heard('x'): logging.getLogger('x').warning('odd')"
    done = subprocess.run([sys.executable, "-c", said], capture_output=True, text=True, check=True)
    assert done.stdout + done.stderr == ""


def test_threads_hear_their_own_files() -> None:
    both = threading.Barrier(2)
    found: dict[str, list[str]] = {}

    def read(name: str) -> None:
        with heard(NAME) as words:
            both.wait()
            logging.getLogger(NAME).warning(name)
            both.wait()
        found[name] = words

    threads = [threading.Thread(target=read, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {"a": ["a"], "b": ["b"]}
