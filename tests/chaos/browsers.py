"""Recipients who click, over plain sockets: what each was told, and how long it took."""

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from itertools import count

from tests.chaos.oracle import Oracle, Ticket

PATIENCE = 30.0
"""Seconds after which a recipient closes the window."""

AGAIN = 0.02
"""Seconds before somebody tries again who found no front door at all."""


@dataclass(slots=True)
class Told:
    """What recipients were told: how often what status, how often nothing, and the seconds that each answer took."""

    redirects: int = 0
    refusals: int = 0
    broken: int = 0
    seconds: list[float] = field(default_factory=list)

    @property
    def p99_ms(self) -> float:
        """The time within which 99 % of answers came."""
        ordered = sorted(self.seconds)
        return ordered[len(ordered) * 99 // 100] * 1000 if ordered else 0.0


class Browsers:
    """Recipients who click through one front door, each URL once; what came of it is the oracle's."""

    def __init__(self, oracle: Oracle, port: int) -> None:
        self._oracle = oracle
        self._port = port
        self.told = Told()

    @contextlib.asynccontextmanager
    async def clicking(self, callers: int, pause: float, seed: int) -> AsyncIterator["Browsers"]:
        """So many click one URL after the other, with pauses of so many seconds in the mean, until the block ends."""
        chance = random.Random(seed)
        stop = asyncio.Event()

        async def click_on() -> None:
            line = Line(self._port)
            while not stop.is_set() and (ticket := self._oracle.next_ticket()):
                await self._click(line, ticket, time.monotonic())
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(chance.uniform(0, 2 * pause)):
                        await stop.wait()
            line.close()

        async with asyncio.TaskGroup() as tasks:
            for _ in range(callers):
                tasks.create_task(click_on())
            try:
                yield self
            finally:
                stop.set()

    async def click_steadily(self, per_second: int, stop: asyncio.Event) -> None:
        """Clicks at this rate, whatever the answers take, until told to stop; each is measured from when it was due."""
        idle: list[Line] = []
        start = time.monotonic()

        async def click(ticket: Ticket, due: float) -> None:
            line = idle.pop() if idle else Line(self._port)
            await self._click(line, ticket, due)
            idle.append(line)

        async with asyncio.TaskGroup() as tasks:
            for number in count():
                due = start + number / per_second
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                if stop.is_set() or not (ticket := self._oracle.next_ticket()):
                    break
                tasks.create_task(click(ticket, due))
        for line in idle:
            line.close()

    async def answered(self, more: int) -> None:
        """Returns when so many more clicks were redirected. Raises TimeoutError when that takes a minute."""
        enough = self.told.redirects + more
        async with asyncio.timeout(60):
            while self.told.redirects < enough:
                assert self._oracle.tickets_left, "there is nobody left to click"
                await asyncio.sleep(0.002)

    async def _click(self, line: "Line", ticket: Ticket, due: float) -> None:
        """One click. Who found no front door has not clicked, and tries again; whose connection broke may have."""
        while not await line.open():
            await asyncio.sleep(AGAIN)
        status = await line.get(ticket.token)
        if status is None:
            self.told.broken += 1
            self._oracle.unsure.append(ticket)
            return
        self.told.seconds.append(time.monotonic() - due)
        if status == 302:
            self.told.redirects += 1
            self._oracle.answered.append(ticket)
        else:
            self.told.refusals += 1
            self._oracle.statuses[status] += 1
            self._oracle.unsure.append(ticket)


class Line:
    """One connection, opened again after it broke."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def open(self) -> bool:
        """Whether there is a connection."""
        if self._streams is None or self._streams[0].at_eof():
            self.close()
            with contextlib.suppress(OSError):
                self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        return self._streams is not None

    async def get(self, token: str) -> int | None:
        """The status of the answer, once all of it is read; None when none came."""
        assert self._streams is not None
        reader, writer = self._streams
        try:
            async with asyncio.timeout(PATIENCE):
                writer.write(f"GET /{token} HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: chaos\r\n\r\n".encode())
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                length = next(_numbers(head, b"content-length:"), 0)
                await reader.readexactly(length)
        except (OSError, EOFError, TimeoutError):
            self.close()
            return None
        status = int(head.split(None, 2)[1])
        assert status != 503 or b"retry-after:" in head, "a page that says 'try again' without saying when"
        return status

    def close(self) -> None:
        """Closes the connection."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


def _numbers(head: bytes, name: bytes) -> Iterator[int]:
    return (int(line.partition(b":")[2]) for line in head.split(b"\r\n") if line.startswith(name))
