"""`python -m redirect.worker`: one process that serves, on a socket that redirect/workers.py gives it with a way to be told to end.

What it reads there is RETIRE when another worker takes its place and STOP when the front door ends; the end of the way is a STOP too.
"""

import asyncio
import gc
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable

import structlog
import uvloop
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.net import SocketHolder  # type: ignore[attr-defined]
from granian.server.embed import Server
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from redirect.app import create
from redirect.crowd import Crowd
from redirect.logs import configure_logs
from redirect.settings import Settings
from redirect.workers import BACKLOG, READY, RETIRE, STOP

log = structlog.get_logger()

HEADER_SECONDS = 6
"""How long a request's head may take, from the connection or the answer before, even when that is not taken yet (tried): so this ends
idle connections and slow readers too."""

MOST_HEAD_BYTES = 16_384

LAST_ANSWERS_SECONDS = 0.5
"""How long whoever is connected is told to close with an answer, before idle connections are closed without one."""


class NotOpened(Exception):
    """The application is ready, and nobody may come in: its lifespan ends, and it puts away what it has taken."""


class Door:
    """The application, and what a worker answers differently once it is about to end, or crowded."""

    def __init__(self, app: ASGIApp, may_open: Callable[[], bool], crowd: Crowd) -> None:
        """`may_open` is asked once the application is ready: else nothing is accepted."""
        self._app = app
        self._may_open = may_open
        self._crowd = crowd
        self._last = False
        self._leaving = False
        self.ready = asyncio.Event()

    def say_last(self, leaving: bool) -> None:
        """From now on every answer closes its connection, and /readyz is 503 when the front door is `leaving`."""
        self._last, self._leaving = True, leaving

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(scope, receive, send)
            return
        busy, peer = self._crowd.busy, scope["client"]
        busy.add(peer)
        try:
            if self._last or not self._crowd.room:
                await self._answer_last(scope, receive, send)
            else:
                await self._app(scope, receive, send)
        finally:
            busy.discard(peer)

    async def _answer_last(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_last(message: Message) -> None:
            if message["type"] == "http.response.start":
                status = 503 if self._leaving and scope["path"] == "/readyz" else message["status"]
                message = {**message, "status": status, "headers": [*message["headers"], (b"connection", b"close")]}
            await send(message)

        await self._app(scope, receive, send_last)

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_when_ready(message: Message) -> None:
            if message["type"] == "lifespan.startup.complete":
                if not self._may_open():
                    raise NotOpened
                self.ready.set()
            await send(message)

        await self._app(scope, receive, send_when_ready)


class SharedSocketServer(Server):
    """Granian in this process, on a socket that others listen on too: no connection is lost when one of them ends.

    Left alone it opens a socket for each worker, and what waits there to be accepted is reset when that worker ends.
    """

    def __init__(self, app: Callable[[Scope, Receive, Send], Awaitable[None]], listening: int) -> None:
        super().__init__(
            app,
            interface=Interfaces.ASGI,
            http=HTTPModes.http1,
            websockets=False,
            backlog=BACKLOG,
            http1_settings=HTTP1Settings(header_read_timeout=HEADER_SECONDS * 1000, max_buffer_size=MOST_HEAD_BYTES),
            log_level=LogLevels.error,
        )
        self._listening = listening

    def _init_shared_socket(self) -> None:
        self._shd = SocketHolder(self._listening, False, BACKLOG)  # type: ignore[call-arg, assignment]


async def serve(listening: int, way: socket.socket, settings: Settings, keys_before: str | None) -> int:
    """Serves until told to end, answers what is accepted by then, and returns an exit status.

    `keys_before` is the summary of the keys of a worker that serves still, whose place one with other keys is not to take: every URL would
    be not found. None: of nobody, since a start cannot know which of two is wrong, the server or this front door.
    """
    try:
        app = create(settings)
    except (OSError, ValueError) as error:
        log.error("keys_not_read", cause=str(error))
        return 1

    def may_open() -> bool:
        if keys_before is None or not app.state.keys_differ(keys_before):
            return True
        log.error("keys_differ", remedy="give the front door the server's key file; it has to know the keys of the worker before")
        return False

    crowd = Crowd(_port_of(listening))
    door = Door(app, may_open, crowd)
    _collect_garbage_less()
    server = SharedSocketServer(door, listening)
    serving = asyncio.create_task(server.serve())
    ready = asyncio.create_task(door.ready.wait())
    await asyncio.wait([serving, ready], return_when=asyncio.FIRST_COMPLETED)
    if not door.ready.is_set():
        log.error("not_opened", cause=str(serving.exception()))
        return 1
    told, looking_after = asyncio.create_task(_told(way)), asyncio.create_task(crowd.run())
    await asyncio.wait([serving, told], return_when=asyncio.FIRST_COMPLETED)
    if serving.done():
        return 1
    leaving = told.result() != RETIRE
    door.say_last(leaving)
    await asyncio.sleep(settings.front_notice_seconds if leaving else 0)
    await asyncio.sleep(LAST_ANSWERS_SECONDS)
    server.stop()  # type: ignore[no-untyped-call]
    await serving
    looking_after.cancel()
    return 0


def _port_of(listening: int) -> int:
    with socket.socket(fileno=os.dup(listening)) as copy:
        port: int = copy.getsockname()[1]
        return port


def _collect_garbage_less() -> None:
    """Looks for cycles among what clicks leave, not among what was loaded: a quarter of a click's time here went into that (measured)."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


async def _told(way: socket.socket) -> bytes:
    loop, terminated = asyncio.get_running_loop(), asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, terminated.set)
    way.setblocking(False)
    await loop.sock_sendall(way, READY)
    told = asyncio.create_task(loop.sock_recv(way, 1))
    await asyncio.wait([told, asyncio.create_task(terminated.wait())], return_when=asyncio.FIRST_COMPLETED)
    return told.result() if told.done() and not told.exception() else STOP


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # ^C reaches every process of a terminal; the first one says when to end
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    configure_logs()
    listening, way, *keys_before = sys.argv[1:]
    sys.exit(uvloop.run(serve(int(listening), socket.socket(fileno=int(way)), Settings(), keys_before[0] if keys_before else None)))
