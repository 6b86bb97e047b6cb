"""Every write of the service beside every other, on the same few rows of PostgreSQL and from two servers: none waits for one that waits
for it.

`ROUNDS=50 pytest tests/rpc/test_writes_at_once.py` looks for longer.
"""

import asyncio
import itertools
import os
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import grpc
import psycopg
import pytest

from server.store.database import Database
from server.store.migrate import migrate
from server.store.resets import ResetStore
from tests.support.postgres import Postgres
from tests.support.server import serving
from tests.support.stubs import Stubs
from tests.support.writes import Write, every_write, few

ROUNDS = int(os.environ.get("ROUNDS", "2"))
MOST_ROUNDS = 10 * ROUNDS
WORKERS = 10

FAULTS = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.DEADLINE_EXCEEDED}
"""What no caller may be answered because another one writes. That a link was deleted meanwhile is no fault."""

_LINGERING = """
CREATE FUNCTION linger() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  PERFORM pg_sleep(0.0002); IF TG_OP = 'DELETE' THEN RETURN OLD; END IF; RETURN NEW;
END $$;
DO $$ DECLARE name text; BEGIN
  FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'alembic_version' LOOP
    EXECUTE format('CREATE TRIGGER linger BEFORE INSERT OR UPDATE OR DELETE ON %I FOR EACH ROW EXECUTE FUNCTION linger()', name);
  END LOOP;
END $$
"""
"""Each row that a transaction changes is held a moment before it takes the next: an order that is wrong is then seen."""


@pytest.fixture
def lingering(postgres: Postgres) -> str:
    """The URL of a migrated PostgreSQL database whose transactions take their time, and where a deadlock is found soon."""
    name = postgres.create()
    url = postgres.url(name)
    with closing(Database(url)) as database:
        migrate(database)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(_LINGERING)
        connection.execute(f"ALTER DATABASE {name} SET deadlock_timeout = '50ms'".encode())
    return url


class Meeting:
    """Writes that run at once, which of them have not met yet, and what went wrong."""

    def __init__(self, writes: dict[str, Write], servers: Sequence[Stubs]) -> None:
        self._writes = writes
        self._servers = servers
        self._running: Counter[str] = Counter()
        self._numbers = itertools.count()
        self.have_not_met = {_pair(*two) for two in itertools.combinations_with_replacement(writes, 2)}
        self.faults: Counter[str] = Counter()

    async def rounds(self, dice: random.Random) -> None:
        """Each worker runs every write a few times, in an order of its own, until all have met."""
        for played in itertools.count(1):
            await asyncio.gather(*(self._round(worker, dice.sample(list(self._writes), len(self._writes))) for worker in range(WORKERS)))
            if played == MOST_ROUNDS or (played >= ROUNDS and not self.have_not_met):
                return

    async def _round(self, worker: int, names: Sequence[str]) -> None:
        for name in names:
            self.have_not_met -= {_pair(name, other) for other in +self._running}
            self._running[name] += 1
            try:
                await self._writes[name](self._servers[worker % len(self._servers)], next(self._numbers))
            except grpc.aio.AioRpcError as error:
                if error.code() in FAULTS:
                    self.faults[f"{name}: {error.code().name} {error.details()}"] += 1
            finally:
                self._running[name] -= 1


def _pair(one: str, other: str) -> tuple[str, str]:
    return (one, other) if one < other else (other, one)


def deadlocks(url: str) -> int:
    """How many the database has broken by ending a transaction. A server tries that one again, so that nobody hears of it."""
    with psycopg.connect(url, autocommit=True) as connection:
        (found,) = connection.execute("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()").fetchone() or (0,)
    return int(found)


@pytest.fixture
def resets(lingering: str) -> Iterator[ResetStore]:
    with closing(Database(lingering)) as database:
        yield ResetStore(database)


async def test_no_two_writes_wait_for_each_other(lingering: str, resets: ResetStore, tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    settings: dict[str, Any] = {"webhook_allow": "127.0.0.1:1", "retry_seconds": "0.01,0.01"}
    async with serving(lingering, tmp_path, **settings) as one, serving(lingering, tmp_path, **settings) as other:
        rows = await few(one, "https://127.0.0.1:1/hook")
        swept = {"what resets leave": lambda _stubs, _number: asyncio.to_thread(resets.sweep)}
        meeting = Meeting(every_write(rows) | swept, [one, other])
        await meeting.rounds(random.Random(seed))
    assert (dict(meeting.faults), deadlocks(lingering)) == ({}, 0), f"with seed {seed}"
    assert not meeting.have_not_met
