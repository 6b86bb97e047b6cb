"""What a batch of clicks adds to every figure, made in memory and written with one statement per table. Source: DESIGN, Counters."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from server.store.click_rows import NewClick
from server.store.destinations import Destination
from server.store.sql import Asked, Insert, Statements

QUARTER = 900_000_000
"""Microseconds of a roll-up: 15 minutes, since an hour cannot give a day in India."""

Clicker = tuple[int, int, int, int]
"""A recipient on a link in a mailing: link, its generation, recipient, mailing. The key of its row."""


@dataclass(slots=True)
class _Place:
    """What a batch adds to the figures of one placement, and by it to those of its link and its mailing."""

    destination: Destination
    clicks: int = 0
    suspected: int = 0
    of_link: int = 0
    of_mailing: int = 0
    of_pair: int = 0
    """Recipients who are new: as clickers of the link, of the mailing, of the link in the mailing."""
    first_time: int | None = None
    last_time: int | None = None
    quarters: dict[int, list[int]] = field(default_factory=dict)
    """By quarter: clicks, suspected, first clicks."""


@dataclass(slots=True)
class _Clicks:
    """What a batch adds to the row of a clicker; `place` and `quarter` are of the first click."""

    place: _Place
    quarter: list[int]
    clicks: int
    first_time: int
    last_time: int


class Tally:
    """The figures of one batch."""

    def __init__(self, clicks: Iterable[NewClick]) -> None:
        """Counts these clicks in memory."""
        self._places: dict[int, _Place] = {}
        self._clickers: dict[Clicker, _Clicks] = {}
        for click in clicks:
            if click.counts:
                self._count(click)
            elif click.is_suspected:
                self._suspect(click)

    def settle(self, statements: Statements) -> None:
        """Finds out which clickers are new. Asks for rows, so it comes before `write`; on PostgreSQL it locks their recipients."""
        if not self._clickers:
            return
        clickers = sorted(self._clickers)
        lock = (_LOCK, [_buckets(recipient for _, _, recipient, _ in clickers)])
        on_links: set[tuple[int, int, int]] = set()
        in_mailings: set[tuple[int, int]] = set()
        for link_id, generation, recipient, mailing_id, on_link, in_mailing in statements.of_each(WHO_IS_NEW, clickers, [lock]):
            if on_link == 1:
                continue
            clicks = self._clickers[link_id, generation, recipient, mailing_id]
            clicks.place.of_pair += 1
            clicks.quarter[2] += 1
            if on_link is None and (link_id, generation, recipient) not in on_links:
                on_links.add((link_id, generation, recipient))
                clicks.place.of_link += 1
            if mailing_id and not in_mailing and (mailing_id, recipient) not in in_mailings:
                in_mailings.add((mailing_id, recipient))
                clicks.place.of_mailing += 1

    def write(self, statements: Statements) -> None:
        """Adds all to the figures in the database, each table in the order of its key so that two servers do not deadlock."""
        links: dict[int, list[int]] = {}
        mailings: dict[int, list[int]] = {}
        pairs: dict[tuple[int, int], list[int | None]] = {}
        quarters: list[tuple[int, ...]] = []
        for placement_id, place in sorted(self._places.items()):
            link, mailing_id = place.destination.link, place.destination.mailing.id
            _add(links.setdefault(link.id, [0, 0, 0]), place.clicks, place.of_link, place.suspected)
            if mailing_id:
                _add(mailings.setdefault(mailing_id, [0, 0, 0]), place.clicks, place.of_mailing, place.suspected)
            pair = pairs.setdefault((mailing_id, link.id), [0, 0, 0, None, None])
            _add(pair, place.clicks, place.of_pair, place.suspected)
            pair[3] = min((time for time in (pair[3], place.first_time) if time is not None), default=None)
            pair[4] = max((time for time in (pair[4], place.last_time) if time is not None), default=None)
            quarters += ((placement_id, link.generation, quarter, *figures) for quarter, figures in sorted(place.quarters.items()))
        clickers = ((key, self._clickers[key]) for key in sorted(self._clickers))
        statements.insert(_ADD_CLICKERS, [(*key, each.clicks, each.first_time, each.last_time) for key, each in clickers])
        statements.insert(_ADD_LINKS, [(key, *figures) for key, figures in sorted(links.items())])
        statements.insert(_ADD_MAILINGS, [(key, *figures) for key, figures in sorted(mailings.items())])
        statements.insert(_ADD_PAIRS, [(*key, *figures) for key, figures in sorted(pairs.items())])
        statements.insert(_ADD_QUARTERS, quarters)

    def _count(self, click: NewClick) -> None:
        """Adds a human's click; recipient 0 counts in clicks, never in clickers."""
        seen, destination = click.seen, click.destination
        time = seen.microseconds
        place = self._place(click)
        place.clicks += 1
        if place.first_time is None or place.last_time is None:
            place.first_time = place.last_time = time
        elif time < place.first_time:
            place.first_time = time
        elif time > place.last_time:
            place.last_time = time
        quarter = _quarter(place, time)
        quarter[0] += 1
        if recipient := seen.identity:
            key = (destination.link.id, destination.link.generation, recipient, destination.mailing.id)
            before = self._clickers.get(key)
            if before is None:
                self._clickers[key] = _Clicks(place, quarter, 1, time, time)
            else:
                before.clicks += 1
                before.first_time, before.last_time = min(before.first_time, time), max(before.last_time, time)

    def _suspect(self, click: NewClick) -> None:
        place = self._place(click)
        place.suspected += 1
        _quarter(place, click.seen.microseconds)[1] += 1

    def _place(self, click: NewClick) -> _Place:
        place = self._places.get(click.seen.placement_id)
        if place is None:
            place = self._places[click.seen.placement_id] = _Place(click.destination)
        return place


def lock_recipients(statements: Statements, recipients: set[int]) -> None:
    """On PostgreSQL, has other servers wait with the same recipients, or two could count one clicker twice. SQLite has one writer."""
    if recipients and not statements.is_sqlite:
        statements.rows(_LOCK, [_buckets(recipients)])


def _buckets(recipients: Iterable[int]) -> list[int]:
    return sorted({recipient % 128 for recipient in recipients})


def _quarter(place: _Place, time: int) -> list[int]:
    quarter = place.quarters.get(time // QUARTER)
    if quarter is None:
        quarter = place.quarters[time // QUARTER] = [0, 0, 0]
    return quarter


def _add(figures: list[Any], clicks: int, clickers: int, suspected: int) -> None:
    figures[0] += clicks
    figures[1] += clickers
    figures[2] += suspected


def _adding(table: str, *columns: str) -> str:
    return ", ".join(f"{name} = {table}.{name} + excluded.{name}" for name in columns)


_BIG = "bigint"
_FIGURES = {"clicks": _BIG, "clickers": _BIG, "suspected": _BIG}
_CLICKER = {"link_id": _BIG, "generation": _BIG, "recipient": _BIG, "mailing_id": _BIG}

_LOCK = "SELECT pg_advisory_xact_lock(7450, bucket) FROM unnest(?::int[]) AS bucket"
# Whether a clicker has a row on this link (1: in this mailing, 0: in others only, NULL: none), and one in this mailing.
# Only a new row can make one clicker more of either. A plan that PostgreSQL makes for EXISTS while the
# table is empty, and keeps, reads all of it each time (tried).
WHO_IS_NEW = Asked(
    ["link_id", "generation", "recipient", "mailing_id"],
    """SELECT link_id, generation, recipient, mailing_id,
  (SELECT max(CASE WHEN c.mailing_id = asked.mailing_id THEN 1 ELSE 0 END) FROM clicker AS c
    WHERE c.link_id = asked.link_id AND c.generation = asked.generation AND c.recipient = asked.recipient) AS on_link,
  (SELECT 1 FROM clicker AS c WHERE c.mailing_id = asked.mailing_id AND c.recipient = asked.recipient LIMIT 1) AS in_mailing
FROM asked""",
)
_ADD_CLICKERS = Insert(
    "clicker",
    {**_CLICKER, "clicks": _BIG, "first_time": _BIG, "last_time": _BIG},
    """ON CONFLICT (link_id, generation, recipient, mailing_id) DO UPDATE SET clicks = clicker.clicks + excluded.clicks,
  first_time = CASE WHEN excluded.first_time < clicker.first_time THEN excluded.first_time ELSE clicker.first_time END,
  last_time = CASE WHEN excluded.last_time > clicker.last_time THEN excluded.last_time ELSE clicker.last_time END""",
)
_ADD_LINKS = Insert(
    "link_count",
    {"link_id": _BIG, **_FIGURES},
    f"ON CONFLICT (link_id) DO UPDATE SET {_adding('link_count', *_FIGURES)}",
)
_ADD_MAILINGS = Insert(
    "mailing_count",
    {"mailing_id": _BIG, **_FIGURES},
    f"ON CONFLICT (mailing_id) DO UPDATE SET {_adding('mailing_count', *_FIGURES)}",
)
# A time is NULL until the first counted click; comparing with NULL is not true, so the other branch decides.
_ADD_PAIRS = Insert(
    "mailing_link_count",
    {"mailing_id": _BIG, "link_id": _BIG, **_FIGURES, "first_time": _BIG, "last_time": _BIG},
    f"""ON CONFLICT (mailing_id, link_id) DO UPDATE SET {_adding("mailing_link_count", *_FIGURES)},
  first_time = CASE WHEN mailing_link_count.first_time IS NULL OR excluded.first_time < mailing_link_count.first_time
    THEN excluded.first_time ELSE mailing_link_count.first_time END,
  last_time = CASE WHEN mailing_link_count.last_time IS NULL OR excluded.last_time > mailing_link_count.last_time
    THEN excluded.last_time ELSE mailing_link_count.last_time END""",
)
_ADD_QUARTERS = Insert(
    "roll_up",
    {"placement_id": _BIG, "generation": _BIG, "quarter": _BIG, "clicks": _BIG, "suspected": _BIG, "first_clicks": _BIG},
    f"""ON CONFLICT (placement_id, generation, quarter) DO UPDATE SET {_adding("roll_up", "clicks", "suspected", "first_clicks")}""",
)
