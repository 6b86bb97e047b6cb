"""Connections that wait for another request: kept while there is room, and closed, the oldest first, when there is hardly any."""

import asyncio
import contextlib
import os
import socket
import struct
import sys
from collections.abc import Iterator

from redirect.complaint import Complaint

KEPT = 512
"""Connections up to which an answer leaves its own open. Beyond, whoever has an answer leaves: a recipient rarely clicks twice in six
seconds, and 2,048 connections that are kept for six would be 341 recipients a second."""

NEARLY_FULL = 1024
"""Connections beyond which those that wait longest are closed, down to KEPT. A worker accepts nobody beyond 2,048."""

LOOK_SECONDS = 0.1

Peer = tuple[str, str]
"""Address and port of the other end, as granian spells them."""


class Crowd:
    """The connections that this process has accepted at a port, as the system knows them: granian tells of none without a request."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._complaint = Complaint("crowded", "more front workers (TRACKEDLINKS_FRONT_WORKERS), or a proxy that limits each client")
        self.room = True
        """Whether an answer may leave its connection open."""
        self.busy: set[Peer] = set()
        """Whose requests are under way: their connections are not closed."""

    async def run(self) -> None:
        """Looks after them. Never returns; to be cancelled. Linux only: elsewhere there is always room."""
        while sys.platform == "linux":
            try:
                await self._look_after()
            except OSError:  # not even a descriptor is left to look with
                self.room = False
            await asyncio.sleep(LOOK_SECONDS)

    async def _look_after(self) -> None:
        open_files = len(os.listdir("/proc/self/fd"))  # nearly all of them are connections; to look at each takes ten times as long
        self.room = open_files < KEPT
        if open_files > NEARLY_FULL and (closed := await asyncio.to_thread(self._close_oldest, frozenset(self.busy))):
            self._complaint.tell(connections=open_files, closed=closed)

    def _close_oldest(self, busy: frozenset[Peer]) -> int:
        """Closes those that have sent nothing for longest, but for KEPT and for `busy` ones; how many."""
        waiting = [found for found in self._connections() if found[2] not in busy]
        oldest = sorted(waiting, reverse=True)[: -KEPT or None]
        for _, descriptor, peer in oldest:
            with _connection(descriptor) as connection:
                if connection is not None and _peer_of(connection) == peer:  # the number may be another one's by now
                    connection.shutdown(socket.SHUT_RDWR)  # granian sees the end, and closes
        return len(oldest)

    def _connections(self) -> Iterator[tuple[int, int, Peer]]:
        """Each with the milliseconds since something came, its descriptor, and who is at its other end."""
        for name in os.listdir("/proc/self/fd"):
            with _connection(int(name)) as connection:
                if connection is not None and connection.getsockname()[1] == self._port:
                    yield _idle_milliseconds(connection), int(name), _peer_of(connection)


@contextlib.contextmanager
def _connection(descriptor: int) -> Iterator[socket.socket | None]:
    """The connection of this descriptor, which may be closed meanwhile; None where there is none."""
    try:
        own = os.dup(descriptor)
    except OSError:
        yield None
        return
    try:
        connection = socket.socket(fileno=own)
    except OSError:
        os.close(own)
        yield None
        return
    with connection, contextlib.suppress(OSError):
        yield connection if connection.family in (socket.AF_INET, socket.AF_INET6) else None


def _peer_of(connection: socket.socket) -> Peer:
    host, port = connection.getpeername()[:2]
    return host, str(port)


def _idle_milliseconds(connection: socket.socket) -> int:
    """How long nothing has come."""
    (milliseconds,) = struct.unpack_from("I", connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104), _LAST_DATA_RECEIVED)
    return int(milliseconds)


_LAST_DATA_RECEIVED = 52  # struct tcp_info of linux/tcp.h
