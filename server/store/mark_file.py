"""The mark: a small file outside the database that says how far it had come when it last gave ids."""

import dataclasses
import fcntl
import json
import os
from dataclasses import dataclass
from pathlib import Path

_BYTES = 256
"""What the file always holds: it is written over in place, in one sector, also where the disk is full."""


@dataclass(frozen=True, slots=True)
class Mark:
    """How often this server has given ids in a history of the database, and the highest id of any kind that there was."""

    history: str
    server: str
    number: int
    highest: int


class MarkFile:
    """One mark. Several servers of a machine may share it: they write it one after the other."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> Mark | None:
        """The mark, or None where there is none yet. Raises OSError, and ValueError for a file that holds no mark."""
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return None
        return _mark(content, self.path)

    def keep(self, mark: Mark) -> Mark:
        """Has the file say this, durably, and returns what it says: a higher mark of the same history stays. Raises OSError, ValueError."""
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            content = os.pread(descriptor, _BYTES, 0)
            before = _mark(content, self.path) if content else None
            if before is not None and before.history == mark.history and before.server == mark.server and before.number >= mark.number:
                return before
            text = json.dumps(dataclasses.asdict(mark)).encode()
            os.pwrite(descriptor, text.ljust(_BYTES - 1) + b"\n", 0)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if not content:
            _sync_folder(self.path.parent)
        return mark


def _mark(content: bytes, path: Path) -> Mark:
    try:
        said = json.loads(content)
        return Mark(str(said["history"]), str(said["server"]), int(said["number"]), int(said["highest"]))
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} holds no mark of a database: {type(error).__name__}") from error


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
