"""Segments of the journal: files of clicks that wait for the server, each click in a frame that tells whether it is whole.

    frame = magic (4 bytes) · length of the content (4, little endian) · checksum (8 bytes of BLAKE2b over the content) · content

A segment that a front door makes has its size from birth, zeros in its unwritten rest, and a name of 20 digits and 32 hexadecimal ones: so
a shorter one was cut. Files of other names, which operators make of frames, end with their last frame.

A segment is held by a lock (flock) as long as its process lives. Standard library only; `trackedlinks doctor` reads them as well.
"""

import contextlib
import errno
import fcntl
import hashlib
import os
import re
import stat
import struct
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Self

SEGMENT_BYTES = 16 * 1024 * 1024
"""How large a segment is from the start: room for a hundred thousand clicks, also on a disk that has become full."""

MOST_CONTENT = 64 * 1024
MOST_TORN = 1024 * 1024
"""Bytes that are written at once, at most: what is not zero farther behind the last whole frame is no write that was torn."""

SECTOR_BYTES = 512
"""What a disk writes whole or not at all, in any order."""

_MAGIC = b"\xf5TLJ"
_HEADER = struct.Struct("<4sI8s")
_NAME, _UNFINISHED = ".segment", ".unfinished"
_OWN_NAME = re.compile(r"[0-9]{20}-[0-9a-f]{32}\.segment", re.ASCII)


@dataclass(frozen=True, slots=True)
class Frames:
    """The contents of a segment, oldest first, and at how many places something is damaged."""

    contents: Sequence[bytes]
    damaged: int
    was_cut: bool = False
    """It is not as long as it was made, which counts as damage."""


def frame(content: bytes) -> bytes:
    """The content in a frame. At most MOST_CONTENT bytes."""
    return _HEADER.pack(_MAGIC, len(content), _checksum(content)) + content


def frames_of(stored: bytes) -> Frames:
    """What is whole of these bytes. A last write of which something is still zero was torn, and no damage: nobody was told of success."""
    contents: list[bytes] = []
    damaged = position = last = 0
    expected = True
    while (start := stored.find(_MAGIC, position)) >= 0:
        content = _content_at(stored, start)
        expected = expected and start == position
        if content is None:
            position, expected = start + 1, False
            continue
        damaged += not expected
        contents.append(content)
        position, expected = start + _HEADER.size + len(content), True
        last = position
    return Frames(contents, damaged + _is_damaged(stored, last))


def _is_damaged(stored: bytes, end: int) -> bool:
    """Whether what stands behind the last whole frame is more than a write that was torn, or nothing."""
    written = len(stored.rstrip(b"\0"))
    if written <= end:
        return False
    if written > end + MOST_TORN:
        return True
    if end + _HEADER.size <= len(stored):
        magic, length, _ = _HEADER.unpack_from(stored, end)
        if magic == _MAGIC and length <= MOST_CONTENT:
            # Contents end in no zero, so a last byte that is zero was not written. What else is missing are sectors.
            end_of_frame = end + _HEADER.size + length
            return end_of_frame <= len(stored) and stored[end_of_frame - 1] != 0 and not _lacks_sector(stored, end, end_of_frame)
    begins_a_frame = _MAGIC.startswith(stored[end:written])
    return not begins_a_frame and not _lacks_sector(stored, end, min(end + _HEADER.size, len(stored)))


def _lacks_sector(stored: bytes, start: int, end: int) -> bool:
    """Whether of these bytes one sector's were not written."""
    edges = [start, *range(start - start % SECTOR_BYTES + SECTOR_BYTES, end, SECTOR_BYTES), end]
    return any(not stored[left:right].strip(b"\0") for left, right in pairwise(edges))


def _content_at(stored: bytes, start: int) -> bytes | None:
    if start + _HEADER.size > len(stored):
        return None
    _, length, checksum = _HEADER.unpack_from(stored, start)
    content = stored[start + _HEADER.size : start + _HEADER.size + length] if length <= MOST_CONTENT else b""
    return content if len(content) == length and _checksum(content) == checksum else None


def _checksum(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=8).digest()


class Segment:
    """A segment that this process holds."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor
        self.end = 0
        """How many bytes of it this process has made durable."""

    @classmethod
    def create(cls, directory: Path) -> Self:
        """A new, empty one, with its room on the disk reserved. Raises OSError."""
        name = f"{time.time_ns():020}-{uuid.uuid4().hex}"
        unfinished, path = directory / (name + _UNFINISHED), directory / (name + _NAME)
        descriptor = os.open(unfinished, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.posix_fallocate(descriptor, 0, SEGMENT_BYTES)
            os.fsync(descriptor)
            unfinished.rename(path)  # only now: others take over what they can lock
            sync_directory(directory)
        except OSError:
            os.close(descriptor)
            for left in (unfinished, path):
                left.unlink(missing_ok=True)
            raise
        return cls(path, descriptor)

    @classmethod
    def take_over(cls, path: Path) -> Self | None:
        """One whose process is dead; None when it is alive, or when another process was faster. Raises OSError for what is no file."""
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            _refuse_other_than_file(os.fstat(descriptor))
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.stat(path).st_ino == os.fstat(descriptor).st_ino:
                return cls(path, descriptor)
        except (BlockingIOError, FileNotFoundError):
            pass
        except OSError:
            os.close(descriptor)
            raise
        os.close(descriptor)
        return None

    def append(self, stored: bytes) -> None:
        """Writes frames at the end; durable when this returns. Raises OSError, after which nothing more may be written to it."""
        written = 0
        while written < len(stored):
            written += os.pwrite(self._descriptor, memoryview(stored)[written:], self.end + written)
        os.fdatasync(self._descriptor)
        self.end += len(stored)

    def has_room(self, size: int) -> bool:
        """Whether so many bytes can be appended."""
        return self.end + size <= SEGMENT_BYTES

    def frames(self) -> Frames:
        """What stands in it. Raises OSError."""
        stored = read_segment(self.path)
        found = frames_of(stored)
        return Frames(found.contents, found.damaged + 1, was_cut=True) if _was_cut(self.path.name, len(stored)) else found

    def remove(self) -> None:
        """Removes the file. Raises OSError."""
        self.path.unlink()
        self.close()

    def close(self) -> None:
        """Lets go of it: another process may take it over. Safe to call twice."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            with contextlib.suppress(OSError):  # Linux has let go of it all the same
                os.close(descriptor)


def _refuse_other_than_file(found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "is no file")


def _was_cut(name: str, size: int) -> bool:
    """Whether a segment of this name has had more, or less, than so many bytes."""
    return size != SEGMENT_BYTES and _OWN_NAME.fullmatch(name) is not None


def segments_in(directory: Path) -> list[Path]:
    """The segments in a directory, oldest first."""
    return sorted(directory.glob("*" + _NAME))


def read_segment(path: Path) -> bytes:
    """What stands in a segment. Raises OSError, for what is no file as well: whoever reads a pipe waits for ever."""
    _refuse_other_than_file(path.stat())
    return path.read_bytes()


def remove_unfinished(directory: Path) -> None:
    """Removes what processes have left that died while they made a segment."""
    for path in directory.glob("*" + _UNFINISHED):
        if (segment := Segment.take_over(path)) is not None:
            segment.remove()


def store_apart(directory: Path, content: bytes) -> None:
    """Stores a content in a file of its own; durable when this returns. Raises OSError."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{time.time_ns():020}-{uuid.uuid4().hex}.frame"
    with path.open("xb") as file:
        file.write(frame(content))
        file.flush()
        os.fsync(file.fileno())
    sync_directory(directory)


def sync_directory(directory: Path) -> None:
    """Makes durable which files a directory has. Raises OSError."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
