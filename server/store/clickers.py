"""Clicks and clickers in the database, read for people; the way of a click writes them in server/store/recording.py."""

from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, func, select

from server.model.action import ActionOutcome, ActionState
from server.model.click import Click, Clicker, Verdict, click_text
from server.store.click_rows import evidence_of
from server.store.click_tables import SUSPECTED, action_run, click, clicker, interned
from server.store.database import Database
from server.store.link_rows import link
from server.store.links import by_ids
from server.store.mailings import by_id as mailing_by_id
from server.store.newest_clicks import HIGHEST, newest_clicks, next_id, places_of
from server.store.pages import Key, Page, page_of
from server.store.placements import placement
from server.store.sql import Statements
from server.store.types import from_microseconds


class ClickerStore:
    """The clicks and clickers of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def clickers(self, link_id: int, mailing_id: int, after: Key | None, size: int) -> Page[Clicker]:
        """Who clicked a link, by recipient and mailing; with link_id 0, who clicked in a mailing, by recipient.

        Raises LINK_NOT_FOUND and MAILING_NOT_FOUND.
        """

        def work(connection: Connection) -> Page[Clicker]:
            refuse_unknown(connection, link_id, mailing_id)
            statement = select(clicker).where(since_reset(link_id)) if link_id else _of_mailing()
            if mailing_id:
                statement = statement.where(clicker.c.mailing_id == mailing_id)
            key = (clicker.c.recipient, clicker.c.mailing_id) if link_id else (clicker.c.recipient,)
            rows, next_key = page_of(connection, statement, key, after, size)
            return Page([_clicker(row, mailing_id, link_id) for row in rows], next_key)

        return self._database.read(work)

    def clicks(self, link_id: int, mailing_id: int, verdict: Verdict | None, after: Key | None, size: int) -> Page[Click]:
        """Clicks since the last reset, newest first. Raises LINK_NOT_FOUND, MAILING_NOT_FOUND."""

        def work(connection: Connection) -> Page[Click]:
            refuse_unknown(connection, link_id, mailing_id)
            statements = Statements(connection)
            conditions: dict[str, object | None] = {}
            if verdict is not None:
                conditions["verdict = ?"] = int(verdict)
                if verdict is not Verdict.human:
                    conditions[SUSPECTED] = None  # what the index of them says, in its words
            highest = next_id(after[0], -1) if after else HIGHEST
            found = newest_clicks(statements, places_of(statements, link_id, mailing_id), size + 1, conditions, highest)
            shown = found[:size]
            statement = (
                select(click, placement.c.mailing_id, interned.c.value.label("evidence"))
                .join(placement, placement.c.id == click.c.placement_id)
                .join(interned, interned.c.id == click.c.evidence_id)
                .where(click.c.id.in_(shown))
                .order_by(click.c.id.desc())
            )
            outcomes = _outcomes(connection, shown)
            clicks = [_click(row, outcomes.get(row.id, [])) for row in connection.execute(statement)]
            return Page(clicks, (shown[-1],) if len(found) > size else None)

        return self._database.read(work)


def refuse_unknown(connection: Connection, link_id: int, mailing_id: int) -> None:
    """Raises LINK_NOT_FOUND and MAILING_NOT_FOUND for what is given and does not exist; 0 is any."""
    if link_id:
        by_ids(connection, [link_id])
    if mailing_id:
        mailing_by_id(connection, mailing_id)


def since_reset(link_id: int) -> ColumnElement[bool]:
    """A link's clickers since its last reset. PostgreSQL takes them in the index's order; joined with the link it sorts them all."""
    generation = select(link.c.generation).where(link.c.id == link_id).scalar_subquery()
    return and_(clicker.c.link_id == link_id, clicker.c.generation == generation)


def _of_mailing() -> Select[Any]:
    current = and_(link.c.id == clicker.c.link_id, link.c.generation == clicker.c.generation)
    figures = (func.sum(clicker.c.clicks).label("clicks"), func.min(clicker.c.first_time).label("first_time"))
    last = func.max(clicker.c.last_time).label("last_time")
    return select(clicker.c.recipient, *figures, last).join(link, current).group_by(clicker.c.recipient)


def _clicker(row: Any, mailing_id: int, link_id: int) -> Clicker:
    return Clicker.model_construct(
        recipient=row.recipient,
        mailing_id=row.mailing_id if link_id else mailing_id,
        link_id=link_id,
        clicks=int(row.clicks),
        first_click_time=from_microseconds(row.first_time),
        last_click_time=from_microseconds(row.last_time),
    )


def _click(row: Any, outcomes: list[ActionOutcome]) -> Click:
    return Click.model_construct(
        id=click_text(row.id),
        placement_id=row.placement_id,
        link_id=row.link_id,
        mailing_id=row.mailing_id,
        recipient=row.recipient,
        verdict=Verdict(row.verdict),
        evidence=evidence_of(row.evidence),
        test=row.test,
        actions=outcomes,
    )


def _outcomes(connection: Connection, click_ids: list[bytes]) -> dict[bytes, list[ActionOutcome]]:
    outcomes: dict[bytes, list[ActionOutcome]] = {}
    rows = connection.execute(select(action_run).where(action_run.c.click_id.in_(click_ids)).order_by(action_run.c.position))
    for row in rows:
        outcomes.setdefault(row.click_id, []).append(ActionOutcome(row.action_id, ActionState(row.state), row.reason or ""))
    return outcomes
