"""The way out to a remote CRM: actions of many clicks in one call, in their order, each with a key by which the CRM does it once."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol

from server.model.action import ActionState
from server.model.crm import Contact, Person
from server.model.crm_actions import CrmAction, CrmResult, EffectsOutcome
from server.model.effects import CrmEffect, SendEvent
from server.model.errors import DomainError
from server.outbox.dispatcher import Tried
from server.outbox.schedule import Schedule
from server.store.action_runs import UNKNOWN_PERSON
from server.store.outbox import Leased, Settlement
from server.store.outgoing import CrmTask, crm_task_of

SECONDS = 10.0
"""How long a call to the CRM may take."""

_AWAY = ("UNAVAILABLE", "DEADLINE_EXCEEDED")
"""Answers that say nothing about what was asked."""


class RemoteCrm(Protocol):
    """What is asked of a remote CRM."""

    async def persons(self, ids: Sequence[int], seconds: float) -> tuple[dict[int, Person], set[int]]:
        """The cards of these persons, and which of them it does not know. Raises CRM_UNAVAILABLE."""

    async def apply(self, actions: Sequence[CrmAction], seconds: float) -> list[CrmResult]:
        """Makes what actions want happen, in order; what became of each. Raises CRM_UNAVAILABLE."""


class CrmChannel:
    """Has a remote CRM do what clicks made happen: one call at a time, so that their order is kept."""

    most_under_way = 200
    together = True

    def __init__(self, crm: RemoteCrm, schedule: Schedule, clock: Callable[[], datetime], chance: Callable[[], float]) -> None:
        """`chance` gives numbers from 0 to 1, for jitter."""
        self._crm = crm
        self._schedule = schedule
        self._clock = clock
        self._chance = chance

    async def deliver(self, rows: Sequence[Leased]) -> Sequence[Tried]:
        """Tries these rows together. When the CRM does not answer, all come again at one time, so that their order is kept.

        When it answers with an error, one row may be what it cannot bear: they are halved until that one stands alone.
        """
        try:
            return await self._applied(rows)
        except DomainError as error:
            if len(rows) > 1 and error.metadata.get("code") not in _AWAY:
                middle = len(rows) // 2
                return [*await self.deliver(rows[:middle]), *await self.deliver(rows[middle:])]
            now, chance = self._clock(), self._chance()
            return [Tried(self._again(row, error.message, now, chance), False) for row in rows]

    async def _applied(self, rows: Sequence[Leased]) -> list[Tried]:
        tasks = [crm_task_of(row.payload) for row in rows]
        persons, unknown = await self._crm.persons(sorted({task.occasion.person.id for task in tasks}), SECONDS)
        decided = [_decided(task, persons, unknown) for task in tasks]
        wanted = [each for each in decided if isinstance(each, CrmAction)]
        results = iter(await self._crm.apply(wanted, SECONDS) if wanted else [])
        ended = [next(results) if isinstance(each, CrmAction) else each for each in decided]
        return [Tried(_settlement(row, result), True) for row, result in zip(rows, ended, strict=True)]

    def _again(self, row: Leased, problem: str, now: datetime, chance: float) -> Settlement:
        next_time = self._schedule.next_time(row.schedule_step, now, chance)
        return Settlement(row, ActionState.retrying if next_time else ActionState.dead, problem, next_time)


def _decided(task: CrmTask, persons: dict[int, Person], unknown: set[int]) -> CrmAction | CrmResult:
    """What the action wants to happen for the person as the card is now, or why nothing does."""
    person_id = task.occasion.person.id
    card = persons.get(person_id)
    if card is None or person_id in unknown:
        return CrmResult(EffectsOutcome.person_unknown)
    contact = Contact(card.id, card.name, card.our_contact_id, card.email)
    if refusal := task.kind.refusal(contact):
        return CrmResult(EffectsOutcome.refused, refusal)
    return CrmAction(task.occasion.key, person_id, _effects(task, contact))


def _effects(task: CrmTask, contact: Contact) -> list[CrmEffect]:
    effects = task.kind.effects(task.occasion.of(contact))
    return [effect for effect in effects if not isinstance(effect, SendEvent)]


def _settlement(row: Leased, result: CrmResult) -> Settlement:
    match result.outcome:
        case EffectsOutcome.applied:
            return Settlement(row, ActionState.done)
        case EffectsOutcome.person_unknown:
            return Settlement(row, ActionState.skipped, UNKNOWN_PERSON)
        case EffectsOutcome.refused:
            return Settlement(row, ActionState.failed, result.reason)
