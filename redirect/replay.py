"""Gives the clicks of the journal to the server, oldest first, as soon as it takes any. Each counts once, however often it is sent."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import structlog
from google.protobuf.message import DecodeError

from redirect.complaint import Complaint
from redirect.disk import CLOSE_SECONDS, DiskThread
from redirect.journal import Journal, JournalFailed
from redirect.segments import SEGMENT_BYTES, Segment
from redirect.waiting import AHEAD
from trackedlinks.v1 import click_service_pb2, error_pb2

log = structlog.get_logger()

MOST_IN_BATCH = 200
"""Clicks that are sent together: few enough for the clicks of recipients to pass by."""

PAUSE = 0.5
"""Seconds before clicks are sent again that the server could not take."""

LOOK_SECONDS = 5.0
"""How often is looked for what processes have left that are dead."""

LATER_SECONDS = 60.0
"""How long clicks rest that the server will take later, when the reason is not that it has much to do."""

MOST_MOVED = SEGMENT_BYTES // 2
"""Bytes of such clicks that are written once more, into the segment that others have; a segment of more is left as it is."""

TOKEN_INVALID = error_pb2.ERROR_REASON_TOKEN_INVALID
DEFECT = error_pb2.ERROR_REASON_DEFECT
MOST_DEFECTS = 60
"""How often a batch of which every click is a defect is sent again, every LOOK_SECONDS: a server that is mended takes it."""

Clicks = Sequence[click_service_pb2.RecordClickRequest]
Refused = Mapping[str, click_service_pb2.ClickError]


class Disconnected(Exception):
    """The connection has ended before the server had all clicks; it may have some of them."""


class Server(Protocol):
    """Takes clicks that are replayed."""

    async def connection(self) -> None:
        """Returns when there is one."""

    async def replay(self, clicks: Clicks) -> Refused:
        """Has the server store the clicks; those that it refuses, by id. Raises Disconnected."""


class Replay:
    """Replays the journal for as long as its process lives."""

    def __init__(self, journal: Journal, server: Server, stands: Callable[[str], Awaitable[bool]]) -> None:
        """`stands` says whether a token is valid, whatever the server says of it."""
        self._journal = journal
        self._server = server
        self._stands = stands
        self._unreadable: set[Path] = set()
        self._postponed: set[Path] = set()
        self._resume: float | None = None
        self._unknown = Complaint("clicks_kept", "has the server another database, or one that is empty or was put back?")
        self._clocks = Complaint("clicks_kept", "one clock is wrong: this machine's or the server's")
        self._thread = DiskThread("replay")

    async def run(self) -> None:
        """Never returns; to be cancelled."""
        try:
            await self._run()
        finally:
            self._thread.end()

    async def _run(self) -> None:
        while True:
            self._journal.appended.clear()
            await self._server.connection()
            try:
                segment = await self._journal.oldest(self._unreadable | self._not_yet())
                if segment is not None:
                    await self._replay(segment)
                    continue
            except OSError as error:
                log.error("replay_failed", cause=error.strerror)
            except Exception as error:  # a defect must not keep clicks in the journal for good
                log.error("replay_failed", exc_info=error)
            self._unreadable.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._journal.appended.wait()

    async def _replay(self, segment: Segment) -> None:
        try:
            try:
                frames = await self._thread.run(segment.frames)
            except OSError as error:
                log.error("journal_segment_unreadable", cause=error.strerror, segment=segment.path.name)
                self._unreadable.add(segment.path)  # for now: those after it are not to wait for it
                return
            total_kept = 0
            for start in range(0, len(frames.contents), MOST_IN_BATCH):
                batch = frames.contents[start : start + MOST_IN_BATCH]
                kept = await self._give(batch)
                total_kept += len(kept)
                if kept and start == 0 and len(kept) == len(batch) and sum(map(len, frames.contents)) > MOST_MOVED:
                    self._postponed.add(segment.path)  # all of it, most likely: it stays where it is
                    return
                # Once more at the end of the journal: many small segments would fill it, and clicks that come twice count once.
                await asyncio.gather(*(self._journal.append(click.SerializeToString()) for click in kept))
            if frames.damaged:
                cause = "it is not as long as it was made" if frames.was_cut else "its bytes have changed"
                log.error("journal_segment_damaged", segment=segment.path.name, cause=cause, read=len(frames.contents), kept="damaged/")
            await self._journal.remove(segment, frames)
        except JournalFailed:  # which has no room to move them, and says so
            self._postponed.add(segment.path)
            return
        finally:
            await asyncio.wait([self._thread.run(segment.close)], timeout=CLOSE_SECONDS)  # a disk that hangs lets go of it later
        if frames.contents:
            given = len(frames.contents) - total_kept
            log.info("journal_replayed", clicks=given, kept=total_kept, segment=segment.path.name, damaged=frames.damaged)

    def _not_yet(self) -> frozenset[Path]:
        """What rests because of clicks that the server will take later: the segments that hold them."""
        if self._resume is None:
            return frozenset()
        if asyncio.get_running_loop().time() >= self._resume:
            self._resume = None
            self._postponed.clear()
            return frozenset()
        return self._journal.active | self._postponed

    async def _give(self, contents: Sequence[bytes]) -> Clicks:
        """Returns when the server has the clicks, or has refused them for good and they are kept apart; those it may take much later."""
        waiting = await self._readable(contents)
        kept: list[click_service_pb2.RecordClickRequest] = []
        defects = 0
        while waiting:
            await self._server.connection()
            try:
                refused = await self._server.replay(waiting)
            except Disconnected:
                continue
            defective = all(click.click_id in refused and refused[click.click_id].reason == DEFECT for click in waiting)
            if defective and (defects := defects + 1) < MOST_DEFECTS:  # the server's fault, not that of every single click
                log.error("replay_postponed", clicks=len(waiting), message=refused[waiting[0].click_id].message)
                await asyncio.sleep(LOOK_SECONDS)
                continue
            again: list[click_service_pb2.RecordClickRequest] = []
            for click in waiting:
                error = refused.get(click.click_id)
                if error is None:
                    continue
                if error.reason == AHEAD:
                    self._clocks.tell(message=error.message)
                    kept.append(click)
                elif error.reason == TOKEN_INVALID and await self._stands(click.token):
                    self._unknown.tell(message=error.message)
                    kept.append(click)
                elif error.retryable:
                    again.append(click)
                else:
                    reason = error_pb2.ErrorReason.Name(error.reason)
                    await self._reject(click.SerializeToString(), click=click.click_id, reason=reason, message=error.message)
            waiting = again
            if waiting:
                await asyncio.sleep(PAUSE)
        if kept and self._resume is None:
            self._resume = asyncio.get_running_loop().time() + LATER_SECONDS
        return kept

    async def _readable(self, contents: Sequence[bytes]) -> list[click_service_pb2.RecordClickRequest]:
        """The clicks, each once: a segment that has failed may have those that stand in the next one, too."""
        clicks: dict[str, click_service_pb2.RecordClickRequest] = {}
        for content in contents:
            try:
                click = click_service_pb2.RecordClickRequest.FromString(content)
            except DecodeError:
                await self._reject(content, reason="UNREADABLE")
                continue
            click.replayed = True
            clicks[click.click_id] = click
        return list(clicks.values())

    async def _reject(self, content: bytes, **why: str) -> None:
        await self._journal.reject(content)
        log.error("click_rejected", **why)
