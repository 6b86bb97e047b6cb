"""Files that hang: whoever opens one waits, as on a disk that does not answer, and no root and no FUSE is needed for it."""

import contextlib
import fcntl
import os
import signal
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def hanging(path: Path) -> Iterator[None]:
    """Has everybody who opens the file wait until the block ends; 45 seconds at most (/proc/sys/fs/lease-break-time).

    A lease (fcntl(2)): the kernel makes openers wait for whoever has one. Nobody may have the file open before.
    """
    before = signal.signal(signal.SIGIO, signal.SIG_IGN)  # how the kernel tells that somebody waits
    descriptor = os.open(path, os.O_RDONLY | os.O_CREAT, 0o600)
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        yield
    finally:
        os.close(descriptor)
        signal.signal(signal.SIGIO, before)
