"""The oracle that `make soak` believes: it finds nothing after kills, and finds what was tampered with."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import text

from server.store.database import Database
from tests.soak.kills import kill_again_and_again
from tests.support.campaign import Campaign
from tests.support.databases import on_one_database
from tests.support.house import House
from tests.support.receivers import Receiver, ok
from tests.support.stubs import Stubs

TAMPERED = (
    "DELETE FROM crm_service_request WHERE id = 1",
    "INSERT INTO crm_service_request (person_id, title, priority_id, category_id, owner_id, origin, click_id, create_time)"
    " SELECT person_id, title, priority_id, category_id, owner_id, origin, click_id, create_time FROM crm_service_request WHERE id = 2",
    "DELETE FROM crm_follow_up WHERE id = 1",
    "UPDATE link_count SET clicks = clicks + 1",
    "DELETE FROM crm_membership WHERE person_id = 1",
)


def run(database: Database, statement: str) -> None:
    database.write(lambda connection: connection.execute(text(statement)))


@pytest.fixture
async def receiver(anyio_backend: str) -> AsyncIterator[Receiver]:
    async with Receiver(ok) as opened:
        yield opened


@pytest.fixture
async def server(database_url: str, tmp_path: Path, receiver: Receiver) -> AsyncIterator[House]:
    house = House(tmp_path / "var", database_url, webhook_allow=receiver.pair)
    house.server.start("event='serving'")
    yield house
    house.stop()


@on_one_database
async def test_kills_lose_and_double_nothing_and_the_oracle_would_see_it(database_url: str, receiver: Receiver, server: House) -> None:
    stubs = Stubs(server.address)
    outcome, oracle = await kill_again_and_again(Campaign(stubs), receiver, server.server, kills=1, seed=7)
    assert outcome.problems == []
    assert outcome.tries > outcome.clicks
    database = Database(database_url)
    found: list[str] = []
    for statement in TAMPERED:
        run(database, statement)
        problems = await oracle.problems()
        assert len(problems) > len(found), statement
        found = problems
    database.close()
    receiver.requests.clear()
    assert len(await oracle.events_missing()) == outcome.clicks
    await stubs.channel.close()
