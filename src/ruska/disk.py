"""Files that have to outlast a power cut."""

from __future__ import annotations

import errno
import os
from typing import IO, Any

_CANNOT = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}


def settle(file: IO[Any]) -> None:
    """Return when what was written to an open ``file`` is on its disk.

    Some network shares cannot promise that: there it is left to them. Raises OSError where the disk is full or fails.
    """
    file.flush()
    try:
        os.fsync(file.fileno())
    except OSError as error:
        if error.errno not in _CANNOT:
            raise
