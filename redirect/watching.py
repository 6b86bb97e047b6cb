"""Keeps the snapshot up to date with what the server tells. On each machine one front door does it for all of them."""

import asyncio
import fcntl
import sqlite3
from pathlib import Path

import grpc
import structlog

from redirect import token
from redirect.connection import NoAnswer, OtherKeys, connect, refuse_other_keys
from redirect.snapshot import SnapshotRemoved, SnapshotWriter
from trackedlinks.v1 import click_service_pb2, click_service_pb2_grpc

log = structlog.get_logger()

PAUSE = 1.0
"""Seconds before it is tried again: to be the one, and to reach the server."""


class Watching:
    """Watches the server for as long as this process lives, when no other process of this machine does."""

    def __init__(self, address: str, path: Path, keys: token.Keys) -> None:
        self._address = address
        self._path = path
        self._keys = keys

    async def run(self) -> None:
        """Never returns; to be cancelled."""
        while True:
            try:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                with (self._path.parent / "snapshot.lock").open("a") as lock:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    async with connect(self._address) as channel:
                        await self._write(click_service_pb2_grpc.ClickServiceStub(channel))
            except BlockingIOError:
                pass  # another process does it
            except OSError as error:
                log.error("snapshot_failed", cause=error.strerror)
            except Exception as error:  # a defect must not end it for good: recipients would be sent where links led long ago
                log.error("snapshot_failed", exc_info=error)
            await asyncio.sleep(PAUSE)

    async def _write(self, stub: "click_service_pb2_grpc.ClickServiceAsyncStub") -> None:
        writer = SnapshotWriter(self._path)
        try:
            while True:
                try:
                    await self._watch(stub, writer)
                except grpc.aio.AioRpcError as error:
                    if error.code() is grpc.StatusCode.INVALID_ARGUMENT:  # its position is damaged, or of another kind of server
                        writer.begin_anew()
                    if error.code() is not grpc.StatusCode.UNAVAILABLE:  # of which the stream of clicks tells
                        log.error("snapshot_not_told", code=error.code().name)
                except SnapshotRemoved:
                    log.warning("snapshot_removed")
                    writer.begin_anew()
                except (NoAnswer, OtherKeys):
                    pass  # the stream of clicks says so
                except sqlite3.OperationalError as error:  # its disk is full or fails
                    log.error("snapshot_failed", cause=str(error))
                    writer.close()
                except sqlite3.DatabaseError as error:
                    log.error("snapshot_damaged", cause=str(error))
                    writer.begin_anew()
                await asyncio.sleep(PAUSE)
        finally:
            writer.close()

    async def _watch(self, stub: "click_service_pb2_grpc.ClickServiceAsyncStub", writer: SnapshotWriter) -> None:
        position = await asyncio.to_thread(writer.position)
        call = stub.WatchPlacements(click_service_pb2.WatchPlacementsRequest(position=position))
        try:
            await refuse_other_keys(call, self._keys)
            while isinstance(told := await self._next(call, writer), click_service_pb2.WatchPlacementsResponse):
                await asyncio.to_thread(writer.apply, told)
        finally:
            call.cancel()

    async def _next(
        self,
        call: "grpc.aio.UnaryStreamCall[click_service_pb2.WatchPlacementsRequest, click_service_pb2.WatchPlacementsResponse]",
        writer: SnapshotWriter,
    ) -> object:
        """What the server tells next, which may be never; grpc.aio.EOF at the end. Raises SnapshotRemoved and AioRpcError."""
        reading = asyncio.ensure_future(call.read())
        while not (await asyncio.wait([reading], timeout=PAUSE))[0]:
            writer.refuse_removed()
        return reading.result()
