"""What webhooks are sent to in tests: receivers on this machine, and name servers that lead to them.

A receiver does to each request what it is told, and keeps what it got:

    async with Receiver(answers(500), answers(429, retry_after="3"), ok) as receiver:
        ...  # something is sent to receiver.url("/hook"); `receiver.pair` must be allowed, since it is private
        first, second = await receiver.received(2)  # returns once two requests came, with all of theirs that came until then
        assert first.headers["webhook-id"] == second.headers["webhook-id"]

The first request gets the first behaviour, the second one the second, and the last behaviour stays; `receiver.behaviours` may be set
anew at any time. A connection serves one request. On leaving, what hangs is cut off.
"""

import asyncio
import contextlib
import socket
import ssl
import struct
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address

from ssrfguard.resolvers import UdpResolver

Behaviour = Callable[[asyncio.StreamWriter], Awaitable[None]]
"""What a receiver does to a request that it has read; the connection is closed afterwards."""


@dataclass(frozen=True, slots=True)
class Received:
    """A request as it came; names of headers in lower case."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes


def says(*pieces: bytes) -> Behaviour:
    """Writes these bytes, whatever they are, and closes."""

    async def behave(writer: asyncio.StreamWriter) -> None:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()

    return behave


def answers(status: int, body: bytes = b"", **headers: str) -> Behaviour:
    """Answers properly; `retry_after="3"` is the header Retry-After."""
    lines = [f"HTTP/1.1 {status} Test", f"content-length: {len(body)}", "connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return says("\r\n".join([*lines, "\r\n"]).encode("latin-1"), body)


def redirects(to: str, status: int = 302) -> Behaviour:
    """Sends the sender elsewhere."""
    return answers(status, location=to)


def goes_on(start: bytes, again: bytes) -> Behaviour:
    """Writes the start, and then the same again and again as fast as it is read, for ever."""

    async def behave(writer: asyncio.StreamWriter) -> None:
        writer.write(start)
        while True:
            writer.write(again * (4096 // len(again) + 1))
            await writer.drain()
            await asyncio.sleep(0)  # the sender may live in the same loop, and draining does not always let it

    return behave


def trickles(start: bytes, again: bytes) -> Behaviour:
    """Writes the start, and then the same again and again, a byte every few milliseconds, for ever."""

    async def behave(writer: asyncio.StreamWriter) -> None:
        writer.write(start)
        while True:
            for byte in again:
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(0.005)  # this is the pace of the receiver; nothing waits for it

    return behave


async def hangs(_: asyncio.StreamWriter) -> None:
    """Never answers, and keeps the connection open."""
    await asyncio.Event().wait()


async def closes(_: asyncio.StreamWriter) -> None:
    """Closes without a word."""


async def resets(writer: asyncio.StreamWriter) -> None:
    """Breaks the connection, as a receiver does that crashes."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


ok = answers(200, b"thanks")
garbage = says(b"SSH-2.0-OpenSSH_9.6\r\n", bytes(range(256)) * 8)
trickling_head = trickles(b"HTTP/1.1 200 OK\r\n", b"x-slow: 1\r\n")
trickling_body = trickles(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n", b"x")


def long_body(status: int = 200, size: int = 10_000_000) -> Behaviour:
    """Answers with a status and a long body."""
    return says(f"HTTP/1.1 {status} Test\r\ncontent-length: {size}\r\n\r\n".encode(), *[b"x" * 10_000] * (size // 10_000))


class Receiver:
    """A receiver on a free port of 127.0.0.1, or of another address of this machine; with `tls`, one that is reached by https."""

    def __init__(self, *behaviours: Behaviour, host: str = "127.0.0.1", port: int = 0, tls: ssl.SSLContext | None = None) -> None:
        self.behaviours: Sequence[Behaviour] = behaviours or (ok,)
        self.host = f"[{host}]" if ":" in host else host
        self.port = port
        self.connections = 0
        """How many connections were made, with a request or without one."""
        self.open = 0
        """How many of them are open."""
        self.requests: list[Received] = []
        self._tls = tls
        self._changed = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def pair(self) -> str:
        """Host and port, as a sender's `allowed` names them."""
        return f"{self.host}:{self.port}"

    def url(self, target: str = "/", host: str = "") -> str:
        """A URL that leads here, by another name if one is given."""
        return f"{'https' if self._tls else 'http'}://{host or self.host}:{self.port}{target}"

    async def received(self, count: int) -> list[Received]:
        """All requests so far, once there are as many as that."""
        async with self._changed:
            await self._changed.wait_for(lambda: len(self.requests) >= count)
        return list(self.requests)

    async def quiet(self) -> None:
        """Returns once no connection is open, on this side of them."""
        async with self._changed:
            await self._changed.wait_for(lambda: not self.open)

    async def __aenter__(self) -> "Receiver":
        self._server = await asyncio.start_server(self._serve, self.host.strip("[]"), self.port, ssl=self._tls, backlog=1024)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self.connections += 1
        self.open += 1
        try:
            received = await _read(reader)
            behaviour = self.behaviours[min(len(self.requests), len(self.behaviours) - 1)]
            async with self._changed:
                self.requests.append(received)
                self._changed.notify_all()
            await behaviour(writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the sender has gone, or the test is over
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError, ssl.SSLError):
                await writer.wait_closed()
            async with self._changed:
                self.open -= 1
                self._changed.notify_all()


class NameServer:
    """A real name server on a free port of 127.0.0.1.

    `names` are the addresses of each name; a name that is not there does not exist, and one with None is never answered. `later` are the
    addresses that a name has from the second question on, for names that move.
    """

    def __init__(self, names: Mapping[str, Sequence[str] | None], later: Mapping[str, Sequence[str]] | None = None) -> None:
        self._names = names
        self._later = later or {}
        self.questions: Counter[tuple[str, int]] = Counter()
        """How often each name was asked for, by type: 1 for IPv4, 28 for IPv6."""

    def resolver(self, seconds: float = 5.0) -> UdpResolver:
        """What a sender asks this name server with."""
        return UdpResolver(
            ("127.0.0.1",), timeout=seconds, attempt_timeout=seconds, families=(socket.AF_INET, socket.AF_INET6), nameserver_port=self.port
        )

    async def __aenter__(self) -> "NameServer":
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._task = asyncio.create_task(self._serve())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._socket.close()

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            question, asker = await loop.sock_recvfrom(self._socket, 512)
            if (reply := self._reply(question)) is not None:
                await loop.sock_sendto(self._socket, reply, asker)

    def _reply(self, question: bytes) -> bytes | None:
        end = question.index(0, 12)
        name, kind = _name(question[12:end]), int.from_bytes(question[end + 1 : end + 3])
        self.questions[name, kind] += 1
        addresses: Sequence[str] | None = self._names.get(name, ())
        if name in self._later and self.questions[name, kind] > 1:
            addresses = self._later[name]
        if addresses is None:
            return None
        wanted = [ip_address(address).packed for address in addresses if (ip_address(address).version == 4) == (kind == 1)]
        records = b"".join(struct.pack("!HHHIH", 0xC00C, kind, 1, 0, len(packed)) + packed for packed in wanted)
        flags = 0x8180 if name in self._names else 0x8183
        return question[:2] + struct.pack("!HHHHH", flags, 1, len(wanted), 0, 0) + question[12 : end + 5] + records


def tls_of_hooks_test() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """What a receiver shows to be hooks.test, and what a sender believes that by. The key is public: it is written below."""
    receiver = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
        file.write(_KEY + _CERTIFICATE)
        file.flush()
        receiver.load_cert_chain(file.name)
    return receiver, ssl.create_default_context(cadata=_CERTIFICATE)


async def _read(reader: asyncio.StreamReader) -> Received:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    line, *fields = head.split("\r\n")[:-2]
    method, target, _ = line.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (each.partition(":") for each in fields)}
    return Received(method, target, headers, await reader.readexactly(int(headers.get("content-length", "0"))))


def _name(labels: bytes) -> str:
    found = []
    while labels:
        found.append(labels[1 : labels[0] + 1].decode("ascii"))
        labels = labels[labels[0] + 1 :]
    return ".".join(found)


_KEY = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgPBsvkGnWyw+5MHcn
emgi6/JeLNeqJm3yVtMBhydxQmShRANCAARCN4erawTRfDLjMFBUga7huR8brNG0
SgO2u+NjSbAz3ed67AHhbilbxRkLCymn1Vuhfk0lk2b84e3GtLI5iFlv
-----END PRIVATE KEY-----
"""
_CERTIFICATE = """\
-----BEGIN CERTIFICATE-----
MIIBczCCARqgAwIBAgIBATAKBggqhkjOPQQDAjAVMRMwEQYDVQQDDApob29rcy50
ZXN0MCAXDTI0MDEwMTAwMDAwMFoYDzIxMjQwMTAxMDAwMDAwWjAVMRMwEQYDVQQD
DApob29rcy50ZXN0MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEQjeHq2sE0Xwy
4zBQVIGu4bkfG6zRtEoDtrvjY0mwM93neuwB4W4pW8UZCwspp9VboX5NJZNm/OHt
xrSyOYhZb6NZMFcwDwYDVR0TAQH/BAUwAwEB/zAVBgNVHREEDjAMggpob29rcy50
ZXN0MA4GA1UdDwEB/wQEAwIChDAdBgNVHQ4EFgQUVN/OPVVvdKmn+Ma8NOLr/4V9
fo4wCgYIKoZIzj0EAwIDRwAwRAIgLiMLPiqDiWC0JQCjQN80NI7NvN12RMKF40Lc
P8NXb9UCIEEMecCx3Jp6RY3QSjYYZnWEqy8r8wHHBP50H/YlL8Sw
-----END CERTIFICATE-----
"""
