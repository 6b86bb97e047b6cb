"""The group commit: a batch of clicks, with all that they count and make happen, in one transaction. Runs in the writer thread."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, IntegrityError

from server.model.action import ActionOutcome
from server.model.click import Click, RecordedClick, SeenClick
from server.model.crm import Contact
from server.model.errors import DomainError, Reason
from server.model.ids import person_of
from server.store.action_runs import ActionRuns, click_text, outcomes_of, persons_of
from server.store.click_rows import Interned, NewClick, StoredClick, insert_clicks, stored_clicks
from server.store.database import Database
from server.store.destinations import Destination, Destinations
from server.store.sql import Statements
from server.store.tally import Tally

Result = RecordedClick | DomainError


class Recorder:
    """Records batches of clicks in one database. For one thread."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._destinations = Destinations()
        self._interned = Interned()

    def record(self, batch: Sequence[SeenClick]) -> list[Result]:
        """What became of each click, in order; when this returns, all of it is durable.

        Raises STORE_UNAVAILABLE when nothing could be stored. A batch that the data of one click makes fail is halved until that click
        stands alone, and then it is stored with its actions failed: its recipient is counted and sent on all the same.
        """
        try:
            return self._commit(batch, effects_allowed=True)
        except IntegrityError:
            pass  # another server may have been faster with one of them: its rows are seen when it is tried again
        except DBAPIError:
            if len(batch) == 1:
                return self._commit(batch, effects_allowed=False)
        if len(batch) > 1:
            middle = len(batch) // 2
            return self.record(batch[:middle]) + self.record(batch[middle:])
        try:
            return self._commit(batch, effects_allowed=True)
        except DBAPIError:
            return self._commit(batch, effects_allowed=False)

    def _commit(self, batch: Sequence[SeenClick], effects_allowed: bool) -> list[Result]:
        try:
            results = self._database.transaction(lambda connection: self._transact(connection, batch, effects_allowed))
        except BaseException:
            self._destinations.forget()
            self._interned.rolled_back()
            raise
        self._interned.committed()
        return results

    def _transact(self, connection: Connection, batch: Sequence[SeenClick], effects_allowed: bool) -> list[Result]:
        self._interned.rolled_back()  # of a try before this one
        statements = Statements(connection)
        destinations = self._destinations.of(statements, (seen.placement_id for seen in batch))
        stored = stored_clicks(statements, (seen.id for seen in batch))
        new = _new(batch, destinations, stored)

        _count(statements, new.values())
        acting = [click for click in new.values() if click.counts and click.destination.link.actions]
        persons = persons_of(statements, _persons_needed(batch, destinations, acting))
        outcomes = outcomes_of(statements, stored) | ActionRuns(statements, acting, persons, effects_allowed).run()
        insert_clicks(statements, self._interned, list(new.values()))
        return _Results(destinations, stored, new, outcomes, persons).of(batch)


def _new(batch: Sequence[SeenClick], destinations: Mapping[int, Destination], stored: Mapping[bytes, StoredClick]) -> dict[bytes, NewClick]:
    """The clicks that are neither stored nor stand here twice, in order."""
    new: dict[bytes, NewClick] = {}
    for seen in batch:
        destination = destinations.get(seen.placement_id)
        if destination is not None and seen.id not in stored:
            new.setdefault(seen.id, NewClick(seen, destination))
    return new


def _count(statements: Statements, new: Iterable[NewClick]) -> None:
    clicks = list(new)
    tally = Tally()
    tally.know(statements, ((click.destination, click.seen.identity) for click in clicks if click.counts))
    for click in clicks:
        if click.counts:
            tally.count(click.seen, click.destination, click.seen.identity)
        elif click.is_suspected:
            tally.suspect(click.seen, click.destination)
    tally.write(statements)


def _persons_needed(batch: Sequence[SeenClick], destinations: Mapping[int, Destination], acting: Sequence[NewClick]) -> set[int]:
    """Those whose actions run, and those who are shown a text that may name them."""
    shown = (seen for seen in batch if (found := destinations.get(seen.placement_id)) is not None and found.answer.text)
    return {person_of(seen.recipient) for seen in shown} | {person_of(click.seen.recipient) for click in acting}


@dataclass(frozen=True, slots=True)
class _Results:
    """What a transaction knows of its clicks."""

    destinations: Mapping[int, Destination]
    stored: Mapping[bytes, StoredClick]
    new: Mapping[bytes, NewClick]
    outcomes: Mapping[bytes, list[ActionOutcome]]
    persons: Mapping[int, Contact]

    def of(self, batch: Sequence[SeenClick]) -> list[Result]:
        """What became of each click, in order."""
        answered: set[bytes] = set(self.stored)
        results: list[Result] = []
        for seen in batch:
            results.append(self._of_one(seen, seen.id in answered))
            answered.add(seen.id)
        return results

    def _of_one(self, seen: SeenClick, duplicate: bool) -> Result:
        destination = self.destinations.get(seen.placement_id)
        if destination is None:
            return DomainError(Reason.token_invalid, "the token's placement does not exist")
        before = self.stored.get(seen.id)
        click = Click.model_construct(
            id=click_text(seen.id),
            placement_id=seen.placement_id,
            link_id=destination.link.id,
            mailing_id=destination.mailing.id,
            recipient=before.recipient if before else seen.identity,
            verdict=before.verdict if before else seen.verdict,
            evidence=before.evidence if before else seen.evidence,
            test=before.test if before else seen.test,
            actions=self.outcomes.get(seen.id, []),
        )
        person = self.persons.get(person_of(seen.recipient))
        answer = before.answer if before else destination.answer
        names = (destination.mailing.language, destination.link.name, destination.mailing.name, person.name if person else "")
        return RecordedClick(click, duplicate, answer, *names)
