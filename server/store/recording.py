"""The group commit: a batch of clicks, with all that they count and make happen, in one transaction. Runs in the writer thread."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import structlog
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from server.model.action import ActionOutcome
from server.model.click import SeenClick, SpecialLink, click_text
from server.model.crm import Contact
from server.model.errors import DomainError, Reason
from server.model.ids import person_of
from server.model.mailing import PlacementKind
from server.model.recorded_click import RecordedClick, StoredClick
from server.model.script import Unprepared
from server.store.action_runs import ActionRuns, claimed, outcomes_of
from server.store.click_rows import INSERT_CLICK, Interned, NewClick, click_rows, stored_clicks
from server.store.contacts import Contacts, addresses_for, embedded_persons, remote_persons
from server.store.database import Database, without_data
from server.store.destinations import Destination, Destinations
from server.store.forms import fill_forms, filled_again, scripts_heard
from server.store.preparing import shown_without_name, unprepared
from server.store.script_words import INSERT_SAID, said_rows
from server.store.sql import Statements
from server.store.tally import Tally

log = structlog.get_logger()

MOST_WARM = 200
"""Placements that a start reads: those of the newest mailing, most likely."""

Result = RecordedClick | SpecialLink | Unprepared | DomainError


class Recorder:
    """Records batches of clicks in one database. For one thread."""

    def __init__(self, database: Database, clock: Callable[[], datetime], crm_is_remote: bool = False) -> None:
        self._database = database
        self._clock = clock
        self._crm_is_remote = crm_is_remote
        self._destinations = Destinations()
        self._interned = Interned()

    def warm_up(self, click: SeenClick) -> None:
        """Does, and undoes, what such clicks on the newest placements would: what is read and prepared once, recipients do not wait for.

        Raises DomainError.
        """

        def work(connection: Connection) -> None:
            undone = connection.get_transaction()
            newest = Statements(connection).rows("SELECT id FROM placement ORDER BY id DESC LIMIT ?", [MOST_WARM])
            batch = [replace(click, id=click.id[:-2] + number.to_bytes(2), placement_id=row.id) for number, row in enumerate(newest)]
            self._transact(connection, batch, False, True)
            assert undone is not None, "work is done in a transaction"
            undone.rollback()

        try:
            self._database.transaction(work)
        finally:
            self._interned.rolled_back()

    def record(self, batch: Sequence[SeenClick]) -> list[Result]:
        """What became of each click, in order; of those that are answered all is durable when this returns.

        Whether one is stored already is not asked first, since hardly any is: its row is refused, and then all is done again, and asked.
        A batch that fails is halved until the click that makes it fail stands alone. That one is stored with its actions failed: its
        recipient is counted and sent on all the same. If even that fails it is a DEFECT, of this click only. When the database is away
        nothing is halved, and every click is STORE_UNAVAILABLE.
        """
        if any(seen.replayed for seen in batch):
            return self._record(batch)
        try:
            return self._commit(batch, ask_first=False)
        except DomainError as error:
            return [error] * len(batch)
        except Exception:  # one is stored already, or cannot be stored
            return self._record(batch)

    def _record(self, batch: Sequence[SeenClick]) -> list[Result]:
        try:
            return self._commit(batch)
        except DomainError as error:
            return [error] * len(batch)
        except Exception as error:
            if len(batch) == 1:
                return [self._alone(batch[0], error)]
        middle = len(batch) // 2
        return self._record(batch[:middle]) + self._record(batch[middle:])

    def _alone(self, seen: SeenClick, first_error: Exception) -> Result:
        tries = [True, False] if isinstance(first_error, IntegrityError) else [False]  # another server may have been faster: try again
        for effects_allowed in tries:
            try:
                return self._commit([seen], effects_allowed=effects_allowed)[0]
            except DomainError as error:
                return error
            except Exception as error:
                first_error = error
        log.error("click_not_recorded", cause=type(first_error).__name__, exc_info=without_data(first_error))
        return DomainError(Reason.defect, "the click could not be recorded; the server's log says more")

    def _commit(self, batch: Sequence[SeenClick], *, ask_first: bool = True, effects_allowed: bool = True) -> list[Result]:
        try:
            results = self._database.transaction(lambda connection: self._transact(connection, batch, ask_first, effects_allowed))
        except BaseException:
            self._destinations.forget()
            self._interned.rolled_back()
            raise
        self._interned.committed()
        return results

    def _transact(self, connection: Connection, batch: Sequence[SeenClick], ask_first: bool, effects_allowed: bool) -> list[Result]:
        self._interned.rolled_back()  # of a try before this one
        statements = Statements(connection)
        placements = {seen.placement_id for seen in batch}
        destinations = self._destinations.of(statements, placements, self._database.version(connection))
        ask_first = (
            ask_first or self._crm_is_remote or any(found.has_script for found in destinations.values())
        )  # one that waits has no row
        stored = stored_clicks(statements, (seen.id for seen in batch)) if ask_first else {}
        leading = _leading(batch, destinations, stored)
        new = {each.id: NewClick(each, destinations[each.placement_id]) for each in leading.values() if each.id not in stored}

        waiting = unprepared(statements, new.values(), self._crm_is_remote) if ask_first else {}
        if self._crm_is_remote:
            waiting |= shown_without_name((seen for seen in leading.values() if seen.id in stored), stored)
        if waiting:
            new = {click_id: click for click_id, click in new.items() if click_id not in waiting}
        tally = Tally(new.values())
        tally.settle(statements)
        acting = [click for click in new.values() if click.acts and click.destination.link.actions]
        contacts = self._contacts(statements, leading.values(), destinations, stored, acting)
        if not self._crm_is_remote:
            _note_persons_gone(acting, contacts)
        runs = ActionRuns(
            statements,
            acting,
            contacts,
            self._clock(),
            crm_is_remote=self._crm_is_remote,
            effects_allowed=effects_allowed,
            claim=claimed,
        )
        ran = runs.run()
        outcomes = outcomes_of(statements, stored) | ran
        new = scripts_heard(fill_forms(statements, new, contacts.persons), ran)
        stored = filled_again(statements, stored, leading.values(), destinations, contacts.persons) if stored else stored
        rows = click_rows(statements, self._interned, new.values())
        said = said_rows(statements, new.values(), ran)
        with statements.together():
            tally.write(statements)
            runs.write()
            statements.insert(INSERT_CLICK, rows)
            statements.insert(INSERT_SAID, said)
        special = {each: kind for each in placements - destinations.keys() if (kind := self._destinations.special(each)) is not None}
        return _Results(destinations, special, leading, stored, new, waiting, outcomes, runs.for_remote_crm(), contacts.persons).of(batch)

    def _contacts(
        self,
        statements: Statements,
        leading: Collection[SeenClick],
        destinations: Mapping[int, Destination],
        stored: Mapping[bytes, StoredClick],
        acting: Sequence[NewClick],
    ) -> Contacts:
        if self._crm_is_remote:
            persons = remote_persons(leading)
        else:
            persons = embedded_persons(statements, _persons_needed(leading, destinations, stored, acting))
        return Contacts(persons, addresses_for(statements, acting))


def _leading(
    batch: Sequence[SeenClick], destinations: Mapping[int, Destination], stored: Mapping[bytes, StoredClick]
) -> dict[bytes, SeenClick]:
    """Each click once, in order: what came again is compared with it, and gets its answer.

    Of one that stands here twice it is the one that has come furthest: a click that has waited for its script is not to wait once more
    because it has come again meanwhile. What is not the stored click, though it has its id, is none of them.
    """
    leading: dict[bytes, SeenClick] = {}
    for seen in batch:
        before = stored.get(seen.id)
        if seen.placement_id in destinations and (before is None or before.is_of(seen)):
            known = leading.setdefault(seen.id, seen)
            if known is not seen and seen.progress > known.progress:
                leading[seen.id] = seen
    return leading


def _persons_needed(
    leading: Iterable[SeenClick],
    destinations: Mapping[int, Destination],
    stored: Mapping[bytes, StoredClick],
    acting: Iterable[NewClick],
) -> set[int]:
    """Those whose actions run, and those whose answer may name them: a text, or a form."""
    shown = {placement_id for placement_id, destination in destinations.items() if not destination.answer.location}
    needed = {person_of(click.seen.recipient) for click in acting}
    if shown:
        needed |= {person_of(seen.recipient) for seen in leading if seen.placement_id in shown}
    if stored:  # what it was answered by first may be another kind of answer
        needed |= {person_of(seen.recipient) for seen in leading if seen.id in stored and not stored[seen.id].answer.location}
    return needed


def _note_persons_gone(acting: Iterable[NewClick], contacts: Contacts) -> None:
    """Notes which clicks come from scripts that may have read the card of somebody who has been deleted meanwhile."""
    for click in acting:
        if click.seen.prepared and (person_id := person_of(click.seen.recipient)):
            click.person_gone = person_id not in contacts.persons


@dataclass(frozen=True, slots=True)
class _Results:
    """What a transaction knows of its clicks."""

    destinations: Mapping[int, Destination]
    special: Mapping[int, PlacementKind]
    leading: Mapping[bytes, SeenClick]
    stored: Mapping[bytes, StoredClick]
    new: Mapping[bytes, NewClick]
    waiting: Mapping[bytes, Unprepared]
    outcomes: Mapping[bytes, list[ActionOutcome]]
    for_remote_crm: Mapping[bytes, int]
    persons: Mapping[int, Contact]

    def of(self, batch: Sequence[SeenClick]) -> list[Result]:
        """What became of each click, in order."""
        answered: set[bytes] = set(self.stored)
        results: list[Result] = []
        for seen in batch:
            results.append(result := self._of_one(seen, seen.id in answered))
            if isinstance(result, RecordedClick):
                answered.add(seen.id)
        return results

    def _of_one(self, seen: SeenClick, duplicate: bool) -> Result:
        destination = self.destinations.get(seen.placement_id)
        if destination is None:
            kind = self.special.get(seen.placement_id)
            return SpecialLink(kind) if kind else DomainError(Reason.token_invalid, "the token's placement does not exist")
        leading = self.leading.get(seen.id)
        if leading is None or not leading.is_same(seen):  # its answer is another recipient's, or another link's
            text = click_text(seen.id)
            return DomainError(Reason.click_id_reused, f"click {text} is another one, recorded with another token", click_id=text)
        if seen.id in self.waiting:
            return self.waiting[seen.id]
        before = self.stored.get(seen.id)
        person = self.persons.get(person_of(seen.recipient))
        return RecordedClick(
            seen,
            destination.link,
            destination.mailing,
            before,
            duplicate,
            self.outcomes.get(seen.id, []),
            before.answer if before else self.new[seen.id].answer,
            person.name if person else "",
            self.for_remote_crm.get(seen.id, 0),
        )
