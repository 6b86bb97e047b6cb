"""What the front door is compared with: bare applications, and the front door with one unary call per click.

`python -m bench.apps NAME PORT` serves one on the front door's own HTTP server, `uvicorn` a bare one on uvicorn with httptools and uvloop.
"""

import sys
from unittest import mock

import grpc
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

import redirect.app
from redirect import token
from redirect.__main__ import http_server
from redirect.clicks import OPTIONS
from trackedlinks.v1 import click_service_pb2, click_service_pb2_grpc


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
    """As `redirect.clicks.ClickStream` to whoever gives it clicks."""

    connected = True

    def __init__(self, address: str, answer_seconds: float, keys: token.Keys) -> None:
        self._address = address
        self._answer_seconds = answer_seconds

    def start(self) -> None:
        """Opens the connection."""
        self._channel = grpc.aio.insecure_channel(self._address, options=OPTIONS)
        self._stub = click_service_pb2_grpc.ClickServiceStub(self._channel)

    async def stop(self) -> None:
        """Closes it."""
        await self._channel.close()

    async def record(self, request: click_service_pb2.RecordClickRequest) -> click_service_pb2.ClickAnswer:
        """What the click is answered by, once it is durable."""
        response = await self._stub.RecordClick(request, timeout=self._answer_seconds)
        return click_service_pb2.ClickAnswer(click_id=request.click_id, location=response.location)


def main(name: str, port: int) -> None:
    """Serves until SIGTERM."""
    if name == "uvicorn":
        config = uvicorn.Config(bare, factory=True, port=port, loop="uvloop", http="httptools", log_level="warning", access_log=False)
        uvicorn.Server(config).run()
    else:
        http_server(f"bench.apps:{name}", "127.0.0.1", port, 1).serve()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
