"""The way out to a remote CRM: what one bad action, and a CRM that is away, do to the others of a batch."""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta

import pytest

from server.actions.set_field import SetField
from server.crm.references import Reference
from server.model.action import Occasion
from server.model.crm import Contact, Person
from server.model.crm_actions import CrmAction, CrmResult, EffectsOutcome
from server.model.errors import DomainError, Reason
from server.outbox.crm_channel import MOST_POISONED, CrmChannel
from server.outbox.schedule import Schedule
from server.store.outbox import Leased
from server.store.outgoing import REMOTE_CRM, crm_payload

NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
APPLIED = CrmResult(EffectsOutcome.applied)


class Crm:
    """A CRM that applies what it is sent, but for the persons whom it cannot bear."""

    def __init__(self, code: str, *bad: int) -> None:
        self.code = code
        self.bad = set(bad)
        self.calls = 0
        self.applied: list[str] = []

    async def persons(self, ids: Sequence[int], seconds: float) -> tuple[dict[int, Person], set[int]]:
        return {person_id: Person(id=person_id, name=f"Person {person_id}") for person_id in ids}, set()

    async def apply(self, actions: Sequence[CrmAction], seconds: float) -> list[CrmResult]:
        self.calls += 1
        if any(action.person_id in self.bad for action in actions):
            raise DomainError(Reason.crm_unavailable, "the CRM failed", code=self.code)
        self.applied += [action.key for action in actions]
        return [APPLIED] * len(actions)

    def missing(self, references: Collection[Reference]) -> set[Reference]:
        return set()


def row(number: int, person_id: int, step: int = 0, payload: str = "") -> Leased:
    occasion = Occasion(f"click{number}", number, NOW, Contact(person_id, "", 0), 1, "Link", 0, "")
    task = payload or crm_payload(SetField(field="f", value="v"), occasion)
    return Leased(bytes([number]) * 16, 0, 1, number, 2 * person_id, None, REMOTE_CRM, task, step, step, "", None)


async def delivered(crm: Crm, rows: Sequence[Leased]) -> dict[int, tuple[str, bool]]:
    """What became of each row by its number, and whether that was an attempt."""
    tried = await CrmChannel(crm, Schedule(), lambda: NOW, lambda: 0.5).deliver(rows)
    assert sorted(each.settlement.leased.action_id for each in tried) == [each.action_id for each in rows]
    return {each.settlement.leased.action_id: (each.settlement.state.name, each.settlement.tried) for each in tried}


async def test_one_action_that_the_crm_cannot_bear_stands_alone_and_what_follows_of_its_person_waits() -> None:
    crm = Crm("INTERNAL", 2)
    rows = [row(1, 1), row(2, 2), row(3, 3), row(4, 2), row(5, 1)]
    done = ("done", True)
    assert await delivered(crm, rows) == {1: done, 2: ("retrying", True), 3: done, 4: ("waiting", False), 5: done}
    assert crm.applied == ["click1_1", "click3_3", "click5_5"]


@pytest.mark.parametrize("code", ["UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "UNAUTHENTICATED", "UNIMPLEMENTED"])
async def test_a_crm_that_is_away_is_asked_once_and_everything_comes_again_at_one_time(code: str) -> None:
    crm = Crm(code, 2)
    tried = await CrmChannel(crm, Schedule(), lambda: NOW, lambda: 0.5).deliver([row(number, number) for number in range(1, 100)])
    assert crm.calls == 1
    assert {each.settlement.next_time for each in tried} == {NOW + timedelta(seconds=5)}
    assert {each.receiver_well for each in tried} == {False}


async def test_an_action_that_the_crm_cannot_bear_is_dead_after_a_few_attempts() -> None:
    assert await delivered(Crm("INTERNAL", 1), [row(1, 1, step=MOST_POISONED - 2)]) == {1: ("retrying", True)}
    assert await delivered(Crm("INTERNAL", 1), [row(1, 1, step=MOST_POISONED - 1)]) == {1: ("dead", True)}


async def test_a_row_that_this_version_cannot_read_is_dead_and_holds_up_nobody() -> None:
    found = await delivered(Crm("INTERNAL"), [row(1, 1, payload="{}"), row(2, 2), row(3, 3, payload="no JSON")])
    assert found == {1: ("dead", True), 2: ("done", True), 3: ("dead", True)}
