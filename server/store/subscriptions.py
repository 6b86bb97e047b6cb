"""Subscriptions of the embedded CRM in the database: each method is one transaction.

A person and the address on the person's card are one subscriber: of what both have said, the later counts.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, select

from server.model.crm import Catalog, address_key
from server.model.errors import DomainError, Reason, Violation, invalid
from server.model.ids import address_recipient, person_recipient
from server.model.subscription import Subscriber, Subscription
from server.store.crm_tables import EntryRow
from server.store.database import Database
from server.store.placements import address_ids
from server.store.sql import Statements
from server.store.tables import table_of
from server.store.types import from_microseconds, to_microseconds

_entry = table_of(EntryRow)


MOST_SUBSCRIPTIONS = 20_000
"""Of one answer, which clients take up to 4 MiB of."""


class SubscriptionStore:
    """The subscriptions of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of(self, subscribers: Sequence[Subscriber], mailing_type_id: int = 0) -> list[list[Subscription]]:
        """For each subscriber the mailing types, by id, or only one where it is given. Raises REFERENCE_NOT_FOUND for that."""
        return self._database.read(lambda connection: _of(connection, subscribers, mailing_type_id))

    def set(self, subscriber: Subscriber, mailing_type_id: int, subscribed: bool, time: datetime) -> Subscription:
        """What the subscription is once the change is made; one that is older than what is stored changes nothing.

        A later one of the same is stored for its time, or an earlier one that comes late would count. Raises REFERENCE_NOT_FOUND.
        """

        def work(connection: Connection) -> Subscription:
            ((before,),) = _of(connection, [subscriber], mailing_type_id, locked=True)
            if before.change_time is not None and before.change_time >= time:
                return before
            statements = Statements(connection)
            numbers = sorted(_own_numbers(statements, subscriber))
            statements.each(_SET, [(number, mailing_type_id, subscribed, to_microseconds(time)) for number in numbers])
            ((after,),) = _of(connection, [subscriber], mailing_type_id)
            return after

        return self._database.write(work)


class _Known(NamedTuple):
    subscribed: bool
    time: int


def _of(connection: Connection, subscribers: Sequence[Subscriber], mailing_type_id: int, locked: bool = False) -> list[list[Subscription]]:
    types = _mailing_types(connection, mailing_type_id, locked)
    if len(types) * len(subscribers) > MOST_SUBSCRIPTIONS:
        raise invalid(
            Violation("subscribers", f"must be fewer: {len(subscribers):,} with {len(types):,} mailing types are too many for one answer")
        )
    statements = Statements(connection)
    numbers = _numbers(statements, subscribers)
    said: dict[int, dict[int, _Known]] = defaultdict(dict)
    for row in statements.matching(_SELECT, sorted({number for some in numbers for number in some})):
        said[row.recipient][row.mailing_type_id] = _Known(bool(row.subscribed), row.change_time)
    return [[_subscription(type_id, name, [said[number] for number in some]) for type_id, name in types.items()] for some in numbers]


def _subscription(type_id: int, name: str, said: Iterable[dict[int, _Known]]) -> Subscription:
    known = [some[type_id] for some in said if type_id in some]
    last = max(known, key=lambda each: (each.time, not each.subscribed), default=None)  # of two at once, leaving counts
    return Subscription.model_construct(
        mailing_type_id=type_id,
        mailing_type=name,
        subscribed=last.subscribed if last else True,
        change_time=from_microseconds(last.time) if last else None,
    )


def _mailing_types(connection: Connection, only: int, locked: bool) -> dict[int, str]:
    statement = select(_entry.c.id, _entry.c.name).where(_entry.c.catalog == Catalog.mailing_type.value).order_by(_entry.c.id)
    if only:
        statement = statement.where(_entry.c.id == only)
    if locked:
        statement = statement.with_for_update()  # two changes at once are one after the other
    types = {row.id: row.name for row in connection.execute(statement)}
    if only and not types:
        problem = f"the CRM has no mailing type {only}"
        raise DomainError(Reason.reference_not_found, f"mailing_type_id: {problem}", [Violation("mailing_type_id", problem)])
    return types


def _numbers(statements: Statements, subscribers: Sequence[Subscriber]) -> list[set[int]]:
    """Under which recipient numbers each of them has said something: a person, and who has the same address."""
    keys = {each.email: address_key(each.email) for each in subscribers if each.email}
    persons = {row.id: row.email_key for row in statements.matching(_PERSONS_BY_ID, _sorted(each.person_id for each in subscribers))}
    all_keys = {*keys.values(), *(key for key in persons.values() if key)}
    by_key: dict[str, set[int]] = defaultdict(set)
    for row in statements.matching(_PERSONS_BY_KEY, sorted(all_keys)):
        by_key[row.email_key].add(person_recipient(row.id))
    for row in statements.matching(_ADDRESSES, sorted(all_keys)):
        by_key[row.key].add(address_recipient(row.id))
    found: list[set[int]] = []
    for each in subscribers:
        key = keys[each.email] if each.email else persons.get(each.person_id or 0)
        own = {person_recipient(each.person_id)} if each.person_id else set()
        found.append(own | (by_key[key] if key else set()))
    return found


def _own_numbers(statements: Statements, subscriber: Subscriber) -> set[int]:
    """Under which numbers a change is kept: a person's under that of the address on the card as well, which stays when the person goes."""
    if not subscriber.person_id:
        assert subscriber.email, "a subscriber is a person or an address"
        return {address_recipient(address_ids(statements, [subscriber.email])[subscriber.email])}
    cards = statements.rows("SELECT email FROM crm_person WHERE id = ?", (subscriber.person_id,))
    emails = [row.email for row in cards if row.email]
    return {person_recipient(subscriber.person_id)} | {address_recipient(number) for number in address_ids(statements, emails).values()}


def _sorted(ids: Iterable[int | None]) -> Collection[int]:
    return sorted({number for number in ids if number})


_SELECT = "SELECT recipient, mailing_type_id, subscribed, change_time FROM crm_subscription WHERE recipient IN"
_SET = """
INSERT INTO crm_subscription (recipient, mailing_type_id, subscribed, change_time) VALUES (?, ?, ?, ?)
ON CONFLICT (recipient, mailing_type_id) DO UPDATE SET subscribed = excluded.subscribed, change_time = excluded.change_time
"""
_PERSONS_BY_ID = "SELECT id, email_key FROM crm_person WHERE id IN"
_PERSONS_BY_KEY = "SELECT id, email_key FROM crm_person WHERE email_key IN"
_ADDRESSES = "SELECT id, key FROM address WHERE key IN"
