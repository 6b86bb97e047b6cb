"""Keeps the snapshot up to date with what the server tells. On each machine one front door does it for all of them."""

import asyncio
import sqlite3
from pathlib import Path

import grpc
import structlog

from redirect import token
from redirect.connection import NoAnswer, OtherKeys, connect, refuse_other_keys
from redirect.disk import CLOSE_SECONDS, DiskThread
from redirect.snapshot import SnapshotRemoved, SnapshotWriter
from trackedlinks.v1 import click_service_pb2, click_service_pb2_grpc

log = structlog.get_logger()

PAUSE = 1.0
"""Seconds before it is tried again: to be the one, and to reach the server."""


class Watching:
    """Watches the server for as long as this process lives, when no other process of this machine does. A thread of its own writes."""

    def __init__(self, address: str, path: Path, keys: token.Keys) -> None:
        self._address = address
        self._writer = SnapshotWriter(path)
        self._keys = keys
        self._thread = DiskThread("snapshot writer")

    async def run(self) -> None:
        """Never returns; to be cancelled."""
        try:
            while True:
                try:
                    await self._thread.run(self._writer.hold)
                    async with connect(self._address) as channel:
                        await self._write(click_service_pb2_grpc.ClickServiceStub(channel))
                except BlockingIOError:
                    pass  # another process does it
                except OSError as error:
                    log.error("snapshot_failed", cause=error.strerror)
                except Exception as error:  # a defect must not end it for good: recipients would be sent where links led long ago
                    log.error("snapshot_failed", exc_info=error)
                await self._thread.run(self._writer.let_go)
                await asyncio.sleep(PAUSE)
        finally:
            await self._thread.end_with(CLOSE_SECONDS, self._writer.let_go)

    async def _write(self, stub: "click_service_pb2_grpc.ClickServiceAsyncStub") -> None:
        while True:
            try:
                await self._watch(stub)
            except grpc.aio.AioRpcError as error:
                if error.code() is grpc.StatusCode.INVALID_ARGUMENT:  # its position is damaged, or of another kind of server
                    await self._thread.run(self._writer.begin_anew)
                if error.code() is not grpc.StatusCode.UNAVAILABLE:  # of which the stream of clicks tells
                    log.error("snapshot_not_told", code=error.code().name)
            except SnapshotRemoved:
                log.warning("snapshot_removed")
                await self._thread.run(self._writer.begin_anew)
            except (NoAnswer, OtherKeys):
                pass  # the stream of clicks says so
            except sqlite3.OperationalError as error:  # its disk is full or fails
                log.error("snapshot_failed", cause=str(error))
                await self._thread.run(self._writer.close)
            except sqlite3.DatabaseError as error:
                log.error("snapshot_damaged", cause=str(error))
                await self._thread.run(self._writer.begin_anew)
            await asyncio.sleep(PAUSE)

    async def _watch(self, stub: "click_service_pb2_grpc.ClickServiceAsyncStub") -> None:
        position, highest = await self._thread.run(self._writer.position)
        request = click_service_pb2.WatchPlacementsRequest(position=position, highest_placement_id=highest)
        call = stub.WatchPlacements(request)
        try:
            await refuse_other_keys(call, self._keys)
            while isinstance(told := await self._next(call), click_service_pb2.WatchPlacementsResponse):
                await self._thread.run(self._writer.apply, told)
        finally:
            call.cancel()

    async def _next(
        self, call: "grpc.aio.UnaryStreamCall[click_service_pb2.WatchPlacementsRequest, click_service_pb2.WatchPlacementsResponse]"
    ) -> object:
        """What the server tells next, which may be never; grpc.aio.EOF at the end. Raises SnapshotRemoved and AioRpcError."""
        reading = asyncio.ensure_future(call.read())
        while not (await asyncio.wait([reading], timeout=PAUSE))[0]:
            await self._thread.run(self._writer.refuse_removed)
        return reading.result()
