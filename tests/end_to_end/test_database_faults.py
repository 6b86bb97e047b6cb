"""Whatever is wrong with the database is said in words: at the start, in the log, in health and by the doctor; without a password."""

import contextlib
import re
import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import psycopg
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from sqlalchemy import Engine, event
from structlog.testing import capture_logs
from uuid_utils import uuid7

from server.keyring import open_keys, open_mark
from server.main import open_database
from server.settings import Settings
from server.store.database import Database
from server.store.keys import KeyStore
from server.store.migrate import migrate
from tests.support.campaign import Campaign
from tests.support.cli import run
from tests.support.databases import on_one_database
from tests.support.house import House, free_port
from tests.support.postgres import Postgres
from tests.support.server import serving
from tests.support.stubs import Refused, Stubs, refused
from trackedlinks.v1 import click_service_pb2

NOT_SERVING, SERVING = health_pb2.HealthCheckResponse.NOT_SERVING, health_pb2.HealthCheckResponse.SERVING
SECRET = "s3cret-word"


class Room:
    """Whether the database finds room: SQLite by its own limit of pages, PostgreSQL by what it says when a table cannot grow."""

    def __init__(self, url: str) -> None:
        self._url, self._pages = url, 2**31

    def limit(self, connection: Any) -> None:
        """Holds a connection of SQLite to the limit, as each transaction begins."""
        if connection.dialect.name == "sqlite":
            connection.connection.driver_connection.execute(f"PRAGMA max_page_count = {self._pages}")

    def end(self) -> None:
        """From now on there is none: a file that is larger than the limit does not grow."""
        self._pages = 1
        self._run(
            "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'disk_full',"
            " MESSAGE = 'could not extend file: No space left on device'; END $$",
            "CREATE TRIGGER full_disk BEFORE INSERT ON link EXECUTE FUNCTION full_disk()",
        )

    def begin(self) -> None:
        """From now on there is some."""
        self._pages = 2**31
        self._run("DROP FUNCTION IF EXISTS full_disk CASCADE")

    def _run(self, *statements: str) -> None:
        if self._url.startswith("postgresql"):
            with psycopg.connect(self._url, autocommit=True) as admin:
                for statement in statements:
                    admin.execute(statement.encode())


@pytest.fixture
def room(database_url: str) -> Iterator[Room]:
    switch = Room(database_url)
    event.listen(Engine, "begin", switch.limit)
    yield switch
    event.remove(Engine, "begin", switch.limit)
    switch.begin()


def garbage(folder: Path) -> str:
    (folder / "garbage.db").write_bytes(b"no database at all" * 500)
    return f"sqlite:///{folder / 'garbage.db'}"


def a_folder(folder: Path) -> str:
    (folder / "folder.db").mkdir()
    return f"sqlite:///{folder / 'folder.db'}"


def a_file_as_folder(folder: Path) -> str:
    (folder / "file").touch()
    return f"sqlite:///{folder / 'file' / 'test.db'}"


def read_only(folder: Path) -> str:
    (folder / "test.db").touch()
    return f"sqlite:///file:{folder / 'test.db'}?mode=ro&uri=true"


SQLITE: list[tuple[Callable[[Path], str], str]] = [
    (garbage, "is no SQLite database"),
    (a_folder, "the database file is a folder"),
    (a_file_as_folder, "the folder of the database file is missing"),
    (read_only, "cannot be written"),
    (lambda folder: f"sqlite:///{folder}/none/test.db", "the folder of the database file is missing"),
    (lambda folder: f"sqlite:///{folder}/test.db?colour=red", "an option that SQLite does not know: colour"),
    (lambda folder: f"sqlite:///{folder}/test.db?timeout=soon", "a value that SQLite does not know"),
]


@pytest.mark.parametrize(("url", "words"), SQLITE)
def test_a_server_that_cannot_use_its_file_says_why(url: Callable[[Path], str], words: str, tmp_path: Path) -> None:
    assert words in said_at_start(url(tmp_path), tmp_path)


@pytest.mark.parametrize("command", ["serve", "migrate", "restored"])
def test_what_is_said_is_one_line_and_no_traceback(command: str, tmp_path: Path) -> None:
    status, said = House(tmp_path / "var", garbage(tmp_path)).run_server(command)
    assert status == 1
    assert said == f"the database file is no SQLite database, or is damaged at its start ({tmp_path / 'garbage.db'})\n"


POSTGRES = [
    ("{user}:{secret}@/nothing?host={socket}", "the database does not exist"),
    ("nobody_here:{secret}@/postgres?host={socket}", "refuses this user"),
    ("{user}:{secret}@127.0.0.1:{port}/postgres", "nothing listens where the database should be"),
    ("{user}:{secret}@/postgres?host=/nowhere", "nothing listens where the database should be"),
    ("{user}:{secret}@nowhere.invalid/postgres", "has no address"),
    ("{user}:{secret}@/postgres?host={socket}&colour=red", "an option that PostgreSQL does not know"),
    ("{user}:{secret}@/postgres?host={socket}&sslmode=sometimes", "bad option"),
    ("{user}:{secret}@/postgres?host={socket}&target_session_attrs=all-of-them", "bad option"),
    ("{user}:p@{secret}@/postgres", "@ in a password is written %40"),
    ("{user}:{secret}@127.0.0.1:port/postgres", "a port is a number"),
    ("{user}:{secret}@/{name}?host={socket}", "python -m server migrate"),
]


@pytest.mark.parametrize(("url", "words"), POSTGRES)
def test_a_server_that_cannot_use_postgresql_says_why_and_no_password(url: str, words: str, postgres: Postgres, tmp_path: Path) -> None:
    socket = postgres.url("x").rpartition("=")[2]
    name = postgres.create() if "{name}" in url else ""
    filled = url.format(user=postgres.user, secret=SECRET, socket=socket, port=free_port(), name=name)
    said = said_at_start(f"postgresql://{filled}", tmp_path)
    assert words in said
    assert SECRET not in said


def test_a_user_without_connections_left_is_told(postgres: Postgres, tmp_path: Path) -> None:
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as admin:
        admin.execute("CREATE ROLE crowded LOGIN CONNECTION LIMIT 0")
        try:
            assert "takes no more connections" in said_at_start(
                postgres.url("postgres").replace(f"//{postgres.user}@", "//crowded@"), tmp_path
            )
        finally:
            admin.execute("DROP ROLE crowded")


@on_one_database
def test_a_file_beside_the_database_that_cannot_be_made_or_read_is_told(database: Database, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit, match=r"keys\.json cannot be made: (File exists|Not a directory)"):
        open_keys(tmp_path / "file" / "keys.json", KeyStore(database))
    with pytest.raises(SystemExit, match=r"cannot be used: .* \(TRACKEDLINKS_MARK_FILE sets another\)"):
        open_mark(tmp_path / "file" / "ids.json", database)
    (tmp_path / "ids.json").write_text("{")
    with pytest.raises(SystemExit, match="holds no mark of a database"):
        open_mark(tmp_path / "ids.json", database)


async def test_a_full_disk_is_told_in_the_error_the_log_health_and_by_the_doctor(database_url: str, tmp_path: Path, room: Room) -> None:
    async with serving(database_url, tmp_path) as stubs, watching(stubs) as states:
        campaign = Campaign(stubs)
        link = await campaign.link()
        assert await anext(states) == SERVING
        with capture_logs() as logs:
            room.end()
            refusal = await until_refused(campaign)
            assert (refusal.reason, refusal.metadata["cause"]) == ("STORE_UNAVAILABLE", "DISK_FULL")
            assert refusal.message == "the disk of the database is full; nothing was stored"
            assert await anext(states) == NOT_SERVING
            assert (await campaign.read(link.id)).id == link.id
            assert await state_of(stubs, "") == SERVING  # what only reads works, so nobody is turned away
            doctor = await run(stubs, "doctor", "--front", "http://127.0.0.1:1")
            assert re.search(r"^database .*DISK_FULL: the disk of the database is full$", doctor.stdout, re.MULTILINE), doctor.stdout
            room.begin()
            await campaign.link()
            assert await anext(states) == SERVING
        told = [(each["event"], each.get("cause") or each.get("after")) for each in logs if each["event"].startswith("database_")]
        assert told == [("database_failed", "DISK_FULL"), ("database_well", "DISK_FULL")]


@on_one_database
@pytest.mark.parametrize("change", ["deleted", "replaced", "folder moved"])
async def test_a_file_that_is_gone_under_the_server_takes_nothing_until_it_is_back(change: str, database_url: str, tmp_path: Path) -> None:
    folder = tmp_path / "disk"
    folder.mkdir()
    file = folder / "test.db"
    shutil.move(database_url.removeprefix("sqlite:///"), file)
    async with serving(f"sqlite:///{file}", tmp_path) as stubs, watching(stubs) as states:
        campaign = Campaign(stubs)
        link = await campaign.link()
        url = await campaign.url(link.id)
        assert await anext(states) == SERVING
        aside = tmp_path / "aside"
        (folder if change == "folder moved" else file).rename(aside)
        if change == "replaced":
            shutil.copy(aside, file)
        with capture_logs() as logs:
            refusal = await refused(stubs.clicks.RecordClick(click_on(url)))
            assert (refusal.reason, refusal.metadata["cause"]) == ("STORE_UNAVAILABLE", "FILE_GONE")
            assert (await refused(campaign.read(link.id))).metadata["cause"] == "FILE_GONE"
            assert await anext(states) == NOT_SERVING
            assert await state_of(stubs, "") == NOT_SERVING
        assert [(each["event"], each["cause"]) for each in logs if each["event"] == "database_failed"] == [("database_failed", "FILE_GONE")]
        assert file.exists() == (change == "replaced")  # nobody has made an empty one
        aside.rename(folder if change == "folder moved" else file)
        assert await anext(states) == SERVING
        await stubs.clicks.RecordClick(click_on(url))
        assert await campaign.counts(link.id) == (1, 0, 0)


@on_one_database
async def test_without_its_log_a_file_takes_nothing_and_a_stop_still_writes_down_what_was_taken(database_url: str, tmp_path: Path) -> None:
    async with serving(database_url, tmp_path) as stubs:
        campaign = Campaign(stubs)
        link = await campaign.link()
        url = await campaign.url(link.id)
        await stubs.clicks.RecordClick(click_on(url))
        Path(f"{database_url.removeprefix('sqlite:///')}-wal").unlink()
        for _ in range(2):
            refusal = await refused(stubs.clicks.RecordClick(click_on(url)))
            assert refusal.metadata["cause"] == "FILE_GONE"
    async with serving(database_url, tmp_path) as stubs:
        clicks, _, _ = await Campaign(stubs).counts(link.id)
        assert clicks >= 1


async def test_a_postgresql_database_that_is_dropped_and_made_anew_is_no_defect(postgres: Postgres, tmp_path: Path) -> None:
    name = postgres.create()
    database = Database(postgres.url(name))
    migrate(database)
    database.close()
    async with serving(postgres.url(name), tmp_path) as stubs, watching(stubs) as states:
        campaign = Campaign(stubs)
        link = await campaign.link()
        url = await campaign.url(link.id)
        assert await anext(states) == SERVING
        postgres.copy("template0", name)
        causes = set()
        while "REPLACED" not in causes:
            refusal = await refused(stubs.clicks.RecordClick(click_on(url)))
            assert refusal.reason == "STORE_UNAVAILABLE"
            causes.add(refusal.metadata["cause"])
        assert await anext(states) == NOT_SERVING
        assert await state_of(stubs, "") == NOT_SERVING


async def test_a_postgresql_that_goes_away_and_comes_back_is_told(tmp_path: Path) -> None:
    cluster = Postgres()
    try:
        name = cluster.create()
        database = Database(cluster.url(name))
        migrate(database)
        database.close()
        async with serving(cluster.url(name), tmp_path) as stubs, watching(stubs) as states:
            campaign = Campaign(stubs)
            link = await campaign.link()
            url = await campaign.url(link.id)
            assert await anext(states) == SERVING
            cluster.halt()
            causes = set()
            while "REFUSED" not in causes:
                causes.add((await refused(stubs.clicks.RecordClick(click_on(url)))).metadata["cause"])
            assert causes <= {"REFUSED", "STOPPING", "CUT_OFF"}
            assert await anext(states) == NOT_SERVING
            assert await state_of(stubs, "") == NOT_SERVING
            cluster.resume()
            assert await anext(states) == SERVING
            assert await state_of(stubs, "") == SERVING
            await stubs.clicks.RecordClick(click_on(url))
    finally:
        cluster.stop()


@on_one_database
async def test_a_file_that_another_process_locks_is_told(database_url: str, tmp_path: Path) -> None:
    async with serving(database_url, tmp_path) as stubs:
        campaign = Campaign(stubs)
        await campaign.link()
        with contextlib.closing(sqlite3.connect(database_url.removeprefix("sqlite:///"), isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            refusal = await refused(campaign.link())
            assert (refusal.reason, refusal.metadata["cause"]) == ("STORE_UNAVAILABLE", "LOCKED")
        await campaign.link()


def said_at_start(url: str, folder: Path) -> str:
    """What a server says that cannot start with this database."""
    with pytest.raises(SystemExit) as ended:
        open_database(Settings(directory=folder, database_url=url))
    said = str(ended.value)
    assert "\n" not in said
    return said


@contextlib.asynccontextmanager
async def watching(stubs: Stubs) -> AsyncIterator[AsyncIterator[int]]:
    """What health says of the database, each time it changes."""
    call = health_pb2_grpc.HealthStub(stubs.channel).Watch(health_pb2.HealthCheckRequest(service="database"), timeout=60)
    yield (response.status async for response in call)
    call.cancel()


async def state_of(stubs: Stubs, name: str) -> int:
    """What health says of a service, or of the server: ''."""
    check = health_pb2_grpc.HealthStub(stubs.channel).Check(health_pb2.HealthCheckRequest(service=name), timeout=60)
    return int((await check).status)


async def until_refused(campaign: Campaign) -> Refused:
    """Makes links until one is refused: what is free in the file is used up first."""
    while True:
        try:
            await campaign.link(text="x" * 20_000)
        except grpc.aio.AioRpcError as error:
            return Refused(error)


def click_on(url: str) -> click_service_pb2.RecordClickRequest:
    return click_service_pb2.RecordClickRequest(click_id=str(uuid7()), token=url.rpartition("/")[2])
