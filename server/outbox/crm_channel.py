"""The way out to a remote CRM: actions of many clicks in one call, in their order, each with a key by which the CRM does it once."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog

from server.crm.remote import RemoteCrm
from server.model.action import ActionState
from server.model.crm import Contact, Person
from server.model.crm_actions import CrmAction, CrmResult, EffectsOutcome
from server.model.effects import CrmEffect, SendEvent
from server.model.errors import DomainError
from server.outbox.dispatcher import Tried, untried
from server.outbox.schedule import Schedule
from server.store.action_run import UNKNOWN_PERSON
from server.store.outbox import Leased, Settlement
from server.store.outgoing import CrmTask, crm_task_of

log = structlog.get_logger()

SECONDS = 10.0
"""How long a call to the CRM may take."""

ALTOGETHER = 20.0
"""How long the calls of one attempt may take, with the last one less than a lease."""

POISON = {"INVALID_ARGUMENT", "INTERNAL", "UNKNOWN", "BAD_ANSWER", "OUT_OF_RANGE", "FAILED_PRECONDITION", "NOT_FOUND", "DATA_LOSS"}
"""Answers that may be about one of the actions sent; all others say something about the CRM."""

MOST_POISONED = 3
"""Attempts of an action that the CRM answers with an error when it is sent alone: it keeps what the same person left after it waiting."""


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
        """Tries these rows together. When the CRM does not answer, all come again at one time.

        When it answers with an error, one row may be what it cannot bear: they are halved until that one stands alone. What the same
        person's clicks left after it keeps its place behind it.
        """
        tasks: list[tuple[Leased, CrmTask]] = []
        unread: list[Tried] = []
        for row in rows:
            try:
                tasks.append((row, crm_task_of(row.payload)))
            except (ValueError, KeyError) as error:  # a version that is gone wrote it, or one that is to come
                log.error("outbox_row_unreadable", action_id=row.action_id, exc_info=error)
                unread.append(Tried(Settlement(row, ActionState.dead, "This version does not know the action"), None))
        attempt = _Attempt(asyncio.get_running_loop().time() + ALTOGETHER, {})
        return [*unread, *await self._try(tasks, attempt)]

    async def _try(self, tasks: Sequence[tuple[Leased, CrmTask]], attempt: "_Attempt") -> list[Tried]:
        waiting = [Tried(untried(row, attempt.held[row.recipient]), None) for row, _ in tasks if row.recipient in attempt.held]
        tasks = [(row, task) for row, task in tasks if row.recipient not in attempt.held]
        if not tasks:
            return waiting
        left = attempt.deadline - asyncio.get_running_loop().time()
        if left <= 0:
            return [*waiting, *(Tried(untried(row, self._clock()), None) for row, _ in tasks)]
        try:
            return [*waiting, *await self._applied(tasks, min(SECONDS, left))]
        except DomainError as error:
            poison = error.metadata.get("code") in POISON
            if poison and len(tasks) > 1:
                middle = len(tasks) // 2
                return [*waiting, *await self._try(tasks[:middle], attempt), *await self._try(tasks[middle:], attempt)]
            now, chance = self._clock(), self._chance()
            again = [self._again(row, error.message, poison, now, chance) for row, _ in tasks]
            attempt.held |= {each.leased.recipient: each.next_time for each in again if each.next_time}
            return [*waiting, *(Tried(each, None if poison else False) for each in again)]

    async def _applied(self, tasks: Sequence[tuple[Leased, CrmTask]], seconds: float) -> list[Tried]:
        persons, unknown = await self._crm.persons(sorted({task.occasion.person.id for _, task in tasks}), seconds)
        decided = [_decided(task, persons, unknown) for _, task in tasks]
        wanted = [each for each in decided if isinstance(each, CrmAction)]
        results = iter(await self._crm.apply(wanted, seconds) if wanted else [])
        ended = [next(results) if isinstance(each, CrmAction) else each for each in decided]
        return [Tried(_settlement(row, result), True) for (row, _), result in zip(tasks, ended, strict=True)]

    def _again(self, row: Leased, problem: str, poison: bool, now: datetime, chance: float) -> Settlement:
        last = poison and row.schedule_step + 1 >= MOST_POISONED
        next_time = None if last else self._schedule.next_time(row.schedule_step, now, chance)
        return Settlement(row, ActionState.retrying if next_time else ActionState.dead, problem, next_time)


@dataclass(slots=True)
class _Attempt:
    """Until when an attempt may go on, and who has to wait until when, because something of theirs is tried again."""

    deadline: float
    held: dict[int, datetime]


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
