"""The journal: clicks that the server has not taken, durable before their recipients are answered."""

import asyncio
import contextlib
from collections.abc import Collection, Sequence
from pathlib import Path

import structlog

from redirect.disk import DiskHangs, DiskThread, Groups
from redirect.segments import (
    SEGMENT_BYTES,
    Frames,
    Segment,
    frame,
    remove_unfinished,
    segments_in,
    store_apart,
    sync_directory,
)

log = structlog.get_logger()

MOST_IN_GROUP = 200
"""Clicks that are made durable together, at most: even the longest of them fit into a segment."""

STORE_SECONDS = 2.0
"""How long a recipient waits for the disk at most. A click may be stored after that all the same; then it counts."""

COMPLAIN_SECONDS = 5.0
"""How often the log says that clicks cannot be stored: a line for each group of them would fill a disk that is full already."""


class JournalFailed(Exception):
    """The click is not in the journal: its disk refuses it or hangs, or the journal is as large as it may be."""


class Journal:
    """The journal of this process, in a directory that other processes share. Its files are touched by one thread only."""

    def __init__(self, directory: Path, most_bytes: int) -> None:
        """`most_bytes` is how large the journals of all processes may become together."""
        self._directory = directory
        self._most_segments = max(2, most_bytes // SEGMENT_BYTES)
        self._thread = DiskThread("journal")
        self._groups = Groups(self._thread, self._write_all, MOST_IN_GROUP, STORE_SECONDS)
        self._active: Segment | None = None
        self._complained = float("-inf")
        self._turned_away = 0
        self.appended = asyncio.Event()
        """Set with every click that is appended; whoever replays clears it."""

    async def open(self) -> None:
        """Reserves room for the first clicks. When that fails, or takes too long, it is tried again with the first click."""
        with contextlib.suppress(DiskHangs):
            await self._thread.run_for(STORE_SECONDS, self._open)

    async def append(self, content: bytes) -> None:
        """Stores a click; durable when this returns. Raises JournalFailed."""
        try:
            await self._groups.add(frame(content))
        except OSError as error:
            self._complain(error)
            raise JournalFailed(error.strerror) from error
        self.appended.set()
        self._well()

    async def oldest(self, but: Collection[Path] = ()) -> Segment | None:
        """The oldest segment that is to be replayed, `but` these: of this process, or of a dead one. Nothing more is written to it."""
        return await self._thread.run(self._oldest, but)

    @property
    def active(self) -> frozenset[Path]:
        """The segment that clicks are appended to; none when there is no room."""
        active = self._active
        return frozenset() if active is None else frozenset({active.path})

    async def remove(self, segment: Segment, frames: Frames) -> None:
        """Removes a segment of which the server has all; what was damaged is kept apart, as it is. Raises OSError."""
        await self._thread.run(self._remove, segment, frames)

    async def reject(self, content: bytes) -> None:
        """Keeps a click that the server refuses for good. Raises OSError."""
        await self._thread.run(store_apart, self._directory / "rejected", content)

    async def close(self) -> None:
        """Ends once every click is stored, or the disk hangs; other processes may replay what is left."""
        await self._groups.all_done()
        await self._thread.end_with(STORE_SECONDS, self._seal)

    def _complain(self, error: OSError) -> None:
        self._turned_away += 1
        now = asyncio.get_running_loop().time()
        if now - self._complained >= COMPLAIN_SECONDS:
            self._complained = now
            log.error("journal_failed", cause=error.strerror, directory=str(self._directory), turned_away=self._turned_away)

    def _well(self) -> None:
        if self._turned_away:
            log.warning("journal_stores_again", turned_away=self._turned_away)
            self._complained, self._turned_away = float("-inf"), 0

    def _open(self) -> None:
        try:
            remove_unfinished(self._directory)
            self._active = self._new()
        except OSError as error:
            log.error("journal_failed", cause=error.strerror, directory=str(self._directory))

    def _write_all(self, frames: Sequence[bytes]) -> Sequence[None]:
        self._write(b"".join(frames))
        return [None] * len(frames)

    def _write(self, stored: bytes) -> None:
        """Appends frames, to a new segment where one is full or fails: after an fsync that has failed, what is on the disk is unknown."""
        if self._active is not None and self._active.has_room(len(stored)):
            try:
                self._active.append(stored)
                return
            except OSError as error:
                log.error("journal_segment_failed", cause=error.strerror, segment=self._active.path.name)
        self._seal()
        self._active = self._new()
        try:
            self._active.append(stored)
        except OSError:
            self._seal()
            raise

    def _new(self) -> Segment:
        count = len(segments_in(self._directory))
        if count >= self._most_segments:
            raise OSError(0, f"the journal has its {count} segments of {SEGMENT_BYTES >> 20} MiB (TRACKEDLINKS_JOURNAL_MEBIBYTES)")
        self._directory.mkdir(parents=True, exist_ok=True)
        try:
            return Segment.create(self._directory)
        except BlockingIOError:  # another process that has just started has taken the unfinished file for one that was left
            return Segment.create(self._directory)

    def _seal(self) -> None:
        """Writes no more to the active segment; without a durable click it goes."""
        segment, self._active = self._active, None
        if segment is not None and segment.end:
            segment.close()
        elif segment is not None:
            with contextlib.suppress(OSError):
                segment.remove()

    def _oldest(self, but: Collection[Path]) -> Segment | None:
        for path in segments_in(self._directory):
            if path in but:
                continue
            if self._active is not None and path == self._active.path:
                if not self._active.end:
                    continue
                segment, self._active = self._active, None
                with contextlib.suppress(OSError):  # a full disk: room comes when this one is replayed
                    self._active = self._new()
                return segment
            try:
                if (found := Segment.take_over(path)) is not None:
                    return found
            except OSError as error:  # a folder, a file of somebody else: no reason to keep the clicks of other segments
                log.error("journal_segment_unreadable", cause=error.strerror, segment=path.name)
        return None

    def _remove(self, segment: Segment, frames: Frames) -> None:
        if frames.damaged:
            apart = self._directory / "damaged"
            apart.mkdir(exist_ok=True)
            segment.path.rename(apart / segment.path.name)
            sync_directory(apart)
            segment.close()
        else:
            segment.remove()
