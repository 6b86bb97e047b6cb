"""The processes that serve: starts them on one listening socket, starts new ones where some end, and replaces all of them on SIGHUP.

The socket is never closed between a worker and the next, so a rolling restart refuses nobody.
"""

import asyncio
import contextlib
import ctypes
import signal
import socket
import struct
import sys
from dataclasses import dataclass

import structlog

from redirect import token
from redirect.disk import DiskHangs, DiskThread
from redirect.settings import Settings

log = structlog.get_logger()

READY, RETIRE, STOP = b"1", b"r", b"s"
"""What a worker says, and what it is told; the other end is redirect/worker.py."""

BACKLOG = 2048
"""Connections that wait to be accepted, and those a worker has at most; more wait, and whoever is slow is cut off within 10 s."""

KEYS_SECONDS = 5.0
"""How long the disk may take that has the key file: longer, and nobody would hear of signals and of workers that end."""

START_SECONDS = 30.0
STOP_SECONDS = 15.0
"""How long a worker may take for what it has accepted; nothing takes longer than 10 s."""

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0
SHORT_LIFE_SECONDS = 1.0
"""A worker that dies sooner after it was ready is replaced after a pause, like one that does not start."""

UNREAD_MILLISECONDS = 8_000
"""How long a client may take nothing of an answer."""


@dataclass(eq=False)
class _Worker:
    process: asyncio.subprocess.Process
    way: socket.socket
    ended: "asyncio.Task[int]"
    keys: str
    """The summary of its keys; empty when they could not be read."""
    ready_time: float = 0.0
    ended_time: float = 0.0
    pause: float = FIRST_PAUSE
    """Before it is replaced, when it has not lived long, or once more when it could not be."""

    def has_ended(self) -> None:
        """Notes the time."""
        self.ended_time = asyncio.get_running_loop().time()

    async def rest(self) -> None:
        """Waits, longer each time."""
        await asyncio.sleep(self.pause)
        self.pause = min(2 * self.pause, LONGEST_PAUSE)


def bind(host: str, port: int) -> socket.socket:
    """The socket that the workers are to share. Raises OSError when the address cannot be had."""
    listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if sys.platform == "linux":  # connections inherit both
        # Nobody is accepted before a request comes: a worker that ends closes no connection whose request is still on its way.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 1)
        # Else the kernel keeps answers that nobody takes for minutes after the worker has closed: 1,000 of 1,000 slow readers (tried).
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNREAD_MILLISECONDS)
    try:
        listening.bind((host, port))
    except OSError:
        listening.close()
        raise
    return listening


def drop_new(listening: socket.socket) -> None:
    """Has the kernel drop requests for new connections, while those that were made before still reach who accepts.

    Closing alone would reset those whose request is on its way. Who is dropped asks again a second later, and is refused then, or served
    by the next front door.
    """
    if sys.platform == "linux":
        # Classic BPF over the TCP header: load the byte of flags; when SYN is in it, keep nothing of the packet, else all of it.
        program = [(0x30, 0, 0, 13), (0x45, 0, 1, 0x02), (0x06, 0, 0, 0), (0x06, 0, 0, 0xFFFF)]
        code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *instruction) for instruction in program))
        listening.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HP", len(program), ctypes.addressof(code)))


_SO_ATTACH_FILTER = 26  # asm-generic/socket.h; Python has no name for it


class Workers:
    """The worker processes of one front door."""

    def __init__(self, listening: socket.socket, settings: Settings) -> None:
        self._listening = listening
        self._settings = settings
        self._all: set[_Worker] = set()
        self._serving: list[_Worker] = []
        self._replace = asyncio.Event()
        self._disk = DiskThread("keys")

    async def run(self) -> None:
        """Serves until SIGTERM or SIGINT. Raises SystemExit when a first worker cannot start."""
        loop, this = asyncio.get_running_loop(), asyncio.current_task()
        assert this is not None
        for ending in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(ending, this.cancel)
        loop.add_signal_handler(signal.SIGHUP, self._replace.set)
        try:
            self._listening.listen(BACKLOG)
            started = await asyncio.gather(*(self._start() for _ in range(self._settings.front_workers)))
            self._serving = [worker for worker in started if worker is not None]
            if len(self._serving) < len(started):
                raise SystemExit("a worker did not start")
            log.info("serving", address=f"http://{self._settings.front_listen}")
            await self._keep()
        except asyncio.CancelledError:
            log.info("stopping")
        finally:
            for ending in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(ending, log.info, "stopping_already")
            notice = self._settings.front_notice_seconds
            await asyncio.gather(self._close(notice), *(self._end(worker, STOP, notice) for worker in list(self._all)))

    async def _keep(self) -> None:
        ending: set[asyncio.Task[None]] = set()
        while True:
            asked = asyncio.create_task(self._replace.wait())
            await asyncio.wait([asked, *(worker.ended for worker in self._serving)], return_when=asyncio.FIRST_COMPLETED)
            asked.cancel()
            replacing = self._replace.is_set()
            self._replace.clear()
            for place, worker in enumerate(self._serving):
                died = worker.ended.done()
                if died and worker in self._all:
                    log.error("worker_ended", status=worker.ended.result())
                    self._forget(worker)
                    if worker.ended_time < worker.ready_time + SHORT_LIFE_SECONDS:
                        await worker.rest()
                    else:
                        worker.pause = FIRST_PAUSE
                if not (died or replacing):
                    continue
                new = await self._start(None if died else worker)
                if new is not None:
                    self._serving[place], new.pause = new, worker.pause
                    if not died:
                        ending.add(asyncio.create_task(self._end(worker, RETIRE, 0)))
                elif died:
                    await worker.rest()
                else:
                    log.error("not_replaced", remedy="the new worker did not start, or has other keys, see above; the old one serves on")
                    replacing = False
            if replacing:
                log.info("replaced", workers=len(self._serving))
            ending = {task for task in ending if not task.done()}

    async def _start(self, serving: _Worker | None = None) -> _Worker | None:
        """A new worker; None when it does not start. With other keys it does not in the place of one that is `serving`."""
        try:
            worker = await self._begun(serving)
        except OSError as error:  # too many processes or files, or a Python that is being replaced: later may be better
            log.error("worker_not_started", cause=error.strerror)
            return None
        try:
            async with asyncio.timeout(START_SECONDS):
                said = await asyncio.get_running_loop().sock_recv(worker.way, 1)
        except (TimeoutError, ConnectionError):
            said = b""
        if said == READY:
            worker.ready_time = asyncio.get_running_loop().time()
            return worker
        await self._end(worker, STOP, 0)
        return None

    async def _begun(self, serving: _Worker | None) -> _Worker:
        try:
            keys = await self._disk.run_for(KEYS_SECONDS, _keys, self._settings)
        except DiskHangs:  # of which the worker tells, if it hangs there too
            keys = ""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        shared = self._listening.fileno(), theirs.fileno()
        try:
            told = [*map(str, shared), *([serving.keys] if serving else [])]
            process = await asyncio.create_subprocess_exec(sys.executable, "-m", "redirect.worker", *told, pass_fds=shared)
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        worker = _Worker(process, ours, asyncio.create_task(process.wait()), keys)
        worker.ended.add_done_callback(lambda _: worker.has_ended())
        self._all.add(worker)
        return worker

    async def _end(self, worker: _Worker, how: bytes, notice: float) -> None:
        with contextlib.suppress(OSError):  # it has ended
            await asyncio.get_running_loop().sock_sendall(worker.way, how)
        try:
            async with asyncio.timeout(STOP_SECONDS + notice):
                await asyncio.shield(worker.ended)
        except TimeoutError:
            log.error("worker_killed", seconds=STOP_SECONDS + notice)
            worker.process.kill()
            await worker.ended
        self._forget(worker)

    async def _close(self, notice: float) -> None:
        await asyncio.sleep(notice)
        drop_new(self._listening)
        self._listening.close()  # the workers have it for half a second more, until each has accepted what waits

    def _forget(self, worker: _Worker) -> None:
        worker.way.close()
        self._all.discard(worker)


def _keys(settings: Settings) -> str:
    assert settings.key_file is not None
    try:
        return token.load(settings.key_file).summary()
    except (OSError, ValueError):  # of which the worker tells
        return ""
