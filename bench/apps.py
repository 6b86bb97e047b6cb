"""What the front door is compared with: bare applications, and the front door with one unary call per click.

`python -m bench.apps NAME PORT` serves one on the front door's own HTTP server, `uvicorn` a bare one on uvicorn with httptools and uvloop.
"""

import asyncio
import sys
from unittest import mock

import uvicorn
import uvloop
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

import redirect.app
from redirect import token
from redirect.connection import connect
from redirect.waiting import Answer
from redirect.waiting import Request as Click
from redirect.worker import SharedSocketServer
from redirect.workers import bind
from trackedlinks.v1 import click_service_pb2_grpc


def bare() -> Starlette:
    """One route that answers 302: the least that Starlette can do."""

    async def found(_: Request) -> Response:
        return Response(status_code=302, headers={"location": "https://example.com/"})

    return Starlette(routes=[Route("/{token}", found)])


def unary() -> Starlette:
    """The front door, where each click is a call of its own instead of a part of the stream."""
    with mock.patch.object(redirect.app, "ClickStream", UnaryClicks):
        return redirect.app.create()


class UnaryClicks:
    """As `redirect.clicks.ClickStream` to whoever gives it clicks; the journal gets no connection."""

    connected = True

    def __init__(self, address: str, commit_seconds: float, keys: token.Keys) -> None:
        self._address = address
        self._commit_seconds = commit_seconds

    def start(self) -> None:
        """Opens the connection."""
        self._channel = connect(self._address)
        self._stub: click_service_pb2_grpc.ClickServiceAsyncStub = click_service_pb2_grpc.ClickServiceStub(self._channel)

    async def stop(self) -> None:
        """Closes it."""
        await self._channel.close()

    async def connection(self) -> None:
        """Never returns."""
        await asyncio.Event().wait()

    async def record(self, click: Click) -> Answer | None:
        """What the click is answered by, once it is durable."""
        response = await self._stub.RecordClick(click, timeout=self._commit_seconds)
        return Answer(click_id=click.click_id, location=response.location)


def main(name: str, port: int) -> None:
    """Serves until SIGTERM."""
    if name == "uvicorn":
        config = uvicorn.Config(bare, factory=True, port=port, loop="uvloop", http="httptools", log_level="warning", access_log=False)
        uvicorn.Server(config).run()
    else:
        app = {"bare": bare, "unary": unary}[name]()
        with bind("127.0.0.1", port) as listening:
            uvloop.run(SharedSocketServer(app, listening.fileno()).serve())


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
