"""Browsers of recipients at the level of sockets: what a connection does, and which requests got no answer, is what is tested."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

ANSWER_SECONDS = 20


class Unanswered(Exception):
    """A connection was refused, or ended before the whole answer to a request was there."""


class Refused(Unanswered):
    """No connection, so nothing was asked."""


class Browser:
    """Opens URLs one after the other as HTTP/1.1 has it, with a connection for each or one that it keeps while the front door lets it."""

    def __init__(self, keeps: bool) -> None:
        self._keeps = keeps
        self._connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self.told_to_close = 0
        self.sent_again = 0
        """Requests on a kept connection that ended without a byte of an answer: a browser sends those again (RFC 9110, 9.2.2)."""

    async def open(self, url: str) -> tuple[int, dict[str, str]]:
        """The status and the headers of the answer. Raises Unanswered."""
        kept = self._connection is not None
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await self._ask(url)
        except (OSError, asyncio.IncompleteReadError, TimeoutError) as error:
            await self.close()
            if not kept or getattr(error, "partial", None):
                raise Unanswered(f"{type(error).__name__}: {error}") from error
        self.sent_again += 1
        return await self.open(url)

    async def _ask(self, url: str) -> tuple[int, dict[str, str]]:
        parts = urlsplit(url)
        if self._connection is None:
            try:
                self._connection = await asyncio.open_connection(parts.hostname, parts.port)
            except OSError as error:
                raise Refused(f"{type(error).__name__}: {error}") from error
        reader, writer = self._connection
        request = f"GET {parts.path} HTTP/1.1\r\nhost: {parts.netloc}\r\nuser-agent: Mozilla/5.0\r\n"
        writer.write((request + ("" if self._keeps else "connection: close\r\n") + "\r\n").encode())
        status, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").strip().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines)
        await reader.readexactly(int(headers.get("content-length", "0")))
        told = headers.get("connection") == "close"
        self.told_to_close += told
        if told or not self._keeps:
            await self.close()
        return int(status.split()[1]), headers

    async def close(self) -> None:
        """Ends the connection that is kept, if any."""
        if self._connection is not None:
            writer = self._connection[1]
            self._connection = None
            writer.close()
            with contextlib.suppress(OSError):  # the other side may have been first
                await writer.wait_closed()


class Crowd:
    """Browsers that open the same URL again and again, and what came of it."""

    def __init__(self, url: str, browsers: int, keeps: bool, pause: float = 0) -> None:
        self._url = url
        self._pause = pause
        self.browsers = [Browser(keeps) for _ in range(browsers)]
        self.statuses: dict[int, int] = {}
        self.refused = 0
        self.unanswered: list[str] = []
        self.seconds: list[float] = []

    @property
    def sent_again(self) -> int:
        """Requests that were sent a second time."""
        return sum(browser.sent_again for browser in self.browsers)

    @asynccontextmanager
    async def clicking(self) -> AsyncIterator[None]:
        """Clicks until the block ends, and then until the last answer is there."""
        ended = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            for browser in self.browsers:
                tasks.create_task(self._click(browser, ended.is_set))
            try:
                yield
            finally:
                ended.set()

    async def _click(self, browser: Browser, ended: Callable[[], bool]) -> None:
        clock = asyncio.get_running_loop().time
        while not ended():
            begun = clock()
            try:
                status, _ = await browser.open(self._url)
            except Refused:
                self.refused += 1
                await asyncio.sleep(0.05)
                continue
            except Unanswered as error:
                self.unanswered.append(str(error))
                await asyncio.sleep(0.05)
                continue
            self.seconds.append(clock() - begun)
            self.statuses[status] = self.statuses.get(status, 0) + 1
            await asyncio.sleep(self._pause)
        await browser.close()
