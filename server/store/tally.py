"""What a batch of clicks adds to every figure, made in memory and written with one statement per table. Source: DESIGN, Counters."""

from collections.abc import Iterable, Sequence

from server.store.click_rows import NewClick
from server.store.sql import Insert, Statements, array

QUARTER = 900_000_000
"""Microseconds of a roll-up: 15 minutes, since an hour cannot give a day in India."""

_CLICKS, _CLICKERS, _SUSPECTED = 0, 1, 2

Clicker = tuple[int, int, int, int]
"""A recipient on a link in a mailing: link, its generation, recipient, mailing. The key of its row."""


class Tally:
    """The figures of one batch: of each list [clicks, clickers, suspected], of a clicker [clicks, first time, last time]."""

    def __init__(self, clicks: Iterable[NewClick]) -> None:
        """Counts these clicks in memory."""
        self._links: dict[int, list[int]] = {}
        self._mailings: dict[int, list[int]] = {}
        self._pairs: dict[tuple[int, int], list[int]] = {}
        self._pair_times: dict[tuple[int, int], list[int]] = {}
        self._quarters: dict[tuple[int, int, int], list[int]] = {}
        self._clickers: dict[Clicker, list[int]] = {}
        self._first_quarters: dict[Clicker, list[int]] = {}
        self._new: list[Clicker] = []
        for click in clicks:
            if click.counts:
                self._count(click)
            elif click.is_suspected:
                self._suspect(click)

    def settle(self, statements: Statements) -> None:
        """Adds the clicks of clickers to their rows, and counts those who are new. Asks for rows, so it comes before `write`."""
        clickers = sorted(self._clickers)
        self._new = new = self._without_row(statements, clickers)
        # Who is a clicker on this link, or in this mailing, in another row: only a new row can make one more of either.
        links = sorted({key[:3] for key in new})
        mailings = sorted({(mailing_id, recipient) for _, _, recipient, mailing_id in new if mailing_id})
        of_link, of_mailing = statements.present([(_OF_LINK, links), (_OF_MAILING, mailings)])
        for key in new:
            link_id, _, recipient, mailing_id = key
            self._pairs[mailing_id, link_id][_CLICKERS] += 1
            self._first_quarters[key][2] += 1
            if key[:3] not in of_link:
                of_link.add(key[:3])
                self._links[link_id][_CLICKERS] += 1
            if mailing_id and (mailing_id, recipient) not in of_mailing:
                of_mailing.add((mailing_id, recipient))
                self._mailings[mailing_id][_CLICKERS] += 1

    def write(self, statements: Statements) -> None:
        """Adds all else to the figures in the database, each table in the order of its key so that two servers do not deadlock."""
        statements.insert(_INSERT_CLICKERS, [(*key, *self._clickers[key]) for key in self._new])
        statements.insert(_ADD_LINKS, [(key, *figures) for key, figures in sorted(self._links.items())])
        statements.insert(_ADD_MAILINGS, [(key, *figures) for key, figures in sorted(self._mailings.items())])
        pairs = [(*key, *figures, *self._pair_times.get(key, (None, None))) for key, figures in sorted(self._pairs.items())]
        statements.insert(_ADD_PAIRS, pairs)
        statements.insert(_ADD_QUARTERS, [(*key, *figures) for key, figures in sorted(self._quarters.items())])

    def _suspect(self, click: NewClick) -> None:
        self._figures(click, click.seen.microseconds, _SUSPECTED)[1] += 1

    def _count(self, click: NewClick) -> None:
        """Adds a human's click; recipient 0 counts in clicks, never in clickers."""
        time = click.seen.microseconds
        quarter = self._figures(click, time, _CLICKS)
        quarter[0] += 1
        link_id, mailing_id, recipient = click.destination.link.id, click.destination.mailing.id, click.seen.identity
        _stretch(self._pair_times.setdefault((mailing_id, link_id), [time, time]), time)
        if recipient:
            key = (link_id, click.destination.link.generation, recipient, mailing_id)
            if figures := self._clickers.get(key):
                figures[0] += 1
                figures[1], figures[2] = min(figures[1], time), max(figures[2], time)
            else:
                self._clickers[key] = [1, time, time]
                self._first_quarters[key] = quarter

    def _figures(self, click: NewClick, time: int, which: int) -> list[int]:
        """Adds 1 to that figure of the link, the mailing and the link in the mailing; the figures of the quarter, clicks and suspected."""
        link, mailing_id = click.destination.link, click.destination.mailing.id
        self._links.setdefault(link.id, [0, 0, 0])[which] += 1
        if mailing_id:
            self._mailings.setdefault(mailing_id, [0, 0, 0])[which] += 1
        self._pairs.setdefault((mailing_id, link.id), [0, 0, 0])[which] += 1
        return self._quarters.setdefault((click.seen.placement_id, link.generation, time // QUARTER), [0, 0, 0])

    def _without_row(self, statements: Statements, clickers: Sequence[Clicker]) -> list[Clicker]:
        """Adds to the rows of these clickers, on PostgreSQL with their recipients locked; those who have none, in order."""
        if statements.is_sqlite:
            changed = statements.changed(_ADD_TO_CLICKER, ((*self._clickers[key], *key) for key in clickers))
            return [key for key, had_row in zip(clickers, changed, strict=True) if not had_row]
        if not clickers:
            return []
        columns = zip(*((*key, *self._clickers[key]) for key in clickers), strict=True)
        lock = (_LOCK, [_buckets(recipient for _, _, recipient, _ in clickers)])
        _, had_row = statements.rows_of_each([lock, (_ADD_TO_CLICKERS, [array(_BIG, column) for column in columns])])
        return sorted(set(clickers) - set(map(tuple, had_row)))


def lock_recipients(statements: Statements, recipients: set[int]) -> None:
    """On PostgreSQL, has other servers wait with the same recipients, or two could count one clicker twice. SQLite has one writer."""
    if recipients and not statements.is_sqlite:
        statements.rows(_LOCK, [_buckets(recipients)])


def _buckets(recipients: Iterable[int]) -> list[int]:
    return sorted({recipient % 128 for recipient in recipients})


def _stretch(times: list[int], time: int) -> None:
    if time < times[0]:
        times[0] = time
    elif time > times[1]:
        times[1] = time


def _adding(table: str, *columns: str) -> str:
    return ", ".join(f"{name} = {table}.{name} + excluded.{name}" for name in columns)


_BIG = "bigint"
_FIGURES = {"clicks": _BIG, "clickers": _BIG, "suspected": _BIG}
_CLICKER = {"link_id": _BIG, "generation": _BIG, "recipient": _BIG, "mailing_id": _BIG}

_LOCK = "SELECT pg_advisory_xact_lock(7450, bucket) FROM unnest(?::int[]) AS bucket"
_OF_LINK = "SELECT DISTINCT link_id, generation, recipient FROM clicker WHERE (link_id, generation, recipient) IN"
_OF_MAILING = "SELECT DISTINCT mailing_id, recipient FROM clicker WHERE (mailing_id, recipient) IN"
_ADD_TO_CLICKER = """
UPDATE clicker SET clicks = clicks + ?, first_time = min(first_time, ?), last_time = max(last_time, ?)
WHERE link_id = ? AND generation = ? AND recipient = ? AND mailing_id = ?
"""
_ADD_TO_CLICKERS = """
UPDATE clicker SET clicks = clicker.clicks + added.clicks, first_time = least(clicker.first_time, added.first_time),
  last_time = greatest(clicker.last_time, added.last_time)
FROM unnest(?::bigint[], ?::bigint[], ?::bigint[], ?::bigint[], ?::bigint[], ?::bigint[], ?::bigint[])
  AS added (link_id, generation, recipient, mailing_id, clicks, first_time, last_time)
WHERE clicker.link_id = added.link_id AND clicker.generation = added.generation
  AND clicker.recipient = added.recipient AND clicker.mailing_id = added.mailing_id
RETURNING clicker.link_id, clicker.generation, clicker.recipient, clicker.mailing_id
"""
_INSERT_CLICKERS = Insert("clicker", {**_CLICKER, "clicks": _BIG, "first_time": _BIG, "last_time": _BIG})
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
