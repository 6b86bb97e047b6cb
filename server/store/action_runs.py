"""Runs the actions of a batch of clicks inside its transaction: what each action is to do, whether it may, and what became of it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from server.model.action import ActionKind, ActionOutcome, ActionState, LinkAction, Occasion, RepeatPolicy, TestedAction
from server.model.click import click_time
from server.model.crm import Catalog, Contact
from server.model.effects import Effect, in_words
from server.model.ids import person_of
from server.store.click_rows import NewClick
from server.store.crm_effects import apply
from server.store.sql import Statements, click_id_of

ONCE_OVER_ALL = -1
"""The ledger's scope of what happens once per recipient over all mailings; else the scope is the mailing's id."""

NO_PERSON = "The recipient is not a registered person"
UNKNOWN_PERSON = "The CRM does not know this person"
DO_NOT_TRACK = "The recipient does not want to be tracked"
REFUSED = "The CRM did not take the change"
DONE_BEFORE = "Already done for this recipient"
DONE_IN_MAILING = "Already done for this recipient in this mailing"

LedgerKey = tuple[int, int, int]


@dataclass(slots=True)
class _Run:
    click: NewClick
    position: int
    action: LinkAction
    kind: ActionKind
    claim: LedgerKey | None
    outcome: ActionOutcome | None = None


class ActionRuns:
    """The runs of one batch."""

    def __init__(self, statements: Statements, clicks: Sequence[NewClick], persons: dict[int, Contact], effects_allowed: bool) -> None:
        """`effects_allowed` = False has every action fail: the database has refused what one of them wanted."""
        self._statements = statements
        self._persons = persons
        self._effects_allowed = effects_allowed
        self._runs = [run for click in clicks for run in _runs_of(click)]

    def run(self) -> dict[bytes, list[ActionOutcome]]:
        """Lets every action that may run happen, and says what became of each, by click."""
        if not self._effects_allowed:
            for run in self._runs:
                run.outcome = ActionOutcome(run.action.id, ActionState.failed, REFUSED)
        self._refuse_missing_references()
        self._claim()
        apply(self._statements, self._effects())
        self._statements.each(_INSERT_RUN, [self._row(run) for run in self._runs])
        outcomes: dict[bytes, list[ActionOutcome]] = {}
        for run in self._runs:
            outcomes.setdefault(run.click.seen.id, []).append(_outcome(run))
        return outcomes

    def tested(self) -> list[TestedAction]:
        """What became of each action, with its effects in words; after `run`, in a transaction that is not committed."""
        return [self._tested(run) for run in self._runs]

    def _tested(self, run: _Run) -> TestedAction:
        outcome = _outcome(run)
        effects = [in_words(effect) for effect in run.kind.effects(self._occasion(run))] if run.outcome is None else []
        return TestedAction(run.action, outcome.state, outcome.reason, effects)

    def _refuse_missing_references(self) -> None:
        for run in self._runs:
            person_id = person_of(run.click.seen.recipient)
            if run.outcome is None and person_id not in self._persons:
                run.outcome = ActionOutcome(run.action.id, ActionState.skipped, UNKNOWN_PERSON if person_id else NO_PERSON)
        named = {entry_id for run in self._runs if run.outcome is None for _, _, entry_id in run.kind.references()}
        select = "SELECT id, catalog FROM crm_entry WHERE id IN"
        existing = {(row.catalog, row.id) for row in self._statements.matching(select, sorted(named), self._statements.for_share)}
        for run in self._runs:
            if run.outcome is None:
                contact = self._persons[person_of(run.click.seen.recipient)]
                if reason := _missing(run.kind, existing) or run.kind.refusal(contact):
                    run.outcome = ActionOutcome(run.action.id, ActionState.failed, reason)

    def _claim(self) -> None:
        """Writes into the ledger what is to happen once; whoever wrote it first does it, here or on another server."""
        first: dict[LedgerKey, _Run] = {}
        for run in self._runs:
            if run.outcome is None and run.claim is not None:
                first.setdefault(run.claim, run)
        rows = [(*claim, self._statements.click_id(first[claim].click.seen.id)) for claim in sorted(first)]
        won = {tuple(row) for row in self._statements.inserted(_CLAIM, rows, _CLAIM_END)}
        for run in self._runs:
            if run.outcome is None and run.claim is not None and (run.claim not in won or first[run.claim] is not run):
                reason = DONE_IN_MAILING if run.claim[2] > 0 else DONE_BEFORE
                run.outcome = ActionOutcome(run.action.id, ActionState.skipped, reason)

    def _effects(self) -> Iterable[Effect]:
        for run in self._runs:
            if run.outcome is None:
                yield from run.kind.effects(self._occasion(run))

    def _occasion(self, run: _Run) -> Occasion:
        seen, destination = run.click.seen, run.click.destination
        person = self._persons[person_of(seen.recipient)]
        return Occasion(click_text(seen.id), click_time(seen.id), person, destination.link.name, destination.mailing.name)

    def _row(self, run: _Run) -> tuple[object, ...]:
        outcome = _outcome(run)
        return (self._statements.click_id(run.click.seen.id), run.position, run.action.id, int(outcome.state), outcome.reason or None)


def persons_of(statements: Statements, person_ids: Iterable[int]) -> dict[int, Contact]:
    """Of these persons those that the embedded CRM knows, with what actions need of them."""
    select = "SELECT id, name, our_contact_id, email FROM crm_person WHERE id IN"
    rows = statements.matching(select, sorted(set(person_ids) - {0}), statements.for_share)
    return {row.id: Contact(row.id, row.name, row.our_contact_id, row.email) for row in rows}


def outcomes_of(statements: Statements, click_ids: Iterable[bytes]) -> dict[bytes, list[ActionOutcome]]:
    """What became of the actions of clicks that are stored already, by click, in the link's order."""
    outcomes: dict[bytes, list[ActionOutcome]] = {}
    keys = [statements.click_id(click_id) for click_id in click_ids]
    for row in statements.matching(_SELECT_RUNS, keys, " ORDER BY click_id, position"):
        outcome = ActionOutcome(row.action_id, ActionState(row.state), row.reason or "")
        outcomes.setdefault(click_id_of(row.click_id), []).append(outcome)
    return outcomes


def _runs_of(click: NewClick) -> Iterable[_Run]:
    seen, destination = click.seen, click.destination
    for position, action in enumerate(destination.link.actions):
        if seen.do_not_track:
            removals = action.kind.only_removals()
            refused = None if removals else ActionOutcome(action.id, ActionState.skipped, DO_NOT_TRACK)
            yield _Run(click, position, action, removals or action.kind, None, refused)
        else:
            yield _Run(click, position, action, action.kind, _claim_of(action, seen.recipient, destination.mailing.id))


def _claim_of(action: LinkAction, recipient: int, mailing_id: int) -> LedgerKey | None:
    match action.policy:
        case RepeatPolicy.every_click:
            return None
        case RepeatPolicy.once_per_recipient:
            return (action.id, recipient, ONCE_OVER_ALL)
        case RepeatPolicy.once_per_recipient_and_mailing:
            return (action.id, recipient, mailing_id)


def _missing(kind: ActionKind, existing: set[tuple[str, int]]) -> str:
    gone = [f"{_WORDS[catalog]} {entry_id}" for _, catalog, entry_id in kind.references() if (catalog.value, entry_id) not in existing]
    return f"No longer in the CRM: {', '.join(gone[:10])}" if gone else ""


def _outcome(run: _Run) -> ActionOutcome:
    return run.outcome or ActionOutcome(run.action.id, ActionState.done)


def click_text(click_id: bytes) -> str:
    """A click id in its usual spelling."""
    digits = click_id.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


_WORDS = {catalog: catalog.value.replace("_", " ") for catalog in Catalog}

_CLAIM = "INSERT INTO ledger (action_id, recipient, scope, click_id)"
_CLAIM_END = "ON CONFLICT DO NOTHING RETURNING action_id, recipient, scope"
_SELECT_RUNS = "SELECT click_id, action_id, state, reason FROM action_run WHERE click_id IN"
_INSERT_RUN = "INSERT INTO action_run (click_id, position, action_id, state, reason) VALUES (?, ?, ?, ?, ?)"
