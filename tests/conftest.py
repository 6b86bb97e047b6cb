"""Fixtures that tests share: both databases, a server in this process, and a house of real processes."""

import functools
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpcore
import httpcore2
import pytest
from hypothesis import settings

from server.store.database import Database
from server.store.migrate import migrate
from tests.support.checkout import Guard, forget_settings
from tests.support.postgres import Postgres
from tests.support.server import serving
from tests.support.stubs import Stubs

settings.register_profile("ours", deadline=None)  # a busy machine is no defect
settings.load_profile("ours")

forget_settings()
guard = Guard()
"""One for the whole run: whatever a test touches in the checkout's var/."""


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session", autouse=True)
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Runs the tests in an empty folder: in the checkout's, `var` is what `make run` has left there, or has open."""
    before = Path.cwd()
    os.chdir(tmp_path_factory.mktemp("elsewhere"))
    yield
    os.chdir(before)


@pytest.fixture(autouse=True)
def checkout_left_alone() -> Iterator[None]:
    """Fails a test that touches the checkout's var/."""
    yield
    assert guard.touched() == []


@pytest.fixture(scope="session", autouse=True)
async def one_event_loop(anyio_backend: str) -> AsyncIterator[None]:
    """Keeps one event loop for all tests of a process: what of a gRPC call ends after its test would find a closed one, and fail
    another."""
    yield  # noqa: PT022 - the loop lives as long as this waits


@pytest.fixture(scope="session", autouse=True)
def certificates_read_once() -> Iterator[None]:
    """Reads the certificates that are believed once a run: each server's sender of webhooks and each HTTP client read them for
    themselves, which was half of what a server's start takes (43 of 87 ms)."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(httpcore, "default_ssl_context", functools.cache(httpcore.default_ssl_context))
        patch.setattr(httpcore2, "default_ssl_context", functools.cache(httpcore2.default_ssl_context))
        yield


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file to copy."""
    path = tmp_path_factory.mktemp("template") / "template.db"
    database = Database(f"sqlite:///{path}")
    migrate(database)
    database.close()
    return path


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """One PostgreSQL for the whole run."""
    cluster = Postgres()
    yield cluster
    cluster.stop()


@pytest.fixture(scope="session")
def postgres_database(postgres: Postgres) -> str:
    """A migrated PostgreSQL database, for one test after the other."""
    name = postgres.create()
    database = Database(postgres.url(name))
    migrate(database)
    database.close()
    return name


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a migrated, empty database of each kind."""
    if request.param == "sqlite":
        path = tmp_path / "test.db"
        shutil.copy(request.getfixturevalue("sqlite_template"), path)
        yield f"sqlite:///{path}"
        return
    cluster: Postgres = request.getfixturevalue("postgres")
    name = request.getfixturevalue("postgres_database")
    yield cluster.url(name)
    cluster.clean(name)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A migrated, empty database of each kind, open."""
    opened = Database(database_url)
    yield opened
    opened.close()


@pytest.fixture
async def stubs(database_url: str, tmp_path: Path, anyio_backend: str) -> AsyncIterator[Stubs]:
    """A real server in this process, on each kind of database, and stubs for it."""
    async with serving(database_url, tmp_path) as client:
        yield client
