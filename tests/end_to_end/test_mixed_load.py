"""The oracle that `make soak HOURS=1` believes: it finds nothing after seconds of mixed load, and finds what is falsified."""

import time
from pathlib import Path

from sqlalchemy import text

from server.store.database import Database
from tests.soak.memory import Memory, Sample
from tests.soak.mixed import Mix, mixed_load
from tests.soak.subjects import Person, Subject, Ticket
from tests.support.databases import on_one_database
from tests.support.visits import Visited

PATIENT = "5"
FALSIFIED = {
    "UPDATE link_count SET clicks = clicks + 1 WHERE link_id = 1": "link 1, counts: ",
    "UPDATE mailing_count SET clickers = clickers - 1 WHERE mailing_id = 1": "mailing 1, counts: ",
    "UPDATE mailing_link_count SET suspected = suspected + 1 WHERE mailing_id = 1 AND link_id = 2": "mailing 1, link 2, counts: ",
    "UPDATE roll_up SET clicks = clicks + 1 WHERE placement_id = (SELECT max(placement_id) FROM roll_up)": "roll-ups of placement ",
    "UPDATE clicker SET clicks = clicks + 1 WHERE link_id = 2": "link 2, clicker ",
    "DELETE FROM crm_service_request WHERE id = 1": "service requests of person and mailing ",
    "DELETE FROM crm_follow_up": "follow-ups of person ",
    "DELETE FROM crm_membership WHERE person_id = 1": "card of person 1: ",
}
"""What is falsified in the database, and what the oracle has to say of it."""


@on_one_database
async def test_mixed_load_loses_and_doubles_nothing_and_the_oracle_would_see_it(database_url: str, tmp_path: Path) -> None:
    mix = Mix("sqlite", database_url, tmp_path / "var", seconds=3, rate=50, seed=7, people=40, hurry=10, restarts=0)
    async with mixed_load(mix, commit_seconds=PATIENT) as run:
        await run.load()
        assert await run.compare() == []
        assert run.recipients.told.answered == 150
        run.world.ledger.forget_one()
        found = await run.compare(0)
        assert [problem.partition(": ")[2].partition(",")[0] for problem in found] == ["too many"]
        falsify(database_url)
        found = await run.compare(0)
        assert [told for told in FALSIFIED.values() if not any(problem.startswith(told) for problem in found)] == []


def falsify(database_url: str) -> None:
    database = Database(database_url)
    database.write(lambda connection: [connection.execute(text(statement)) for statement in FALSIFIED])
    database.close()


def test_an_answer_is_right_when_its_link_led_there_at_some_moment_of_the_click() -> None:
    now = time.time()
    field = Subject("field", "field")
    ticket = Ticket("token", 1, 1, Person(7, "p7@example.com"), field)

    def is_right(location: str, asked: float, answered: float, away: bool = False) -> bool:
        return field.is_right(Visited(302, location, ""), ticket, True, now + asked, now + answered, away)

    field.begin_edit(now)
    field.end_edit(now)
    field.begin_edit(now + 10)
    field.end_edit(now + 11)
    before, after = "https://example.com/field/1?code=p7&x", "https://example.com/field/2?code=p7&x"
    assert is_right(before, 9, 9.1)
    assert not is_right(after, 9, 9.1)
    assert is_right(before, 10.5, 10.6)
    assert is_right(after, 10.5, 10.6)
    assert is_right(before, 13.9, 14), "a front door may not have heard of the edit yet"
    assert not is_right(before, 14.1, 14.2)
    nobody = "https://example.com/field/2?code=&x"
    assert not is_right(nobody, 15, 15.1)
    assert is_right(nobody, 15, 15.1, away=True)
    assert not is_right("https://example.com/field/2?code=p8&x", 15, 15.1, away=True)


def test_memory_that_grows_by_twenty_megabytes_an_hour_is_told_and_what_wanders_is_not() -> None:
    def watched(per_hour: float) -> list[str]:
        memory = Memory()
        for number in range(360):
            seconds = number * 10.0
            life, warm = number // 120, 40 * (1 - 0.5 ** (number % 120 / 4))
            noise = 3 * ((number * 37) % 11 / 10 - 0.5)
            memory.samples.append(Sample(seconds, 150 + warm + noise + (seconds - life * 1200) * per_hour / 3600, life))
        return memory.problems("server")

    assert watched(0) == []
    assert watched(20) == ["the memory of the server grows by 20 MB an hour"]
