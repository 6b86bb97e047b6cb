"""An HTTP/2 client that asks for much and takes nothing: it answers pings, and never opens the windows that answers come through."""

import asyncio
import contextlib
from types import TracebackType
from typing import Any, Self

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, Event, ResponseReceived, StreamEnded, StreamReset, TrailersReceived
from h2.settings import SettingCodes

WINDOW = 64
"""Bytes of an answer that are taken: its head, a refusal, and nothing of what is asked for."""


class Greedy:
    """One connection to a gRPC server. An async context manager that ends it, and every call with it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._client = H2Connection(H2Configuration(client_side=True, validate_outbound_headers=False, normalize_outbound_headers=False))
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None
        self.ended: dict[int, dict[str, str]] = {}
        """The trailers of the calls that have ended, or nothing for those that were reset, by the number that `call` gave."""
        self.begun: set[int] = set()
        """The calls that the server has begun to answer."""
        self.cut = asyncio.Event()
        """The server has ended the connection."""

    async def __aenter__(self) -> Self:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        self._client.initiate_connection()
        self._client.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: WINDOW})
        self._send()
        self._reading = asyncio.create_task(self._read(self._reader))
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        assert self._writer is not None
        assert self._reading is not None
        self._reading.cancel()
        self._writer.transport.abort()  # what was not sent would be waited for
        await asyncio.gather(self._reading, return_exceptions=True)
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    async def call(self, method: str, request: Any, *, ends: bool = True) -> int:
        """Makes a call such as `trackedlinks.v1.LinkService/ListLinks`; its number. `ends`: nothing more is sent on it."""
        number = self._client.get_next_available_stream_id()
        headers = [(":method", "POST"), (":scheme", "http"), (":path", f"/{method}"), (":authority", "greedy")]
        self._client.send_headers(number, [*headers, ("content-type", "application/grpc"), ("te", "trailers")])
        content = request.SerializeToString()
        framed = b"\0" + len(content).to_bytes(4, "big") + content
        for start in range(0, len(framed), 16_000):
            part = framed[start : start + 16_000]
            while self._client.local_flow_control_window(number) < len(part) and not self.cut.is_set() and number not in self.ended:
                await asyncio.sleep(0)
            if self.cut.is_set() or number in self.ended:
                return number
            self._client.send_data(number, part, end_stream=ends and start + 16_000 >= len(framed))
        self._send()
        assert self._writer is not None
        await self._writer.drain()
        return number

    async def fall_silent(self) -> None:
        """Answers nothing any more, not even pings, as a machine does that is gone. Returns when the server ends the connection."""
        assert self._reader is not None
        assert self._reading is not None
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)
        with contextlib.suppress(OSError):
            while await self._reader.read(65_536):
                pass

    def _send(self) -> None:
        assert self._writer is not None
        self._writer.write(self._client.data_to_send())

    async def _read(self, reader: asyncio.StreamReader) -> None:
        try:
            while received := await reader.read(65_536):
                for event in self._client.receive_data(received):
                    self._note(event)
                self._send()
        except OSError:
            pass
        finally:
            self.cut.set()

    def _note(self, event: Event) -> None:
        match event:
            case ResponseReceived(stream_id=int(number), headers=headers):
                self.begun.add(number)
                self._trailers(number, headers or [])
            case TrailersReceived(stream_id=int(number), headers=headers):
                self._trailers(number, headers or [])
            case StreamReset(stream_id=int(number)):
                self.ended.setdefault(number, {})
            case DataReceived() | StreamEnded() | _:
                pass

    def _trailers(self, number: int, headers: Any) -> None:
        found = {
            (name if isinstance(name, str) else name.decode()): value if isinstance(value, str) else value.decode()
            for name, value in headers
        }
        if "grpc-status" in found:
            self.ended[number] = found
