"""Clients that take their time: the front door ends their connections, each within ten seconds, and serves the others meanwhile."""

import asyncio
import contextlib
import socket
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.support.campaign import Campaign, person
from tests.support.recipients import Crowd

MOST_SECONDS = 10.0
LATE_SECONDS = 5.0
"""How much later this machine may notice, when it is busy."""

OF_EACH = 20

FORM = "content-type: application/x-www-form-urlencoded\r\ncontent-length: 4096\r\n"

_ESTABLISHED = 1


class SlowClient:
    """A connection that sends `at_once`, and then at each tick a byte of `trickle`, and reads so many bytes."""

    def __init__(self, url: str, at_once: str, trickle: str = "", reads: int = 0) -> None:
        self._url = urlsplit(url)
        self._at_once = at_once.encode()
        self._trickle = trickle.encode()
        self._reads = reads
        self._socket = socket.socket()
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)  # a window that opens by a little, not by a loopback segment
        self._was_held = False
        self.closed_after: float | None = None

    async def open(self) -> None:
        """Connects and sends what is sent at once."""
        loop = asyncio.get_running_loop()
        await loop.sock_connect(self._socket, (self._url.hostname, self._url.port))
        self._ports = self._socket.getsockname()[1], self._url.port
        self._since = loop.time()
        await loop.sock_sendall(self._socket, self._at_once)

    def tick(self, held: set[tuple[int, int]]) -> None:
        """Sends a byte, and notes when the end has come here or, since it comes after what is not read here, has been made there."""
        self._was_held |= self._ports in held
        try:
            letter, self._trickle = self._trickle[:1], self._trickle[1:] + self._trickle[:1]
            self._socket.send(letter)
            with contextlib.suppress(BlockingIOError):
                self._socket.recv(self._reads)
            state = self._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
        except OSError:
            state = 0
        if state != _ESTABLISHED or (self._was_held and self._ports not in held):
            self.closed_after = asyncio.get_running_loop().time() - self._since

    def close(self) -> None:
        """Leaves."""
        self._socket.close()


async def test_whoever_is_slow_is_cut_off_while_others_click(sqlite_campaign: Campaign) -> None:
    link, page = await sqlite_campaign.link(), await sqlite_campaign.link(text="<p>" + "x" * 32_000 + "</p>")
    url, text = [await sqlite_campaign.url(each.id, person(1)) for each in (link, page)]
    get, get_text, post = request("GET", url), request("GET", text), request("POST", url, FORM)
    kinds: dict[str, tuple[Any, ...]] = {
        "sends nothing": (url, ""),
        "sends its head slowly": (url, get[:-2], "x-slow: 1\r\n"),
        "sends its form slowly": (url, post, "renew=yes&"),
        "sends no form": (url, post),
        "sends a second head slowly": (url, get + get[:-2], "x-slow: 1\r\n"),
        "asks once and stays": (url, get),
        "does not read a page": (text, get_text),
        "does not read a hundred pages": (text, get_text * 100),
        "reads a hundred pages slowly": (text, get_text * 100, "", 256),
    }
    clients = {name: [SlowClient(*how) for _ in range(OF_EACH)] for name, how in kinds.items()}
    everyone = [client for some in clients.values() for client in some]
    honest = Crowd(url, 4, keeps=False, pause=0.02)
    try:
        async with honest.clicking():
            await asyncio.gather(*(client.open() for client in everyone))
            for _ in range(int((MOST_SECONDS + LATE_SECONDS) * 4)):
                held = connections_held()
                for client in everyone:
                    if client.closed_after is None:
                        client.tick(held)
                if all(client.closed_after is not None for client in everyone):
                    break
                await asyncio.sleep(0.25)
    finally:
        for client in everyone:
            client.close()
    took = {name: max(client.closed_after or float("inf") for client in some) for name, some in clients.items()}
    assert {name: seconds for name, seconds in took.items() if seconds > MOST_SECONDS + LATE_SECONDS} == {}
    assert (honest.unanswered, honest.refused, [*honest.statuses]) == ([], 0, [302])


def request(method: str, url: str, headers: str = "") -> str:
    """A request as it is sent."""
    parts = urlsplit(url)
    return f"{method} {parts.path} HTTP/1.1\r\nhost: {parts.netloc}\r\n{headers}\r\n"


def connections_held() -> set[tuple[int, int]]:
    """The ports of clients and servers of this machine's connections that a process has open at the server's end."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {(int(row[2].rpartition(":")[2], 16), int(row[1].rpartition(":")[2], 16)) for row in rows if row[9] != "0"}
