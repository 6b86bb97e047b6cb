"""Log lines that nobody waits for: a thread writes them. The server's log uses this too; standard library only."""

import atexit
import os
from queue import Full, Queue
from threading import Event, Thread

MOST_WAITING = 1000
"""Lines that wait to be read, besides what the pipe holds; more are left out."""

LAST_SECONDS = 1.0
"""How long a process that ends waits for somebody to read its last lines."""


class Lines:
    """A file that takes lines at once, and has a thread write them.

    A pipe that nobody reads, and a disk that hangs under a log, would hold up every recipient: a write waits, with the event loop (tried).
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lines: Queue[str | Event] = Queue(MOST_WAITING)
        self._left_out = 0
        Thread(target=self._write_all, name="log", daemon=True).start()
        atexit.register(self._finish)

    def write(self, line: str) -> None:
        """Takes a line, or leaves it out."""
        try:
            self._lines.put_nowait(line)
        except Full:
            self._left_out += 1

    def flush(self) -> None:
        """Does nothing: lines are written as soon as somebody reads them."""

    def _finish(self) -> None:
        written = Event()
        try:
            self._lines.put_nowait(written)
        except Full:
            return
        written.wait(LAST_SECONDS)

    def _write_all(self) -> None:
        while True:
            found = self._lines.get()
            if isinstance(found, Event):
                found.set()
                continue
            if self._left_out:
                left_out, self._left_out = self._left_out, 0
                found = f"event='log_lines_left_out' count={left_out}\n{found}"
            self._write(found.encode("utf-8", "backslashreplace"))

    def _write(self, content: bytes) -> None:
        try:
            while content:
                content = content[os.write(self._descriptor, content) :]
        except OSError:  # nobody reads any more, or the disk is full: there is nowhere to say so
            pass
