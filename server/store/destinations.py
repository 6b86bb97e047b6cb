"""What a click needs to know of its placement, link and mailing.

Caches save parsing, never the check: revisions are read in each transaction.
"""

import gc
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any

from sqlalchemy import Connection, select

from server.model.click import Answer
from server.model.link import CustomText, Form, Link, Redirect
from server.model.mailing import Mailing, PlacementKind
from server.model.url_fields import url_fields
from server.model.urls import location_of, with_analytics
from server.store.link_rows import as_link, link
from server.store.mailings import as_mailing, mailing
from server.store.sql import Statements, array

MOST_CACHED = 100_000
"""Placements, links and mailings that are remembered; at the limit a quarter is forgotten, and read again when it is asked for."""

MOST_FRESH = 2_000
"""So many more, and Python's search for garbage is told to leave out all that is there now, which has none in it. It goes through every
object that lives: 312 ms with 100,000 placements (measured), in which no click moves. What is dropped goes at once all the same.
"""

NO_MAILING = Mailing.model_construct(id=0, name="", language="", revision=0, google_analytics=None, test=False)
"""What stands for the mailing of a placement outside one."""


@dataclass(frozen=True)
class Destination:
    """Where a placement leads, as its link and mailing are now."""

    placement_id: int
    link: Link
    mailing: Mailing
    answer: Answer

    @cached_property
    def has_script(self) -> bool:
        """Whether a click waits for a script of its link."""
        return any(action.kind.script() for action in self.link.actions)

    @cached_property
    def sends_elsewhere(self) -> bool:
        """Whether an action of its link sends something to another system."""
        return any(any(action.kind.receivers()) for action in self.link.actions)


class Destinations:
    """Where placements lead; remembers what it has read. For one thread."""

    def __init__(self) -> None:
        self._placements: dict[int, tuple[int, int]] = {}
        self._special: dict[int, PlacementKind] = {}
        self._links: dict[int, Link] = {}
        self._mailings: dict[int, Mailing] = {}
        self._known: dict[int, Destination] = {}
        self._fresh = 0
        self._version: object = None
        self._checked: set[tuple[int, int]] = set()

    def of(self, statements: Statements, placement_ids: Iterable[int], version: object = None) -> Mapping[int, Destination]:
        """Where these placements lead. One that does not exist is left out, and so is that of a special link.

        Nobody changes them until the transaction ends. As long as the `version` is the same, and not None, nobody has since the last one.
        """
        if version is None or version != self._version:
            self._version = version
            self._checked.clear()
        if max(len(self._placements), len(self._special), len(self._links)) > MOST_CACHED:
            self._forget_oldest()
        if self._fresh >= MOST_FRESH:
            gc.freeze()
            self._fresh = 0
        wanted = set(placement_ids)
        unknown = [placement_id for placement_id in wanted if placement_id not in self._placements and placement_id not in self._special]
        for row in statements.matching("SELECT id, kind, link_id, mailing_id FROM placement WHERE id IN", unknown):
            if row.kind == PlacementKind.link:
                self._placements[row.id] = (row.link_id, row.mailing_id)
            else:
                self._special[row.id] = PlacementKind(row.kind)
        places = {placement_id: self._placements[placement_id] for placement_id in wanted if placement_id in self._placements}
        if unchecked := set(places.values()) - self._checked:
            self._refresh(statements, {link_id for link_id, _ in unchecked}, {mailing_id for _, mailing_id in unchecked} - {0})
            self._checked |= unchecked
        return {placement_id: self._destination(placement_id, *place) for placement_id, place in places.items()}

    def special(self, placement_id: int) -> PlacementKind | None:
        """Which special link a placement that was asked for is of; None for any other."""
        return self._special.get(placement_id)

    def forget(self) -> None:
        """Reads everything again when it is next asked for."""
        for cache in (self._placements, self._special, self._links, self._mailings, self._known, self._checked):
            cache.clear()

    def _forget_oldest(self) -> None:
        """A quarter: when all go at once, every click that comes then waits for what it needs to be read again."""
        for cache in (self._placements, self._special, self._links, self._mailings, self._known):
            drop_oldest(cache)
        self._checked.clear()

    def _refresh(self, statements: Statements, link_ids: set[int], mailing_ids: set[int]) -> None:
        if statements.is_sqlite:
            links = statements.matching("SELECT id, revision FROM link WHERE id IN", sorted(link_ids))
            mailings = statements.matching("SELECT id, revision FROM mailing WHERE id IN", sorted(mailing_ids))
        else:
            rows = statements.rows(_LOCKED_REVISIONS, [array("bigint", sorted(link_ids)), array("bigint", sorted(mailing_ids))])
            links, mailings = ([row for row in rows if row.is_link is which] for which in (True, False))
        _read_again(statements, links, self._links, link, as_link)
        _read_again(statements, mailings, self._mailings, mailing, as_mailing)

    def _destination(self, placement_id: int, link_id: int, mailing_id: int) -> Destination:
        to_link, in_mailing = self._links[link_id], self._mailings[mailing_id] if mailing_id else NO_MAILING
        known = self._known.get(placement_id)
        if known is None or known.link is not to_link or known.mailing is not in_mailing:
            known = Destination(placement_id, to_link, in_mailing, answer_of(to_link, in_mailing))
            self._known[placement_id] = known
            self._fresh += 1
        return known


def drop_oldest(cache: dict[Any, Any]) -> None:
    """Takes out the quarter that has been in it longest."""
    for key in list(islice(cache, len(cache) // 4)):
        del cache[key]


def _read_again(statements: Statements, found: Iterable[Any], cache: dict[int, Any], table: Any, as_model: Any) -> None:
    """Reads what is not in the cache in this revision."""
    stale = [row.id for row in found if row.id not in cache or cache[row.id].revision != row.revision]
    for start in range(0, len(stale), 500):
        for row in statements.connection.execute(select(table).where(table.c.id.in_(stale[start : start + 500]))):
            cache[row.id] = as_model(row)


_LOCKED_REVISIONS = """
WITH links AS (SELECT id, revision FROM link WHERE id IN (SELECT unnest(?::bigint[])) ORDER BY id FOR SHARE),
  mailings AS (SELECT id, revision FROM mailing WHERE id IN (SELECT unnest(?::bigint[])) ORDER BY id FOR SHARE)
SELECT true AS is_link, id, revision FROM links UNION ALL SELECT false, id, revision FROM mailings
"""


def destination_of(connection: Connection, link_id: int, mailing_id: int) -> Destination:
    """Where a placement of this link in this mailing (0: outside one) leads or would lead; it has no number. Both must exist."""
    to_link = as_link(connection.execute(select(link).where(link.c.id == link_id)).one())
    in_mailing = as_mailing(connection.execute(select(mailing).where(mailing.c.id == mailing_id)).one()) if mailing_id else NO_MAILING
    return Destination(0, to_link, in_mailing, answer_of(to_link, in_mailing))


def answer_of(to_link: Link, in_mailing: Mailing) -> Answer:
    """What a click on this link in this mailing is answered by."""
    match to_link.response:
        case Redirect(url=url):
            return Answer(form=url, brought=True) if url_fields(url) else location(url, in_mailing)
        case CustomText(html=html):
            return Answer(text=html)
        case Form(url=url):
            return Answer(form=url)


def location(url: str, in_mailing: Mailing) -> Answer:
    """The answer that sends a recipient of this mailing to the URL."""
    if analytics := in_mailing.google_analytics:
        url = with_analytics(url, analytics.source, analytics.campaign)
    return Answer(location=location_of(url).decode("ascii"))
