"""Cuts off who asks and does not read: HTTP servers wait for ever for a client to take an answer.

Granian has a deadline for reading a request and none for writing an answer, so the worker looks at its own sockets (Linux only).
"""

import array
import asyncio
import contextlib
import fcntl
import os
import socket
import struct
import time
from dataclasses import dataclass

import structlog

log = structlog.get_logger()

SECONDS = 7.0
"""How long a client may take for each LEAST_BYTES of an answer, or for the rest of it."""

LEAST_BYTES = 16_384

EVERY_SECONDS = 1.0

_SIOCOUTQ = 0x5411  # bytes that were written and that the client has not acknowledged, sent or not: linux/sockios.h
_BYTES_ACKED = 120  # where tcpi_bytes_acked is in TCP_INFO: linux/tcp.h
_DESCRIPTORS = "/proc/self/fd"


@dataclass(slots=True)
class _Unread:
    since: float
    acknowledged: int


class SlowReaders:
    """Watches the connections of this process to one port."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._unread: dict[int, _Unread] = {}  # by inode: numbers of descriptors are used again

    async def watch(self) -> None:
        """Looks once a second, until it is cancelled."""
        while os.path.isdir(_DESCRIPTORS):
            await asyncio.sleep(EVERY_SECONDS)
            cut = self.look(time.monotonic())
            if cut:
                log.warning("slow_readers_cut_off", connections=cut)

    def look(self, now: float) -> int:
        """Cuts off those who were too slow, and returns how many. Takes a microsecond or two for each open connection."""
        before, self._unread = self._unread, {}
        unread, cut = array.array("i", [0]), 0
        for name in os.listdir(_DESCRIPTORS):
            try:
                fcntl.ioctl(int(name), _SIOCOUTQ, unread)
                if unread[0]:
                    cut += self._judge(int(name), now, before)
            except OSError:  # no socket, or closed a moment ago
                continue
        return cut

    def _judge(self, descriptor: int, now: float, before: dict[int, _Unread]) -> int:
        # Of a copy: the number of a descriptor that is closed meanwhile by another thread may be another connection's by now.
        with socket.socket(fileno=os.dup(descriptor)) as connection:
            if connection.family not in (socket.AF_INET, socket.AF_INET6) or connection.getsockname()[1] != self._port:
                return 0
            inode = os.fstat(connection.fileno()).st_ino
            information = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
            (acknowledged,) = struct.unpack_from("Q", information, _BYTES_ACKED)
            seen = before.get(inode)
            if seen is None or acknowledged - seen.acknowledged >= LEAST_BYTES:
                seen = _Unread(now, acknowledged)
            if now - seen.since < SECONDS:
                self._unread[inode] = seen
                return 0
            _reset(connection)
            return 1


def _reset(connection: socket.socket) -> None:
    """Has the server see an end, and the kernel drop what is unsent as soon as the server closes."""
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.shutdown(socket.SHUT_RDWR)
