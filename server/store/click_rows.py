"""Click rows: writing new ones, and finding those that are stored already. What clicks share, evidence and answers, is stored once."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from server.model.click import Answer, Evidence, SeenClick, Verdict
from server.model.ids import NOBODY
from server.model.link import Redirect
from server.store.destinations import Destination
from server.store.sql import Statements, click_id_of
from server.store.types import to_microseconds

MOST_INTERNED = 50_000
"""Texts whose numbers are remembered; at the limit all are forgotten and looked up again."""


@dataclass(frozen=True, slots=True)
class NewClick:
    """A click that is not stored yet, and where it leads."""

    seen: SeenClick
    destination: Destination
    filled: Answer | None = None

    @property
    def answer(self) -> Answer:
        """What it is answered by: what its placement leads to, filled in for the recipient where that is a form."""
        return self.filled or self.destination.answer

    @property
    def stored_answer(self) -> Answer:
        """What is stored of it: never what a recipient brought, or what is known of one who is not to be tracked. It is filled in again."""
        unfilled = self.destination.answer
        brought = isinstance(self.destination.link.response, Redirect)
        return unfilled if unfilled.form and (brought or self.seen.do_not_track) else self.answer

    @property
    def before_reset(self) -> bool:
        """A live click is ordered by its commit; only a replayed one is compared with the last reset by its own time."""
        reset = self.destination.link.last_reset_time
        return self.seen.replayed and reset is not None and self.seen.microseconds < to_microseconds(reset)

    @property
    def acts(self) -> bool:
        """Whether the link's actions run: it is a human's and no test. A reset changes nothing about what a click asks for."""
        return self.seen.verdict is Verdict.human and not self.seen.test

    @property
    def counts(self) -> bool:
        """Whether it is a click in the sense of every figure: one that acts, and not from before the last reset."""
        return self.acts and not self.before_reset

    @property
    def is_suspected(self) -> bool:
        """Whether it is shown apart as a machine's."""
        return self.seen.verdict is not Verdict.human and not self.seen.test and not self.before_reset


@dataclass(frozen=True, slots=True)
class StoredClick:
    """A click as its row has it."""

    recipient: int
    verdict: Verdict
    test: bool
    evidence: Evidence
    answer: Answer


class Interned:
    """The numbers of texts that many clicks share. For one thread."""

    def __init__(self) -> None:
        self._committed: dict[str, int] = {}
        self._fresh: dict[str, int] = {}

    def numbers(self, statements: Statements, texts: Iterable[str]) -> dict[str, int]:
        """The number of each text; a new one is stored."""
        wanted = set(texts)
        missing = {_key(text): text for text in wanted if text not in self._committed and text not in self._fresh}
        if missing:
            statements.each(_INTERN, sorted(missing.items()))
            for row in statements.matching("SELECT key, id FROM interned WHERE key IN", sorted(missing)):
                self._fresh[missing[bytes(row.key)]] = row.id
        return {text: self._fresh.get(text) or self._committed[text] for text in wanted}

    def committed(self) -> None:
        """Remembers what was stored: only now, since without a commit the numbers would mean nothing."""
        if len(self._committed) > MOST_INTERNED:
            self._committed.clear()
        self._committed |= self._fresh
        self._fresh.clear()

    def rolled_back(self) -> None:
        """Forgets what was not stored after all."""
        self._fresh.clear()


def stored_clicks(statements: Statements, click_ids: Iterable[bytes]) -> dict[bytes, StoredClick]:
    """Those of the clicks that are stored already."""
    rows = statements.matching(_SELECT_STORED, [statements.click_id(click_id) for click_id in click_ids])
    return {click_id_of(row.id): _stored(row) for row in rows}


def insert_clicks(statements: Statements, interned: Interned, clicks: Sequence[NewClick]) -> None:
    """Writes the rows of new clicks. One from before a reset is stored as what the reset has made of the others: without identity."""
    texts = [(_evidence_text(click.seen.evidence), _answer_text(click.stored_answer)) for click in clicks]
    numbers = interned.numbers(statements, (text for pair in texts for text in pair))
    rows = [
        (
            statements.click_id(click.seen.id),
            click.seen.placement_id,
            click.destination.link.id,
            click.destination.link.generation - click.before_reset,
            NOBODY if click.before_reset else click.seen.identity,
            int(click.seen.verdict),
            click.seen.test,
            numbers[evidence],
            numbers[answer],
        )
        for click, (evidence, answer) in zip(clicks, texts, strict=True)
    ]
    statements.each(_INSERT_CLICK, rows)


def evidence_of(text: str) -> Evidence:
    """The evidence that a stored text holds."""
    method, prefetch, user_agent = json.loads(text)
    return Evidence.model_construct(method=method, prefetch=prefetch, user_agent=user_agent)


def _stored(row: Any) -> StoredClick:
    _, recipient, verdict, test, evidence, answer = row
    return StoredClick(recipient, Verdict(verdict), bool(test), evidence_of(evidence), Answer(**json.loads(answer)))


def _evidence_text(evidence: Evidence) -> str:
    return json.dumps([evidence.method, evidence.prefetch, evidence.user_agent])


def _answer_text(answer: Answer) -> str:
    return json.dumps({"text": answer.text} if answer.text else {"form": answer.form} if answer.form else {"location": answer.location})


def _key(text: str) -> bytes:
    return blake2b(text.encode(), digest_size=16).digest()


_INTERN = "INSERT INTO interned (key, value) VALUES (?, ?) ON CONFLICT DO NOTHING"
_INSERT_CLICK = """
INSERT INTO click (id, placement_id, link_id, generation, recipient, verdict, test, evidence_id, answer_id)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_SELECT_STORED = """
SELECT click.id, click.recipient, click.verdict, click.test, evidence.value, answer.value FROM click
JOIN interned AS evidence ON evidence.id = click.evidence_id JOIN interned AS answer ON answer.id = click.answer_id
WHERE click.id IN
"""
