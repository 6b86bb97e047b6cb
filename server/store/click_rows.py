"""Click rows: writing new ones, and finding those that are stored already. What clicks share, evidence and answers, is stored once."""

import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from server.model.click import Answer, Evidence, SeenClick, Verdict
from server.model.ids import NOBODY
from server.model.recorded_click import StoredClick
from server.store.destinations import Destination
from server.store.sql import Insert, Statements, click_id_of
from server.store.types import to_microseconds

MOST_INTERNED = 50_000
"""What the numbers of are remembered; at the limit all are forgotten and looked up again."""


@dataclass(slots=True)
class NewClick:
    """A click that is not stored yet, and where it leads."""

    seen: SeenClick
    destination: Destination
    filled: Answer | None = None
    chosen: Answer | None = None
    person_gone: bool = False
    """Whether the person was deleted since the click's scripts read the card."""
    verdict: Verdict = field(init=False)
    acts: bool = field(init=False)
    """Whether the link's actions run: it is a human's and no test. A reset changes nothing about what a click asks for."""
    before_reset: bool = field(init=False)
    """A live click is ordered by its commit; only a replayed one is compared with the last reset by its own time."""

    def __post_init__(self) -> None:
        reset = self.destination.link.last_reset_time if self.seen.replayed else None
        self.verdict = self.seen.verdict
        self.acts = self.verdict is Verdict.human and not self.seen.test
        self.before_reset = reset is not None and self.seen.microseconds < to_microseconds(reset)

    @property
    def answer(self) -> Answer:
        """What it is answered by: what a script has chosen, or what its placement leads to, a form filled in for the recipient."""
        return self.chosen or self.filled or self.destination.answer

    @property
    def keeps_no_words(self) -> bool:
        """Whether what its scripts say is not kept: nobody could find it any more when it is to go."""
        return self.before_reset or self.person_gone

    @property
    def counts(self) -> bool:
        """Whether it is a click in the sense of every figure: one that acts, and not from before the last reset."""
        return self.acts and not self.before_reset

    @property
    def is_suspected(self) -> bool:
        """Whether it is shown apart as a machine's."""
        return self.verdict is not Verdict.human and not self.seen.test and not self.before_reset


MOST_REMEMBERED = 1_000
"""Characters of an answer whose number is remembered."""


class Interned:
    """The numbers of evidence and answers, which many clicks share. For one thread."""

    def __init__(self) -> None:
        self._committed: dict[Evidence | Answer, int] = {}
        self._fresh: dict[Evidence | Answer, int] = {}

    def numbers(self, statements: Statements, wanted: Collection[Evidence | Answer]) -> list[int]:
        """The number of each, in order; a new one is stored."""
        texts = {_text(each): each for each in wanted if each not in self._committed}
        if texts:
            keys = {_key(text): text for text in texts}
            statements.each(_INTERN, sorted(keys.items()))
            for row in statements.matching("SELECT key, id FROM interned WHERE key IN", sorted(keys)):
                self._fresh[texts[keys[bytes(row.key)]]] = row.id
        return [self._committed.get(each) or self._fresh[each] for each in wanted]

    def committed(self) -> None:
        """Remembers what was stored: only now, since without a commit the numbers would mean nothing."""
        if len(self._committed) > MOST_INTERNED:
            self._committed.clear()
        self._committed |= {each: number for each, number in self._fresh.items() if _is_short(each)}
        self._fresh.clear()

    def rolled_back(self) -> None:
        """Forgets what was not stored after all."""
        self._fresh.clear()


def _is_short(each: Evidence | Answer) -> bool:
    """Whether it may be remembered: the texts of pages are long."""
    return isinstance(each, Evidence) or len(each.location) + len(each.text) + len(each.form) <= MOST_REMEMBERED


def stored_clicks(statements: Statements, click_ids: Iterable[bytes]) -> dict[bytes, StoredClick]:
    """Those of the clicks that are stored already."""
    rows = statements.matching(_SELECT_STORED, [statements.click_id(click_id) for click_id in click_ids])
    return {click_id_of(row.id): _stored(row) for row in rows}


def click_rows(statements: Statements, interned: Interned, clicks: Iterable[NewClick]) -> list[tuple[Any, ...]]:
    """The rows of new clicks; asks for rows. One from before a reset is stored as a reset leaves the others: without identity."""
    # As it is before it is filled in: what is known of a recipient, or was brought, is filled in again each time.
    answered = [(click, click.seen, click.destination.answer) for click in clicks]
    shared: dict[int, Evidence | Answer] = {id(seen.evidence): seen.evidence for _, seen, _ in answered}  # most are the same object
    shared |= {id(answer): answer for _, _, answer in answered}
    numbers = dict(zip(shared, interned.numbers(statements, shared.values()), strict=True))
    return [
        (
            statements.click_id(seen.id),
            seen.placement_id,
            click.destination.link.id,
            click.destination.link.generation - click.before_reset,
            NOBODY if click.before_reset else seen.identity,
            int(click.verdict),
            int(seen.test),  # SQLite's driver takes a detour for a bool
            numbers[id(seen.evidence)],
            numbers[id(answer)],
        )
        for click, seen, answer in answered
    ]


def evidence_of(text: str) -> Evidence:
    """The evidence that a stored text holds."""
    method, prefetch, user_agent = json.loads(text)
    return Evidence(method, prefetch, user_agent)


def _stored(row: Any) -> StoredClick:
    _, placement_id, recipient, verdict, test, evidence, answer, chosen = row
    first = Answer(location=chosen) if chosen else _answer_of(answer)
    return StoredClick(placement_id, recipient, Verdict(verdict), bool(test), evidence_of(evidence), first)


def _text(shared: Evidence | Answer) -> str:
    match shared:
        case Evidence():
            return json.dumps([shared.method, shared.prefetch, shared.user_agent])
        case Answer():
            if shared.form:
                return json.dumps({"redirect" if shared.brought else "form": shared.form})
            return json.dumps({"text": shared.text} if shared.text else {"location": shared.location})


def _answer_of(text: str) -> Answer:
    match json.loads(text):
        case {"redirect": url}:
            return Answer(form=url, brought=True)
        case parts:
            return Answer(**parts)


def _key(text: str) -> bytes:
    return blake2b(text.encode(), digest_size=16).digest()


_INTERN = "INSERT INTO interned (key, value) VALUES (?, ?) ON CONFLICT DO NOTHING"
INSERT_CLICK = Insert(
    "click",
    {
        "id": "uuid",
        "placement_id": "bigint",
        "link_id": "bigint",
        "generation": "bigint",
        "recipient": "bigint",
        "verdict": "smallint",
        "test": "boolean",
        "evidence_id": "bigint",
        "answer_id": "bigint",
    },
)
_SELECT_STORED = """
SELECT click.id, click.placement_id, click.recipient, click.verdict, click.test, evidence.value, answer.value, script_said.location
FROM click LEFT JOIN script_said ON script_said.click_id = click.id
JOIN interned AS evidence ON evidence.id = click.evidence_id JOIN interned AS answer ON answer.id = click.answer_id
WHERE click.id IN
"""
