"""Runs the actions of a batch of clicks inside its transaction: what each action is to do, whether it may, and what became of it."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from datetime import datetime
from typing import Any

from server.model.action import ActionKind, ActionOutcome, ActionState, Occasion, TestedAction
from server.model.click import click_text, click_time
from server.model.crm import Catalog
from server.model.crm_actions import NOT_TAKEN
from server.model.effects import CrmEffect, SendEvent, in_words
from server.model.ids import NOBODY
from server.model.script import ScriptDecision
from server.store.action_run import (
    DONE_BEFORE,
    DONE_IN_MAILING,
    GONE,
    LINK_CHANGED,
    NO_PERSON,
    NOBODY_CLICKED,
    UNKNOWN_PERSON,
    LedgerKey,
    Run,
    runs_of,
)
from server.store.card_room import CARD_FULL, CardRoom
from server.store.click_rows import NewClick
from server.store.contacts import Contacts
from server.store.crm_effects import apply
from server.store.outgoing import REMOTE_CRM, Outgoing, crm_payload, event_payload, insert_outgoing
from server.store.script_words import NOT_KEPT
from server.store.sql import Insert, Statements, click_id_of

Claim = tuple[int, int, int, Any]
"""What is to happen once: its key in the ledger, and the click that does it."""


class ActionRuns:
    """The runs of one batch."""

    def __init__(
        self,
        statements: Statements,
        clicks: Sequence[NewClick],
        contacts: Contacts,
        now: datetime,
        *,
        crm_is_remote: bool,
        effects_allowed: bool,
        claim: Callable[[Statements, Sequence[Claim]], set[LedgerKey]],
    ) -> None:
        """`effects_allowed` = False has every action fail: the database has refused what one of them wanted.

        `claim` says which of what is to happen once has not happened yet: `claimed`, or `unclaimed` for a run that is not kept.
        """
        self._statements = statements
        self._take = claim
        self._contacts = contacts
        self._now = now
        self._crm_is_remote = crm_is_remote
        self._effects_allowed = effects_allowed
        self._runs = [run for click in clicks for run in runs_of(click, contacts)]
        self._here: list[CrmEffect] = []
        self._elsewhere: list[Outgoing] = []

    def run(self) -> dict[bytes, list[ActionOutcome]]:
        """Decides of every action whether it may happen, takes what happens once, and says what becomes of each, by click."""
        if not self._effects_allowed:
            for run in self._runs:
                run.end(ActionState.failed, NOT_TAKEN)
        self._refuse_without_person()
        if not self._crm_is_remote:
            self._refuse_missing_references()
            self._refuse_full_cards()
        self._refuse_gone_receivers()
        self._hear_scripts()
        self._claim()
        self._here, self._elsewhere = self._effects()
        outcomes: dict[bytes, list[ActionOutcome]] = {}
        for run in self._runs:
            outcomes.setdefault(run.click.seen.id, []).append(run.ended())
        return outcomes

    def write(self) -> None:
        """Writes what `run` has decided: the effects, what is left for other systems, and what became of each action. Asks for no rows."""
        apply(self._statements, self._here)
        insert_outgoing(self._statements, self._elsewhere, self._now)
        self._statements.insert(_INSERT_RUN, [self._row(run) for run in self._runs])

    def for_remote_crm(self) -> Mapping[bytes, int]:
        """The clicks of which something has still to happen in a remote CRM, and how many actions; after `run`."""
        if not self._crm_is_remote:
            return {}
        left = (run for run in self._runs if run.kind.needs_person and run.ended().state is ActionState.waiting)
        return Counter(run.click.seen.id for run in left)

    def tested(self) -> list[TestedAction]:
        """What became of each action, with its effects in words; after `run`."""
        return [self._tested(run) for run in self._runs]

    def _tested(self, run: Run) -> TestedAction:
        if self._crm_is_remote and run.ended().state is ActionState.waiting and (reason := run.kind.refusal(run.contact)):
            run.end(ActionState.failed, reason)
        outcome = run.ended()
        runs = outcome.state in (ActionState.done, ActionState.waiting)
        effects = [in_words(effect) for effect in run.kind.effects(self._occasion(run))] if runs else []
        if runs and run.kind.script() and run.click.seen.prepared:
            url = run.click.seen.prepared.decisions[run.action.id].return_url
            effects = [f"send the recipient to {url}" if url else "leave the recipient to where the link leads"]
        return TestedAction(run.action, outcome.state, outcome.reason, effects)

    def _refuse_without_person(self) -> None:
        for run in self._open():
            if not run.kind.needs_person:
                if run.claim is not None and run.click.seen.recipient == NOBODY:
                    run.end(ActionState.skipped, NOBODY_CLICKED)
            elif not run.person_id:
                run.end(ActionState.skipped, NO_PERSON)
            elif not self._crm_is_remote and run.person_id not in self._contacts.persons:
                run.end(ActionState.skipped, UNKNOWN_PERSON)

    def _refuse_missing_references(self) -> None:
        kinds = {id(run.kind): run.kind for run in self._open()}  # clicks on one link share them
        named = {entry_id for kind in kinds.values() for _, _, entry_id in kind.references()}
        select = "SELECT id, catalog FROM crm_entry WHERE id IN"
        existing = {(row.catalog, row.id) for row in self._statements.matching(select, sorted(named), self._statements.for_share("id"))}
        missing = {key: missing_in_words(kind, existing) for key, kind in kinds.items()}
        for run in self._open():
            if reason := missing[id(run.kind)] or run.kind.refusal(run.contact):
                run.end(ActionState.failed, reason)

    def _refuse_full_cards(self) -> None:
        setting = [(run, (run.person_id, *sets)) for run in self._open() if (sets := run.kind.field_set())]
        if setting:
            room = CardRoom(self._statements, (change for _, change in setting))
            for run, change in setting:
                if not room.takes([change]):
                    run.end(ActionState.failed, CARD_FULL)

    def _refuse_gone_receivers(self) -> None:
        sending = [run for run in self._open() if run.click.destination.sends_elsewhere and any(run.kind.receivers())]
        select = "SELECT action_id, url FROM gone_receiver WHERE action_id IN"
        gone = {tuple(row) for row in self._statements.matching(select, sorted({run.action.id for run in sending}))}
        for run in sending:
            if any((run.action.id, url) in gone for _, url in run.kind.receivers()):
                run.end(ActionState.skipped, GONE)

    def _hear_scripts(self) -> None:
        for run in self._open():
            if asked := run.kind.script():
                prepared = run.click.seen.prepared
                decision = prepared.decisions.get(run.action.id) if prepared else None
                if decision is not None and not _still_asked(decision, *asked):
                    decision = None
                problem = decision.problem if decision else LINK_CHANGED
                run.log = decision.log if decision else ""
                if problem:
                    run.end(ActionState.failed, problem)

    def _claim(self) -> None:
        """Settles what is to happen once, and has happened before."""
        first: dict[LedgerKey, Run] = {}
        for run in self._open():
            if run.claim is not None:
                first.setdefault(run.claim, run)
        rows = [(*claim, self._statements.click_id(first[claim].click.seen.id)) for claim in sorted(first)]
        won = self._take(self._statements, rows)
        for run in self._open():
            if run.claim is not None and (run.claim not in won or first[run.claim] is not run):
                run.end(ActionState.skipped, DONE_IN_MAILING if run.claim[2] > 0 else DONE_BEFORE)

    def _effects(self) -> tuple[list[CrmEffect], list[Outgoing]]:
        """What happens in this transaction, and what is left in the outbox for other systems."""
        here: list[CrmEffect] = []
        elsewhere: list[Outgoing] = []
        for run in list(self._open()):
            occasion = self._occasion(run)
            if self._crm_is_remote and run.kind.needs_person:
                elsewhere.append(_outgoing(run, REMOTE_CRM, crm_payload(run.kind, occasion)))
                run.end(ActionState.waiting)
                continue
            for effect in run.kind.effects(occasion):
                if isinstance(effect, SendEvent):
                    elsewhere.append(_outgoing(run, effect.destination, event_payload(effect)))
                    run.end(ActionState.waiting)
                else:
                    here.append(effect)
        return here, elsewhere

    def _open(self) -> Iterator[Run]:
        return (run for run in self._runs if run.outcome is None)

    def _occasion(self, run: Run) -> Occasion:
        seen, destination = run.click.seen, run.click.destination
        to, mailing = destination.link, destination.mailing
        return Occasion(click_text(seen.id), run.action.id, click_time(seen.id), run.contact, to.id, to.name, mailing.id, mailing.name)

    def _row(self, run: Run) -> tuple[object, ...]:
        outcome = run.ended()
        key = (self._statements.click_id(run.click.seen.id), run.position)
        reason, log = outcome.reason, outcome.log
        if run.click.keeps_no_words and run.kind.script():
            reason, log = NOT_KEPT if outcome.state is ActionState.failed else reason, ""
        return (*key, run.action.id, int(outcome.state), reason or None, log or None)


def claimed(statements: Statements, claims: Sequence[Claim]) -> set[LedgerKey]:
    """Writes these into the ledger; those that were not there. Whoever writes one first does it, here or on another server."""
    return {tuple(row) for row in statements.inserted(_CLAIM, claims, _CLAIM_END)}


def unclaimed(statements: Statements, claims: Sequence[Claim]) -> set[LedgerKey]:
    """Those that are not in the ledger, which stays as it is."""
    keys = [claim[:3] for claim in claims]
    return {*keys} - {tuple(row) for row in statements.matching(_SELECT_CLAIMS, keys)}


def outcomes_of(statements: Statements, click_ids: Iterable[bytes]) -> dict[bytes, list[ActionOutcome]]:
    """What became of the actions of clicks that are stored already, by click, in the link's order."""
    outcomes: dict[bytes, list[ActionOutcome]] = {}
    keys = [statements.click_id(click_id) for click_id in click_ids]
    for row in statements.matching(_SELECT_RUNS, keys, " ORDER BY click_id, position"):
        outcome = ActionOutcome(row.action_id, ActionState(row.state), row.reason or "", row.log or "")
        outcomes.setdefault(click_id_of(row.click_id), []).append(outcome)
    return outcomes


def missing_in_words(kind: ActionKind, existing: Set[tuple[str, int]]) -> str:
    """What the action names and the CRM does not have, in words a marketer understands; empty when it has all."""
    gone = [f"{_WORDS[catalog]} {entry_id}" for _, catalog, entry_id in kind.references() if (catalog.value, entry_id) not in existing]
    return f"No longer in the CRM: {', '.join(gone[:10])}" if gone else ""


def _still_asked(decision: ScriptDecision, script_id: int, version: int) -> bool:
    """Whether the link still names the script that has decided; which version is the newest was settled when it ran."""
    return decision.script_id == script_id and version in (0, decision.version)


def _outgoing(run: Run, destination: str, payload: str) -> Outgoing:
    seen, to = run.click.seen, run.click.destination
    scope = run.claim[2] if run.claim else None
    return Outgoing(seen.id, run.position, run.action.id, to.link.id, to.mailing.id, seen.recipient, scope, destination, payload)


_WORDS = {catalog: catalog.value.replace("_", " ") for catalog in Catalog}

_CLAIM = "INSERT INTO ledger (action_id, recipient, scope, click_id)"
_SELECT_CLAIMS = "SELECT action_id, recipient, scope FROM ledger WHERE (action_id, recipient, scope) IN"
_CLAIM_END = "ON CONFLICT DO NOTHING RETURNING action_id, recipient, scope"
_SELECT_RUNS = "SELECT click_id, action_id, state, reason, log FROM action_run WHERE click_id IN"
_INSERT_RUN = Insert(
    "action_run",
    {"click_id": "uuid", "position": "smallint", "action_id": "bigint", "state": "smallint", "reason": "text", "log": "text"},
)
