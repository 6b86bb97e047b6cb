"""The group commit: a batch of clicks, with all that they count and make happen, in one transaction. Runs in the writer thread."""

import json
from collections.abc import Mapping, Sequence
from hashlib import blake2b

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, IntegrityError

from server.model.action import ActionOutcome
from server.model.click import Answer, Click, Evidence, RecordedClick, SeenClick, Verdict, verdict_of
from server.model.crm import Person
from server.model.errors import DomainError, Reason
from server.model.ids import NOBODY, person_of
from server.store.action_runs import ActionRuns, CountedClick, click_text, outcomes_of, persons_of
from server.store.database import Database
from server.store.destinations import Destination, Destinations
from server.store.sql import Statements, click_id_of
from server.store.tally import Tally
from server.store.types import to_microseconds

MOST_INTERNED = 50_000

Result = RecordedClick | DomainError


class Recorder:
    """Records batches of clicks in one database. For one thread."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._destinations = Destinations()
        self._interned: dict[str, int] = {}

    def record(self, batch: Sequence[SeenClick]) -> list[Result]:
        """What became of each click, in order; when this returns, all of it is durable.

        Raises STORE_UNAVAILABLE when nothing could be stored. A batch that the data of one click makes fail is halved until that click
        stands alone, and then it is stored without effects: its recipient is counted and sent on all the same.
        """
        try:
            return self._commit(batch, with_actions=True)
        except IntegrityError:
            self._destinations.forget()  # another server was faster with one of them: its rows are seen now
        except DBAPIError:
            pass
        if len(batch) > 1:
            middle = len(batch) // 2
            return self.record(batch[:middle]) + self.record(batch[middle:])
        try:
            return self._commit(batch, with_actions=True)
        except DBAPIError:
            return self._commit(batch, with_actions=False)

    def _commit(self, batch: Sequence[SeenClick], with_actions: bool) -> list[Result]:
        fresh: dict[str, int] = {}
        try:
            results = self._database.transaction(lambda connection: self._transact(connection, batch, with_actions, fresh))
        except BaseException:
            self._destinations.forget()
            raise
        if len(self._interned) > MOST_INTERNED:
            self._interned.clear()
        self._interned.update(fresh)  # only now: had it not been committed, the ids would mean nothing
        return results

    def _transact(self, connection: Connection, batch: Sequence[SeenClick], with_actions: bool, fresh: dict[str, int]) -> list[Result]:
        fresh.clear()
        statements = Statements(connection)
        destinations = self._destinations.of(statements, (seen.placement_id for seen in batch))
        first_answers = _recorded_before(statements, batch)
        new = _new_clicks(batch, destinations, first_answers)

        counted = {seen.id for seen, destination in new.values() if _counts(seen, destination)}
        tally = Tally()
        tally.know(statements, [(destination, _identity(seen)) for seen, destination in new.values() if seen.id in counted])
        for seen, destination in new.values():
            if seen.id in counted:
                tally.count(seen, destination, _identity(seen))
            elif not seen.test and verdict_of(seen.evidence) is not Verdict.human and not _before_reset(seen, destination):
                tally.suspect(seen, destination)
        tally.write(statements)

        acting = [CountedClick(seen, at) for seen, at in new.values() if seen.id in counted and at.link.actions and with_actions]
        persons = persons_of(statements, _persons_needed(batch, destinations, acting))
        outcomes = outcomes_of(statements, first_answers)
        if acting:
            outcomes |= ActionRuns(statements, acting, persons).run()
        self._insert(statements, list(new.values()), fresh)
        return [_result(seen, destinations, first_answers, new, outcomes, persons) for seen in batch]

    def _insert(self, statements: Statements, new: Sequence[tuple[SeenClick, Destination]], fresh: dict[str, int]) -> None:
        """Writes the click rows. What clicks share, evidence and answers, is stored once and numbered: dirty pages are what a commit costs."""
        texts = [(_evidence_text(seen.evidence), _answer_text(destination.answer)) for seen, destination in new]
        numbers = self._numbers({text for pair in texts for text in pair}, statements, fresh)
        rows = [
            (
                statements.click_id(seen.id),
                seen.placement_id,
                destination.link.id,
                destination.link.generation - 1 if _before_reset(seen, destination) else destination.link.generation,
                NOBODY if _before_reset(seen, destination) else _identity(seen),
                int(verdict_of(seen.evidence)),
                seen.test,
                numbers[evidence],
                numbers[answer],
            )
            for (seen, destination), (evidence, answer) in zip(new, texts, strict=True)
        ]
        statements.each(_INSERT_CLICK, rows)

    def _numbers(self, texts: set[str], statements: Statements, fresh: dict[str, int]) -> Mapping[str, int]:
        missing = {_key(text): text for text in texts if text not in self._interned}
        if missing:
            statements.each(_INTERN, sorted(missing.items()))
            for row in statements.matching("SELECT key, id FROM interned WHERE key IN", sorted(missing)):
                fresh[missing[bytes(row.key)]] = row.id
        return {text: fresh.get(text) or self._interned[text] for text in texts}


def _recorded_before(statements: Statements, batch: Sequence[SeenClick]) -> dict[bytes, Answer]:
    """The first answers of those clicks that are stored already."""
    select = "SELECT click.id, interned.value FROM click JOIN interned ON interned.id = click.answer_id WHERE click.id IN"
    rows = statements.matching(select, [statements.click_id(seen.id) for seen in batch])
    return {click_id_of(row.id): Answer(**json.loads(row.value)) for row in rows}


def _new_clicks(
    batch: Sequence[SeenClick], destinations: Mapping[int, Destination], recorded: Mapping[bytes, Answer]
) -> dict[bytes, tuple[SeenClick, Destination]]:
    """The clicks that are neither stored nor stand here twice, and where they lead, in order."""
    new: dict[bytes, tuple[SeenClick, Destination]] = {}
    for seen in batch:
        destination = destinations.get(seen.placement_id)
        if destination is not None and seen.id not in recorded:
            new.setdefault(seen.id, (seen, destination))
    return new


def _counts(seen: SeenClick, destination: Destination) -> bool:
    return not seen.test and verdict_of(seen.evidence) is Verdict.human and not _before_reset(seen, destination)


def _before_reset(seen: SeenClick, destination: Destination) -> bool:
    """A live click is ordered by its commit; only a replayed one is compared with the last reset by its own time."""
    reset = destination.link.last_reset_time
    return seen.replayed and reset is not None and seen.microseconds < to_microseconds(reset)


def _identity(seen: SeenClick) -> int:
    """Who is written down as the one who clicked: a do-not-track recipient is written nowhere."""
    return NOBODY if seen.do_not_track else seen.recipient


def _persons_needed(batch: Sequence[SeenClick], destinations: Mapping[int, Destination], acting: Sequence[CountedClick]) -> set[int]:
    needed = {person_of(click.seen.recipient) for click in acting}
    for seen in batch:
        destination = destinations.get(seen.placement_id)
        if destination is not None and destination.answer.text:
            needed.add(person_of(seen.recipient))
    return needed


def _result(
    seen: SeenClick,
    destinations: Mapping[int, Destination],
    first_answers: Mapping[bytes, Answer],
    new: Mapping[bytes, tuple[SeenClick, Destination]],
    outcomes: Mapping[bytes, list[ActionOutcome]],
    persons: Mapping[int, Person],
) -> Result:
    destination = destinations.get(seen.placement_id)
    if destination is None:
        return DomainError(Reason.token_invalid, "the token's placement does not exist")
    duplicate = seen.id not in new or new[seen.id][0] is not seen
    click = Click.model_construct(
        id=click_text(seen.id),
        placement_id=seen.placement_id,
        link_id=destination.link.id,
        mailing_id=destination.mailing.id,
        recipient=_identity(seen),
        verdict=verdict_of(seen.evidence),
        evidence=seen.evidence,
        test=seen.test,
        actions=outcomes.get(seen.id, []),
    )
    person = persons.get(person_of(seen.recipient))
    answer = first_answers.get(seen.id, destination.answer)
    names = (destination.mailing.language, destination.link.name, destination.mailing.name, person.name if person else "")
    return RecordedClick(click, duplicate, answer, *names)


def _evidence_text(evidence: Evidence) -> str:
    return json.dumps([evidence.method, evidence.prefetch, evidence.user_agent])


def _answer_text(answer: Answer) -> str:
    return json.dumps({"text": answer.text} if answer.text else {"location": answer.location})


def _key(text: str) -> bytes:
    return blake2b(text.encode(), digest_size=16).digest()


_INTERN = "INSERT INTO interned (key, value) VALUES (?, ?) ON CONFLICT DO NOTHING"
_INSERT_CLICK = """
INSERT INTO click (id, placement_id, link_id, generation, recipient, verdict, test, evidence_id, answer_id) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
