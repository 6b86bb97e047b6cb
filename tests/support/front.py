"""Front doors in this process, their journal and their snapshot."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import httpx2

from redirect.app import create
from redirect.segments import frames_of
from redirect.settings import Settings
from redirect.snapshot import Snapshot
from tests.support.campaign import Campaign

SECONDS = 20.0
NOWHERE = "127.0.0.1:1"


@contextlib.asynccontextmanager
async def browsing(settings: Settings, clock: Callable[[], int] = time.time_ns) -> AsyncIterator[httpx2.AsyncClient]:
    """A front door in this process, by this clock, and something to open its URLs with; redirects are not followed."""
    app = create(settings, clock)
    async with app.router.lifespan_context(app), httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://front") as client:
        yield client


async def until(holds: Callable[[], object]) -> None:
    """Returns when this holds."""
    async with asyncio.timeout(SECONDS):
        while not holds():
            await asyncio.sleep(0.01)


async def leads_to(snapshot: Snapshot, url: str) -> None:
    """Returns when the snapshot knows that the first placement leads there."""
    async with asyncio.timeout(SECONDS):
        while (answer := await snapshot.answer(1)) is None or answer.answer.location != url:
            await asyncio.sleep(0.01)


async def completed(snapshot: Snapshot) -> None:
    """Returns when the snapshot knows every placement."""
    async with asyncio.timeout(SECONDS):
        while not await snapshot.complete():
            await asyncio.sleep(0.01)


async def counted(campaign: Campaign, link_id: int, clicks: int) -> None:
    """Returns when the link has so many clicks."""
    async with asyncio.timeout(SECONDS):
        while (await campaign.counts(link_id))[0] < clicks:
            await asyncio.sleep(0.01)


async def learn(front: Settings) -> None:
    """Has the front door's machine know where every placement leads."""
    snapshot = Snapshot(front.directory / "front" / "snapshot.db")
    async with browsing(front):
        await completed(snapshot)
    await snapshot.close()


async def opened(settings: Settings, paths: Sequence[str]) -> list[httpx2.Response]:
    """What a front door answers whoever opens these."""
    async with browsing(settings) as browser:
        return [await browser.get(path) for path in paths]


def path_of(url: str) -> str:
    """The path of a URL whose only segment is its token."""
    return "/" + url.rpartition("/")[2]


def journal_of(settings: Settings) -> Path:
    """Where the front door keeps its journal."""
    return settings.directory / "front" / "journal"


def nothing_waits(settings: Settings) -> bool:
    """Whether no click is in the journal."""
    try:
        return not any(frames_of(path.read_bytes()).contents for path in journal_of(settings).glob("*.segment"))
    except FileNotFoundError:  # replayed just now
        return False
