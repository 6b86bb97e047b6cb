"""Many connections at one front door: they are kept while there is room, and those that wait longest make room for others."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from redirect.crowd import KEPT, NEARLY_FULL
from tests.support.campaign import Campaign, person

SECONDS = 20


class Visitor:
    """A connection whose end is left open."""

    def __init__(self, url: str) -> None:
        self._url = urlsplit(url)
        self._socket = socket.create_connection((self._url.hostname, self._url.port), timeout=SECONDS)
        self._socket.setblocking(False)

    def send(self, headers: str = "", method: str = "GET") -> None:
        """Sends a request, or when it is not all of one the beginning."""
        self.say(f"{method} {self._url.path} HTTP/1.1\r\nhost: {self._url.netloc}\r\n{headers}")

    def say(self, text: str) -> None:
        """Sends what goes on."""
        self._socket.send(text.encode())

    async def answer(self) -> tuple[int, bool]:
        """The status, and whether the connection may be kept."""
        async with asyncio.timeout(SECONDS):
            head = (await asyncio.get_running_loop().sock_recv(self._socket, 65536)).decode().lower()
        return int(head.split()[1]), "connection: close" not in head

    async def ended(self) -> None:
        """Returns when the front door has closed the connection."""
        async with asyncio.timeout(SECONDS):
            with contextlib.suppress(ConnectionError):
                while await asyncio.get_running_loop().sock_recv(self._socket, 65536):
                    pass

    def is_open(self) -> bool:
        """Whether it has not closed it."""
        try:
            return bool(self._socket.recv(1, socket.MSG_PEEK))
        except BlockingIOError:
            return True
        except ConnectionError:
            return False

    def leave(self) -> None:
        """Closes it here."""
        self._socket.close()


@pytest.fixture
def visitors() -> Iterator[list[Visitor]]:
    """Those who are to be sent away at the end of a test."""
    found: list[Visitor] = []
    yield found
    for visitor in found:
        visitor.leave()


def come(visitors: list[Visitor], url: str, count: int, headers: str = "") -> list[Visitor]:
    """So many more who send this much of a request."""
    new: list[Visitor] = []
    for _ in range(count):
        new.append(Visitor(url))
        new[-1].send(headers)
    visitors += new
    return new


async def test_connections_are_kept_while_there_is_room(sqlite_campaign: Campaign, visitors: list[Visitor]) -> None:
    url = await sqlite_campaign.url((await sqlite_campaign.link()).id, person(1))
    for visitor in come(visitors, url, 20, "\r\n"):
        assert await visitor.answer() == (302, True)
        visitor.send("\r\n")
        assert await visitor.answer() == (302, True)


async def test_beyond_an_answer_closes_its_connection(sqlite_campaign: Campaign, visitors: list[Visitor]) -> None:
    url = await sqlite_campaign.url((await sqlite_campaign.link()).id, person(1))
    async with asyncio.timeout(SECONDS):
        while True:
            come(visitors, url, max(0, KEPT + 50 - sum(visitor.is_open() for visitor in visitors)), "x-slow: ")
            (one,) = come(visitors, url, 1, "\r\n")
            status, keeps = await one.answer()
            assert status == 302
            if not keeps:
                break
    await one.ended()


async def test_who_waits_longest_makes_room_and_who_is_being_answered_stays(sqlite_campaign: Campaign, visitors: list[Visitor]) -> None:
    url = await sqlite_campaign.url((await sqlite_campaign.link()).id, person(1))
    posting = Visitor(url)
    visitors.append(posting)
    posting.send("content-type: application/x-www-form-urlencoded\r\ncontent-length: 9\r\n\r\n", method="POST")
    old = come(visitors, url, NEARLY_FULL // 2, "x-slow: ")
    new = come(visitors, url, NEARLY_FULL // 2 + 100, "x-slow: ")
    for visitor in old[:100]:
        await visitor.ended()
    kept = [visitor for visitor in new if visitor.is_open()]
    assert len(kept) > KEPT // 2
    kept[-1].say("x\r\n\r\n")
    assert (await kept[-1].answer())[0] == 302
    posting.say("renew=yes")
    assert (await posting.answer())[0] == 404
