"""Action runs in the database, read for people, and tried without being kept."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, and_, select, text

from server.model.action import ActionState, TestedAction
from server.model.click import ActionRun, Evidence, Prepared, SeenClick, click_text, click_time
from server.model.errors import DomainError, Reason
from server.model.ids import person_of, person_recipient
from server.model.script import Unprepared
from server.store.action_runs import ActionRuns, unclaimed
from server.store.click_rows import NewClick
from server.store.click_tables import UNFINISHED, action_run, click
from server.store.clickers import refuse_unknown
from server.store.contacts import Contacts, addresses_for, embedded_persons, remote_persons
from server.store.database import Database
from server.store.destinations import destination_of
from server.store.link_rows import link
from server.store.newest_clicks import HIGHEST, counted, newest_clicks, places_of, places_of_clicker
from server.store.outbox_tables import outbox
from server.store.outgoing import NEVER
from server.store.pages import Key, Page, page_of
from server.store.placements import placement
from server.store.preparing import unprepared
from server.store.sql import Statements
from server.store.types import from_microseconds


class ActionRunStore:
    """The action runs of one database."""

    def __init__(self, database: Database, crm_is_remote: bool = False) -> None:
        self._database = database
        self._crm_is_remote = crm_is_remote

    def page(
        self, link_id: int, mailing_id: int, person_id: int, state: ActionState | None, after: Key | None, size: int
    ) -> Page[ActionRun]:
        """Runs of clicks since the last reset, newest first. Raises LINK_NOT_FOUND, MAILING_NOT_FOUND."""

        def work(connection: Connection) -> Page[ActionRun]:
            refuse_unknown(connection, link_id, mailing_id)
            statements = Statements(connection)
            statement = _runs()
            if state is not None:
                statement = statement.where(action_run.c.state == int(state))
            clicks, lowest, highest = counted(statements, link_id, mailing_id)
            if state in _UNFINISHED and not person_id and clicks > FEW_CLICKS:
                statement = _unfinished(statement, link_id, mailing_id, (lowest, highest))
            else:
                recipient = person_recipient(person_id) if person_id else 0
                acting = _acting_clicks(statements, link_id, mailing_id, recipient, state, after, size)
                statement = statement.where(action_run.c.click_id.in_(acting))
            rows, next_key = page_of(connection, statement, (action_run.c.click_id, action_run.c.position), after, size, descending=True)
            return Page([_run(row) for row in rows], next_key)

        return self._database.read(work)

    def refuse_unknown(self, link_id: int, mailing_id: int) -> None:
        """Raises LINK_NOT_FOUND and MAILING_NOT_FOUND; 0 is none."""
        self._database.read(lambda connection: refuse_unknown(connection, link_id, mailing_id))

    def get(self, click_id: bytes, action_id: int) -> ActionRun:
        """One run, also from before a reset. Raises ACTION_RUN_NOT_FOUND."""
        statement = _runs().where(action_run.c.click_id == click_id, action_run.c.action_id == action_id)
        row = self._database.read(lambda connection: connection.execute(statement).first())
        if row is None:
            raise DomainError(Reason.action_run_not_found, f"click {click_text(click_id)} ran no action {action_id}", action_id=action_id)
        return _run(row)

    def test(
        self, click_id: bytes, link_id: int, mailing_id: int, recipient: int, do_not_track: bool, prepared: Prepared, now: datetime
    ) -> list[TestedAction] | Unprepared:
        """What a click of this id would make happen now, or what it waits for first. Only reads: no click or edit waits for it.

        Raises LINK_NOT_FOUND and MAILING_NOT_FOUND.
        """

        def work(connection: Connection) -> list[TestedAction] | Unprepared:
            refuse_unknown(connection, link_id, mailing_id)
            statements = Statements(connection)
            to = destination_of(connection, link_id, mailing_id)
            seen = SeenClick(click_id, to.placement_id, recipient, False, do_not_track, Evidence(), prepared=prepared)
            trial = NewClick(seen, to)
            if waiting := unprepared(statements, [trial], self._crm_is_remote):
                return waiting[click_id]
            persons = remote_persons([seen]) if self._crm_is_remote else embedded_persons(statements, [person_of(recipient)])
            contacts = Contacts(persons, addresses_for(statements, [trial]))
            runs = ActionRuns(statements, [trial], contacts, now, crm_is_remote=self._crm_is_remote, effects_allowed=True, claim=unclaimed)
            runs.run()
            return runs.tested()

        return self._database.read(work)


def _acting_clicks(
    statements: Statements, link_id: int, mailing_id: int, recipient: int, state: ActionState | None, after: Key | None, size: int
) -> list[bytes]:
    """The clicks that the runs of a page are of, by an index of clicks."""
    if recipient:
        places = places_of_clicker(statements, recipient, link_id, mailing_id)
    else:
        places = places_of(statements, link_id, mailing_id, acting=True)
    conditions: dict[str, object | None] = {}
    if recipient:
        conditions["recipient = ?"] = recipient
    if state is None:
        conditions["EXISTS (SELECT 1 FROM action_run WHERE click_id = click.id)"] = None
    else:
        conditions["EXISTS (SELECT 1 FROM action_run WHERE click_id = click.id AND state = ?)"] = int(state)
    # One more than a page has: those of the click that the page before ended in may all have been on it.
    return newest_clicks(statements, places, size + 2, conditions, after[0] if after else HIGHEST)


def _unfinished(runs: Select[Any], link_id: int, mailing_id: int, between: tuple[bytes, bytes]) -> Select[Any]:
    """The runs by their own index: of all links and mailings, from the time in which this one was clicked."""
    current = and_(link.c.id == click.c.link_id, link.c.generation == click.c.generation)
    limits = [column == value for column, value in ((click.c.link_id, link_id), (placement.c.mailing_id, mailing_id)) if value]
    return runs.join(link, current).where(text(f"action_run.{UNFINISHED}"), action_run.c.click_id.between(*between), *limits)


FEW_CLICKS = 5_000
"""A link or mailing with so many is looked through click by click, since elsewhere there may be any number of unfinished runs."""

_UNFINISHED = {ActionState.failed, ActionState.waiting, ActionState.retrying, ActionState.dead}


def _runs() -> Select[Any]:
    told = (action_run, click.c.link_id, click.c.recipient, placement.c.mailing_id, outbox.c.next_time)
    statement = select(*told).join(click, click.c.id == action_run.c.click_id).join(placement, placement.c.id == click.c.placement_id)
    left = and_(outbox.c.click_id == action_run.c.click_id, outbox.c.position == action_run.c.position)
    return statement.join(outbox, left, isouter=True)


def _run(row: Any) -> ActionRun:
    return ActionRun(
        click_text(row.click_id),
        row.position,
        row.action_id,
        row.link_id,
        row.mailing_id,
        row.recipient,
        click_time(row.click_id),
        ActionState(row.state),
        row.reason or "",
        row.attempts,
        from_microseconds(row.next_time) if row.next_time and row.next_time < NEVER else None,
        row.log or "",
    )
