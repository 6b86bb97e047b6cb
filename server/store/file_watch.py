"""Notices when the file of an SQLite database is deleted, moved or replaced under the server: what is written then is lost with it."""

import os
from pathlib import Path

from server.model.errors import DomainError, Reason

_PUT_BACK = "put it back, or stop the server, which still writes down what it has, and start it again"


class FileWatch:
    """The file that a database was opened as. A look takes two microseconds."""

    def __init__(self, path: Path | None) -> None:
        """None: there is no file to watch."""
        self._path, self._log_path = str(path), f"{path}-wal"
        self._watches = path is not None
        self._opened: tuple[int, int] | None = None
        self._log_is_lost = False

    def before(self) -> None:
        """Raises STORE_UNAVAILABLE (cause FILE_GONE) when the file is not the one that was opened. Before that anything goes."""
        if self._opened is not None:
            self._compare()

    def after_write(self) -> None:
        """The same, and when the file's log is gone: what was committed last is on no disk then. The log is not waited for to come back."""
        if not self._watches:
            return
        self._compare()
        try:
            os.stat(self._log_path)
        except OSError:
            self._log_is_lost = True
            self._compare()

    def _compare(self) -> None:
        try:
            found = os.stat(self._path)
        except OSError as error:
            raise _gone(f"the database file {self._path} is gone ({error.strerror})") from None
        if self._opened is None:
            self._opened = found.st_dev, found.st_ino
        elif self._opened != (found.st_dev, found.st_ino):
            raise _gone(f"the database file {self._path} was replaced under the server")
        if self._log_is_lost:
            raise _gone(f"{self._log_path} was removed under the server")


def _gone(problem: str) -> DomainError:
    return DomainError(Reason.store_unavailable, f"{problem}: {_PUT_BACK}; nothing was stored", cause="FILE_GONE")
