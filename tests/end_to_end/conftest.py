"""Fixtures of the end-to-end tests: a marketer and a browser in front of a real house."""

import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx2
import pytest

from server.store.database import Database
from server.store.migrate import migrate
from tests.support.campaign import Campaign
from tests.support.house import House
from tests.support.postgres import Postgres
from tests.support.stubs import Stubs

PATIENT = "5"
"""Seconds that a recipient waits for the server: a machine that stalls for a quarter of a second does not have a click counted later."""


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def shared_house(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A house for many tests, on each kind of database: one starts in three seconds. What tests make in it has names of its own."""
    folder: Path = tmp_path_factory.mktemp("house")
    if request.param == "sqlite":
        url = f"sqlite:///{shutil.copy(request.getfixturevalue('sqlite_template'), folder / 'test.db')}"
    else:
        cluster: Postgres = request.getfixturevalue("postgres")
        url = cluster.url(cluster.create())
        database = Database(url)
        migrate(database)
        database.close()
    opened = House(folder / "var", url, commit_seconds=PATIENT)
    try:
        opened.start()
        yield opened
    finally:
        opened.stop()


@pytest.fixture
def house(shared_house: House) -> House:
    """The shared house."""
    return shared_house


@pytest.fixture
async def campaign(house: House) -> AsyncIterator[Campaign]:
    """A marketer, connected to the house's server."""
    stubs = Stubs(house.address)
    yield Campaign(stubs)
    await stubs.channel.close()


@pytest.fixture
async def browser(anyio_backend: str) -> AsyncIterator[httpx2.AsyncClient]:
    """Something that opens URLs as a recipient does, and does not follow redirects."""
    async with httpx2.AsyncClient(timeout=20, headers={"user-agent": "Mozilla/5.0 (a test)"}) as client:
        yield client


@pytest.fixture(scope="session")
def sqlite_house(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[House]:
    """A house on SQLite for tests of the front door, which does not know what database there is."""
    folder: Path = tmp_path_factory.mktemp("front")
    url = f"sqlite:///{shutil.copy(sqlite_template, folder / 'test.db')}"
    opened = House(folder / "var", url, commit_seconds=PATIENT)
    try:
        opened.start()
        yield opened
    finally:
        opened.stop()


@pytest.fixture
async def sqlite_campaign(sqlite_house: House, anyio_backend: str) -> AsyncIterator[Campaign]:
    """A marketer, connected to that house's server."""
    stubs = Stubs(sqlite_house.address)
    yield Campaign(stubs)
    await stubs.channel.close()
