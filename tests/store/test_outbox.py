"""The outbox: who may try what, in which order, and what is left when a result comes late. On each kind of database."""

from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest
from uuid_utils import uuid7

from server.model.action import ActionState
from server.store import outbox
from server.store.database import Database
from server.store.outbox import Leased, OutboxStore, Settlement
from server.store.outgoing import NEVER, REMOTE_CRM, Outgoing, insert_outgoing
from server.store.sql import Statements
from tests.support.databases import cost_of

NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
EACH = timedelta(seconds=30)
HOOK = "https://example.com:443"


class Setup:
    """An outbox, and the action runs that its rows belong to."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.outbox = OutboxStore(database)
        self._action_ids = count(1)

    def click(self, *destinations: str, recipient: int = 2, action_id: int = 0) -> bytes:
        """A click with an action for each destination, each of which is claimed in the ledger; its id."""
        click_id = uuid7().bytes
        rows = [
            Outgoing(click_id, position, action_id or next(self._action_ids), 1, 0, recipient, 0, destination, "{}")
            for position, destination in enumerate(destinations)
        ]

        def work(connection: Any) -> None:
            statements = Statements(connection)
            insert_outgoing(statements, rows, NOW)
            key = statements.click_id(click_id)
            statements.each(
                "INSERT INTO action_run (click_id, position, action_id, state) VALUES (?, ?, ?, 4)",
                [(key, row.position, row.action_id) for row in rows],
            )
            statements.each(
                "INSERT INTO ledger (action_id, recipient, scope, click_id) VALUES (?, ?, 0, ?)",
                [(row.action_id, recipient, key) for row in rows],
            )

        self.database.write(work)
        return click_id

    def lease(self, destination: str = REMOTE_CRM, most: int = 100, now: datetime = NOW) -> list[Leased]:
        return self.outbox.lease(destination, most, now, EACH)

    def settle(self, rows: Sequence[Leased], state: ActionState, now: datetime = NOW, **fields: Any) -> None:
        self.outbox.settle([Settlement(row, state, **fields) for row in rows], now)

    def claims(self) -> int:
        return self.database.read(lambda connection: int(connection.exec_driver_sql("SELECT count(*) FROM ledger").scalar_one()))

    def states(self, click_id: bytes) -> list[int]:
        def work(connection: Any) -> list[int]:
            statements = Statements(connection)
            rows = statements.matching(
                "SELECT state FROM action_run WHERE click_id IN", [statements.click_id(click_id)], " ORDER BY position"
            )
            return [row.state for row in rows]

        return self.database.read(work)


@pytest.fixture
def setup(database: Database) -> Setup:
    return Setup(database)


few_or_many = pytest.mark.parametrize("many", [1, outbox.MANY])
"""Rows of a CRM are found in another way when many wait."""


def keys(rows: Sequence[Leased]) -> list[tuple[bytes, int]]:
    return [row.key for row in rows]


@few_or_many
def test_rows_of_a_crm_go_in_the_order_of_clicks_and_actions_also_after_they_failed(
    setup: Setup, monkeypatch: pytest.MonkeyPatch, many: int
) -> None:
    monkeypatch.setattr(outbox, "MANY", many)
    first, second = setup.click(REMOTE_CRM, REMOTE_CRM), setup.click(REMOTE_CRM)
    (probe,) = setup.lease(most=1)
    setup.settle([probe], ActionState.retrying, next_time=NOW + timedelta(seconds=5))
    assert setup.lease() == []
    later = NOW + timedelta(seconds=5)
    assert keys(setup.lease(most=1, now=later)) == [(first, 0)]
    assert setup.lease(now=later) == []
    again = later + EACH
    assert keys(setup.lease(now=again)) == [(first, 0), (first, 1), (second, 0)]


@few_or_many
def test_one_persons_trouble_holds_up_nobody_else_in_a_crm(setup: Setup, monkeypatch: pytest.MonkeyPatch, many: int) -> None:
    monkeypatch.setattr(outbox, "MANY", many)
    setup.click(REMOTE_CRM, recipient=2)
    other = setup.click(REMOTE_CRM, recipient=4)
    later_of_first = setup.click(REMOTE_CRM, recipient=2)
    (row,) = setup.lease(most=1)
    setup.settle([row], ActionState.retrying, next_time=NOW + timedelta(seconds=5))
    assert keys(setup.lease()) == [(other, 0)]
    setup.settle(setup.lease(now=NOW + timedelta(seconds=5), most=1), ActionState.dead)
    assert keys(setup.lease(now=NOW + timedelta(seconds=5))) == [(later_of_first, 0)]


@pytest.mark.parametrize("analyzed", [False, True])
@pytest.mark.parametrize("destination", [REMOTE_CRM, HOOK])
def test_a_lease_costs_no_more_when_more_waits(database_url: str, destination: str, analyzed: bool) -> None:
    """It did: the square of what waited, so that SQLite's writer stood still when a CRM had been away for minutes."""
    costs = []
    for more in (500, 1500):
        with closing(Database(database_url)) as database:
            rows = [Outgoing(uuid7().bytes, 0, 1, 1, 0, 2 * number, 0, destination, "{}") for number in range(more)]
            database.write(lambda connection, rows=rows: insert_outgoing(Statements(connection), rows, NOW))  # type: ignore[misc]
            oldest = "SELECT click_id FROM outbox ORDER BY click_id LIMIT (SELECT count(*) / 2 FROM outbox)"
            kill = f"UPDATE outbox SET state = 6, next_time = {NEVER} WHERE click_id IN ({oldest})"
            database.write(lambda connection, kill=kill: connection.exec_driver_sql(kill))  # type: ignore[misc]
            if analyzed:
                database.write(lambda connection: connection.exec_driver_sql("ANALYZE"))
        costs.append(cost_of(database_url, lambda database: OutboxStore(database).lease(destination, 20, NOW, EACH)))
    if database_url.startswith("sqlite"):
        assert costs[1] < 1.5 * costs[0], costs
    else:  # the statistics may make it read all that waits, and never for each row again
        assert costs[1] < 5 * 2000, costs


def test_webhooks_of_a_click_wait_for_the_first_attempt_of_those_before_and_no_longer(setup: Setup) -> None:
    click_id = setup.click(HOOK, HOOK, "https://other.example:443")
    (first,) = setup.lease(HOOK, most=1)
    assert setup.lease(HOOK) == []
    assert keys(setup.lease("https://other.example:443")) == [(click_id, 2)]
    setup.settle([first], ActionState.retrying, next_time=NOW + timedelta(hours=1))
    assert keys(setup.lease(HOOK)) == [(click_id, 1)]


def test_a_result_that_comes_after_its_lease_was_given_to_another_changes_nothing(setup: Setup) -> None:
    click_id = setup.click(HOOK)
    late = setup.lease(HOOK)
    assert setup.lease(HOOK) == []
    other = setup.lease(HOOK, now=NOW + EACH)
    assert keys(other) == [(click_id, 0)]
    setup.settle(late, ActionState.done, now=NOW + EACH)
    assert setup.states(click_id) == [ActionState.waiting]
    setup.settle(other, ActionState.retrying, now=NOW + EACH, next_time=NOW + EACH)
    assert setup.states(click_id) == [ActionState.retrying]
    (again,) = setup.lease(HOOK, now=NOW + EACH)
    assert again.attempts == 1
    setup.settle([again], ActionState.done)
    assert setup.states(click_id) == [ActionState.done]
    assert setup.outbox.destinations() == []


def test_what_was_leased_and_not_tried_counts_as_no_attempt(setup: Setup) -> None:
    click_id = setup.click(HOOK)
    setup.settle(setup.lease(HOOK), ActionState.waiting, next_time=NOW, tried=False)
    (row,) = setup.lease(HOOK)
    assert (row.attempts, row.schedule_step, setup.states(click_id)) == (0, 0, [ActionState.waiting])


@pytest.mark.parametrize(("state", "claims"), [("done", 2), ("skipped", 1), ("failed", 1), ("retrying", 2), ("dead", 2)])
def test_what_did_not_happen_gives_back_what_its_repeat_policy_had_taken(setup: Setup, state: str, claims: int) -> None:
    setup.click(HOOK)
    setup.click("https://other.example:443")
    setup.settle(setup.lease(HOOK), ActionState[state], next_time=NOW)
    assert setup.claims() == claims


def test_dead_runs_are_buried_and_tried_again_slice_by_slice(setup: Setup) -> None:
    clicks = [setup.click(HOOK, recipient=2 * number) for number in range(1, 6)]
    setup.outbox.bury(HOOK, NOW, NOW)
    assert {state for click_id in clicks for state in setup.states(click_id)} == {ActionState.waiting}
    later = NOW + timedelta(days=5)
    setup.outbox.bury(HOOK, NOW + timedelta(days=1), later)
    assert {state for click_id in clicks for state in setup.states(click_id)} == {ActionState.dead}
    assert setup.lease(HOOK, now=later) == []
    assert setup.outbox.retry(0, 0, clicks[0], 0, later) == 1
    assert setup.outbox.retry(0, 0, None, 0, later) == 4
    assert setup.outbox.retry(0, 0, None, 0, later) == 0
    setup.outbox.bury(HOOK, NOW + timedelta(days=1), later)
    assert len(setup.lease(HOOK, now=later)) == 5


def test_a_receiver_that_is_gone_takes_what_waits_for_it_along(setup: Setup) -> None:
    first, second = setup.click(HOOK, action_id=7), setup.click(HOOK, recipient=4, action_id=7)
    (row,) = setup.lease(HOOK, most=1)
    setup.settle([row], ActionState.dead, reason="answered 410", gone="https://example.com/")
    assert setup.states(first) == setup.states(second) == [ActionState.dead]
    (receiver,) = setup.outbox.receivers(None, 10).items
    assert (receiver.address, receiver.dead_count, receiver.last_error) == (HOOK, 2, "answered 410")


def test_receivers_are_listed_in_pages_with_the_time_of_their_oldest_click(setup: Setup) -> None:
    for number in range(5):
        setup.click(f"https://{number}.example:443")
    page = setup.outbox.receivers(None, 3)
    assert [each.address for each in page.items] == [f"https://{number}.example:443" for number in range(3)]
    rest = setup.outbox.receivers(page.next_key, 3)
    assert [each.address for each in rest.items] == [f"https://{number}.example:443" for number in range(3, 5)]
    assert rest.next_key is None
    assert setup.outbox.destinations() == [f"https://{number}.example:443" for number in range(5)]
