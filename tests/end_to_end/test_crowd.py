"""Many connections at one front door: they are kept while there is room, and those that wait longest make room for others."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest

from redirect.crowd import KEPT, NEARLY_FULL
from tests.support.campaign import Campaign, person

SECONDS = 20


class Visitor:
    """A connection whose end is left open."""

    def __init__(self, url: str) -> None:
        self._url = urlsplit(url)

    async def open(self) -> "Visitor":
        """Connects."""
        self.reader, self.writer = await asyncio.open_connection(self._url.hostname, self._url.port)
        return self

    def send(self, headers: str = "", method: str = "GET") -> None:
        """Sends a request, or when it is not all of one the beginning."""
        self.writer.write(f"{method} {self._url.path} HTTP/1.1\r\nhost: {self._url.netloc}\r\n{headers}".encode())

    async def answer(self) -> tuple[int, bool]:
        """The status, and whether the connection may be kept."""
        async with asyncio.timeout(SECONDS):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode().lower()
        return int(head.split()[1]), "connection: close" not in head

    async def ended(self) -> None:
        """Returns when the front door has closed the connection."""
        async with asyncio.timeout(SECONDS):
            with contextlib.suppress(ConnectionError):
                await self.reader.read()


@pytest.fixture
async def visitors(anyio_backend: str) -> AsyncIterator[list[Visitor]]:
    """Those who are to be sent away at the end of a test."""
    found: list[Visitor] = []
    yield found
    for visitor in found:
        visitor.writer.close()


async def come(visitors: list[Visitor], url: str, count: int) -> list[Visitor]:
    new = [await Visitor(url).open() for _ in range(count)]
    visitors += new
    return new


async def test_connections_are_kept_while_there_is_room(sqlite_campaign: Campaign, visitors: list[Visitor]) -> None:
    url = await sqlite_campaign.url((await sqlite_campaign.link()).id, person(1))
    for visitor in await come(visitors, url, 20):
        for _ in range(2):
            visitor.send("\r\n")
            assert await visitor.answer() == (302, True)


async def test_beyond_an_answer_closes_its_connection(sqlite_campaign: Campaign, visitors: list[Visitor]) -> None:
    url = await sqlite_campaign.url((await sqlite_campaign.link()).id, person(1))
    for visitor in await come(visitors, url, KEPT + 10):
        visitor.send("x-slow: ")
    async with asyncio.timeout(SECONDS):
        while True:
            (one,) = await come(visitors, url, 1)
            one.send("\r\n")
            status, keeps = await one.answer()
            assert status == 302
            if not keeps:
                break
    await one.ended()


async def test_who_waits_longest_makes_room_and_who_is_being_answered_stays(sqlite_campaign: Campaign, visitors: list[Visitor]) -> None:
    url = await sqlite_campaign.url((await sqlite_campaign.link()).id, person(1))
    (posting,) = await come(visitors, url, 1)
    posting.send("content-type: application/x-www-form-urlencoded\r\ncontent-length: 9\r\n\r\n", method="POST")
    old = await come(visitors, url, NEARLY_FULL // 2)
    for visitor in old:
        visitor.send("x-slow: ")
    new = await come(visitors, url, NEARLY_FULL // 2 + 100)
    for visitor in new:
        visitor.send("x-slow: ")
    for visitor in old:
        await visitor.ended()
    kept = [visitor for visitor in new if not visitor.reader.at_eof()]
    assert KEPT // 2 < len(kept) < len(new)
    kept[-1].writer.write(b"x\r\n\r\n")
    assert (await kept[-1].answer())[0] == 302
    posting.writer.write(b"renew=yes")
    assert (await posting.answer())[0] == 404
