"""What a batch of clicks adds to every figure, made in memory and written with one statement per table. Source: DESIGN, Counters."""

from collections import defaultdict
from collections.abc import Iterable

from server.model.click import SeenClick
from server.store.destinations import Destination
from server.store.sql import Statements

QUARTER = 900_000_000
"""Microseconds of a roll-up: 15 minutes, since an hour cannot give a day in India."""

_CLICKS, _CLICKERS, _SUSPECTED = 0, 1, 2


class Tally:
    """The figures of one batch."""

    def __init__(self) -> None:
        self._links: dict[int, list[int]] = defaultdict(lambda: [0, 0, 0])
        self._mailings: dict[int, list[int]] = defaultdict(lambda: [0, 0, 0])
        self._pairs: dict[tuple[int, int], list[int]] = defaultdict(lambda: [0, 0, 0])
        self._pair_times: dict[tuple[int, int], tuple[int, int]] = {}
        self._quarters: dict[tuple[int, int, int], list[int]] = defaultdict(lambda: [0, 0, 0])
        self._clickers: dict[tuple[int, int, int, int], list[int]] = {}
        self._known_of_link: set[tuple[int, int, int]] = set()
        self._known_of_mailing: set[tuple[int, int]] = set()
        self._known_of_pair: set[tuple[int, int, int, int]] = set()

    def know(self, statements: Statements, counted: Iterable[tuple[Destination, int]]) -> None:
        """Looks up who of the recipients of these counted clicks is a clicker already."""
        of_link, of_mailing = set(), set()
        for destination, recipient in counted:
            if recipient:
                of_link.add((destination.link.id, destination.link.generation, recipient))
                if destination.mailing.id:
                    of_mailing.add((destination.mailing.id, recipient))
        lock_recipients(statements, {recipient for _, _, recipient in of_link})
        select = "SELECT link_id, generation, recipient, mailing_id FROM clicker WHERE (link_id, generation, recipient) IN"
        for link_id, generation, recipient, mailing_id in statements.matching(select, sorted(of_link)):
            self._known_of_link.add((link_id, generation, recipient))
            self._known_of_pair.add((link_id, generation, recipient, mailing_id))
        select = "SELECT DISTINCT mailing_id, recipient FROM clicker WHERE (mailing_id, recipient) IN"
        self._known_of_mailing.update((row.mailing_id, row.recipient) for row in statements.matching(select, sorted(of_mailing)))

    def suspect(self, click: SeenClick, destination: Destination) -> None:
        """Adds a click that was no human's."""
        link_id, mailing_id = destination.link.id, destination.mailing.id
        self._links[link_id][_SUSPECTED] += 1
        if mailing_id:
            self._mailings[mailing_id][_SUSPECTED] += 1
        self._pairs[mailing_id, link_id][_SUSPECTED] += 1
        self._quarters[click.placement_id, destination.link.generation, click.microseconds // QUARTER][1] += 1

    def count(self, click: SeenClick, destination: Destination, recipient: int) -> None:
        """Adds a human's click; recipient 0 counts in clicks, never in clickers."""
        link_id, mailing_id, generation, time = destination.link.id, destination.mailing.id, destination.link.generation, click.microseconds
        self._links[link_id][_CLICKS] += 1
        if mailing_id:
            self._mailings[mailing_id][_CLICKS] += 1
        self._pairs[mailing_id, link_id][_CLICKS] += 1
        first, last = self._pair_times.get((mailing_id, link_id), (time, time))
        self._pair_times[mailing_id, link_id] = (min(first, time), max(last, time))
        quarter = self._quarters[click.placement_id, generation, time // QUARTER]
        quarter[0] += 1
        if recipient:
            quarter[2] += self._clicker(link_id, generation, recipient, mailing_id, time)

    def write(self, statements: Statements) -> None:
        """Adds all of it to the figures in the database, each table in the order of its key so that two servers do not deadlock."""
        statements.each(_ADD_CLICKERS, [(*key, *figures) for key, figures in sorted(self._clickers.items())])
        statements.each(_add_to("link_count", "link_id"), [(key, *figures) for key, figures in sorted(self._links.items())])
        statements.each(_add_to("mailing_count", "mailing_id"), [(key, *figures) for key, figures in sorted(self._mailings.items())])
        pairs = [(*key, *figures, *self._pair_times.get(key, (None, None))) for key, figures in sorted(self._pairs.items())]
        statements.each(_ADD_PAIRS, pairs)
        statements.each(_ADD_QUARTERS, [(*key, *figures) for key, figures in sorted(self._quarters.items())])

    def _clicker(self, link_id: int, generation: int, recipient: int, mailing_id: int, time: int) -> int:
        """Counts a clicker where it is new; 1 when it is new on this link in this mailing."""
        if (link_id, generation, recipient) not in self._known_of_link:
            self._known_of_link.add((link_id, generation, recipient))
            self._links[link_id][_CLICKERS] += 1
        if mailing_id and (mailing_id, recipient) not in self._known_of_mailing:
            self._known_of_mailing.add((mailing_id, recipient))
            self._mailings[mailing_id][_CLICKERS] += 1
        key = (link_id, generation, recipient, mailing_id)
        figures = self._clickers.get(key)
        if figures is None:
            self._clickers[key] = [1, time, time]
        else:
            figures[0] += 1
            figures[1], figures[2] = min(figures[1], time), max(figures[2], time)
        if key in self._known_of_pair:
            return 0
        self._known_of_pair.add(key)
        self._pairs[mailing_id, link_id][_CLICKERS] += 1
        return 1


def lock_recipients(statements: Statements, recipients: set[int]) -> None:
    """On PostgreSQL, has other servers wait with the same recipients, or two could count one clicker twice. SQLite has one writer."""
    if not statements.is_sqlite:
        buckets = {recipient % 128 for recipient in recipients}
        statements.each("SELECT pg_advisory_xact_lock(7450, ?)", [(bucket,) for bucket in sorted(buckets)])


def _add_to(table: str, key: str) -> str:
    added = ", ".join(f"{name} = {table}.{name} + excluded.{name}" for name in ("clicks", "clickers", "suspected"))
    return f"INSERT INTO {table} ({key}, clicks, clickers, suspected) VALUES (?, ?, ?, ?) ON CONFLICT ({key}) DO UPDATE SET {added}"


_ADD_CLICKERS = """
INSERT INTO clicker (link_id, generation, recipient, mailing_id, clicks, first_time, last_time) VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (link_id, generation, recipient, mailing_id) DO UPDATE SET
  clicks = clicker.clicks + excluded.clicks,
  first_time = CASE WHEN excluded.first_time < clicker.first_time THEN excluded.first_time ELSE clicker.first_time END,
  last_time = CASE WHEN excluded.last_time > clicker.last_time THEN excluded.last_time ELSE clicker.last_time END
"""

# A time is NULL until the first counted click; comparing with NULL is not true, so the other branch decides.
_ADD_PAIRS = """
INSERT INTO mailing_link_count (mailing_id, link_id, clicks, clickers, suspected, first_time, last_time) VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (mailing_id, link_id) DO UPDATE SET
  clicks = mailing_link_count.clicks + excluded.clicks,
  clickers = mailing_link_count.clickers + excluded.clickers,
  suspected = mailing_link_count.suspected + excluded.suspected,
  first_time = CASE WHEN mailing_link_count.first_time IS NULL OR excluded.first_time < mailing_link_count.first_time
    THEN excluded.first_time ELSE mailing_link_count.first_time END,
  last_time = CASE WHEN mailing_link_count.last_time IS NULL OR excluded.last_time > mailing_link_count.last_time
    THEN excluded.last_time ELSE mailing_link_count.last_time END
"""

_ADD_QUARTERS = """
INSERT INTO roll_up (placement_id, generation, quarter, clicks, suspected, first_clicks) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (placement_id, generation, quarter) DO UPDATE SET
  clicks = roll_up.clicks + excluded.clicks,
  suspected = roll_up.suspected + excluded.suspected,
  first_clicks = roll_up.first_clicks + excluded.first_clicks
"""
