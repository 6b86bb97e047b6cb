"""Applies in the embedded CRM what callers ask for: each action wholly or not at all, and once by its key."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import chain

import structlog
from sqlalchemy import Connection
from sqlalchemy.exc import DataError, IntegrityError

from server.model.crm import Catalog
from server.model.crm_actions import NOT_TAKEN, CrmAction, CrmResult, EffectsOutcome
from server.model.effects import CrmEffect, MakeFollowUp, MakeServiceRequest, SetExtraField, SetMembership
from server.store.card_room import CARD_FULL, CardRoom
from server.store.crm_effects import apply
from server.store.crm_entries import existing
from server.store.database import Database, without_data
from server.store.sql import Statements
from server.store.types import to_microseconds

log = structlog.get_logger()

KEPT = timedelta(days=30)
"""How long a key is remembered at least. Source: crm_service.proto, ApplyEffects."""

MOST_REMOVED = 1000
"""Keys older than that which one request removes, so that none waits long for it."""

MOST_AT_ONCE = 250
"""Actions and their effects in one transaction: between two of them the writer takes the clicks that wait."""

MOST_NAMED = 8
"""Ids in one reason, which has at most 300 characters."""

_REFUSALS = (DataError, IntegrityError, OverflowError, UnicodeError)
"""What a database or its driver raises for a value that it does not take."""

_Reference = tuple[Catalog, int]


def apply_actions(database: Database, actions: Sequence[CrmAction], now: datetime) -> list[CrmResult]:
    """What became of each action, in order; what was applied is durable. Raises STORE_UNAVAILABLE, and then nothing is known.

    Some share a transaction. When the database refuses a value they are halved until the action that it stands in is alone.
    """
    if len(actions) > 1 and sum(len(action.effects) + 1 for action in actions) > MOST_AT_ONCE:
        return _halved(database, actions, now)
    try:
        return database.write(lambda connection: _transact(connection, actions, now))
    except _REFUSALS as error:
        if len(actions) == 1:
            log.warning("effects_not_taken", key=actions[0].key, cause=type(error).__name__, exc_info=without_data(error))
            return [CrmResult(EffectsOutcome.refused, NOT_TAKEN)]
    return _halved(database, actions, now)


def _halved(database: Database, actions: Sequence[CrmAction], now: datetime) -> list[CrmResult]:
    middle = len(actions) // 2
    return apply_actions(database, actions[:middle], now) + apply_actions(database, actions[middle:], now)


def _transact(connection: Connection, actions: Sequence[CrmAction], now: datetime) -> list[CrmResult]:
    statements = Statements(connection)
    known = {row.key for row in statements.matching(_SELECT_KEYS, sorted({action.key for action in actions}))}
    # Persons before entries, as clicks lock them: the other way round the two would wait for each other.
    person_ids = sorted({action.person_id for action in actions})
    persons = {row.id for row in statements.matching(_SELECT_PERSONS, person_ids, statements.for_share("id"))}
    named = [list(dict.fromkeys(_references(action.effects))) for action in actions]
    entries = existing(connection, {reference for some in named for reference in some}, locked=True)

    changes = [
        [(each.person_id, each.field, bool(each.value)) for each in action.effects if isinstance(each, SetExtraField)] for action in actions
    ]
    room = CardRoom(statements, chain.from_iterable(changes))

    results: list[CrmResult] = []
    new: dict[str, CrmAction] = {}
    for action, references, fields in zip(actions, named, changes, strict=True):
        if action.key in known or action.key in new:
            results.append(CrmResult(EffectsOutcome.applied))
        elif action.person_id not in persons:
            results.append(CrmResult(EffectsOutcome.person_unknown))
        elif gone := [reference for reference in references if reference not in entries]:
            results.append(CrmResult(EffectsOutcome.refused, _missing(gone)))
        elif not room.takes(fields):
            results.append(CrmResult(EffectsOutcome.refused, CARD_FULL))
        else:
            new[action.key] = action
            results.append(CrmResult(EffectsOutcome.applied))
    _apply_new(statements, new, to_microseconds(now))
    statements.each(_remove_old(statements), [(to_microseconds(now - KEPT), MOST_REMOVED)])
    return results


def _apply_new(statements: Statements, new: Mapping[str, CrmAction], now: int) -> None:
    """Applies those whose keys nobody has written meanwhile: of two requests at once, the second waits here for the first."""
    claims = [(key, now) for key in sorted(new)]
    won = {row.key for row in statements.inserted(_CLAIM, claims, _CLAIM_END)}
    apply(statements, [effect for key, action in new.items() if key in won for effect in action.effects])


def _references(effects: Iterable[CrmEffect]) -> Iterator[_Reference]:
    """The entries that these effects name."""
    for effect in effects:
        named: list[_Reference] = []
        match effect:
            case SetExtraField():
                pass
            case SetMembership(_, catalog, entry_id, _):
                named = [(catalog, entry_id)]
            case MakeFollowUp(made):
                named = [(Catalog.task_type, made.task_type_id), (Catalog.project, made.project_id)]
                named += [(Catalog.user, made.created_by), (Catalog.user, made.assigned_to)]
            case MakeServiceRequest(case):
                named = [(Catalog.priority, case.priority_id), (Catalog.category, case.category_id), (Catalog.user, case.owner_id)]
        yield from (reference for reference in named if reference[1])


def _missing(gone: Sequence[_Reference]) -> str:
    words = [f"{catalog.value.replace('_', ' ')} {entry_id}" for catalog, entry_id in gone[:MOST_NAMED]]
    return f"No longer in the CRM: {', '.join(words)}"


def _remove_old(statements: Statements) -> str:
    skipping = "" if statements.is_sqlite else " FOR UPDATE SKIP LOCKED"  # those that another request removes at the same time
    return f"DELETE FROM crm_applied WHERE key IN (SELECT key FROM crm_applied WHERE time < ? ORDER BY time LIMIT ?{skipping})"


_SELECT_KEYS = "SELECT key FROM crm_applied WHERE key IN"
_SELECT_PERSONS = "SELECT id FROM crm_person WHERE id IN"
_CLAIM = "INSERT INTO crm_applied (key, time)"
_CLAIM_END = "ON CONFLICT DO NOTHING RETURNING key"
