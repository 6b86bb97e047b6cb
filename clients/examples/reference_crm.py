"""A small CRM to work with: everything that trackedlinks.v1.CrmService asks of one, kept in one SQLite file. See README.md beside it."""

import argparse
import signal
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from trackedlinks.v1 import crm_pb2, crm_service_pb2, crm_service_pb2_grpc

KEPT_SECONDS = 30 * 24 * 3600
MOST_BYTES = 3_500_000
MEMBERSHIPS = {crm_pb2.CATALOG_SELECTION: "selections", crm_pb2.CATALOG_PROJECT: "projects", crm_pb2.CATALOG_INTEREST: "interests"}
FOLLOW_UP = [field.name for field in crm_pb2.FollowUp.DESCRIPTOR.fields if field.name != "id"]
SERVICE_REQUEST = [field.name for field in crm_pb2.ServiceRequest.DESCRIPTOR.fields if field.name != "id"]

SCHEMA = f"""
CREATE TABLE IF NOT EXISTS person (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT, email TEXT, our_contact_id INTEGER);
CREATE TABLE IF NOT EXISTS entry (id INTEGER PRIMARY KEY AUTOINCREMENT, catalog INTEGER, name TEXT);
CREATE TABLE IF NOT EXISTS member (person_id INTEGER, entry_id INTEGER, PRIMARY KEY (person_id, entry_id));
CREATE TABLE IF NOT EXISTS extra_field (person_id INTEGER, field TEXT, value TEXT, PRIMARY KEY (person_id, field));
CREATE TABLE IF NOT EXISTS follow_up (id INTEGER PRIMARY KEY AUTOINCREMENT, {", ".join(FOLLOW_UP)});
CREATE TABLE IF NOT EXISTS service_request (id INTEGER PRIMARY KEY AUTOINCREMENT, {", ".join(SERVICE_REQUEST)});
CREATE TABLE IF NOT EXISTS applied (key TEXT PRIMARY KEY, time REAL);
CREATE TABLE IF NOT EXISTS subscription (subscriber TEXT, mailing_type_id INTEGER, subscribed INTEGER, time REAL,
  PRIMARY KEY (subscriber, mailing_type_id));
CREATE INDEX IF NOT EXISTS applied_time ON applied (time);
"""

ENTRIES = [("USER", "Liv"), ("SELECTION", "Wants a tour"), ("PROJECT", "Spring campaign"), ("INTEREST", "Skiing")]
ENTRIES += [("CATEGORY", "Tours"), ("PRIORITY", "High"), ("MAILING_TYPE", "Newsletter"), ("TASK_TYPE", "Call back")]
PERSONS = [("Kari Nordmann", "kari@example.com", 1), ("Ola Nordmann", "ola@example.com", 0), ("Åse Bø", "", 1)]


class Database:
    """One SQLite file, one transaction at a time."""

    def __init__(self, path: str) -> None:
        self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._lock = threading.Lock()
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")  # what is answered has to survive a power cut
        self._connection.executescript(SCHEMA)

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All of it happens when the block ends, and nothing of it when the block raises."""
        with self._lock, self._connection as connection:  # which commits, or rolls back
            connection.execute("BEGIN IMMEDIATE")
            yield connection


class Crm(crm_service_pb2_grpc.CrmServiceServicer):
    """The calls of CrmService."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def GetPerson(self, request: crm_service_pb2.GetPersonRequest, context: Any) -> crm_pb2.Person:
        refuse(context, wrong_ids("id", [request.id]))
        with self._database.transaction() as db:
            person = card(db, request.id)
        return person or context.abort(grpc.StatusCode.NOT_FOUND, f"there is no person {request.id}")

    def BatchGetPersons(self, request: crm_service_pb2.BatchGetPersonsRequest, context: Any) -> crm_service_pb2.BatchGetPersonsResponse:
        refuse(context, wrong_ids("ids", request.ids))
        with self._database.transaction() as db:
            found = {person_id: card(db, person_id) for person_id in request.ids}
        response = crm_service_pb2.BatchGetPersonsResponse(
            persons=[person for person_id in request.ids if (person := found[person_id])],
            missing_ids=[person_id for person_id in request.ids if found[person_id] is None],
        )
        refuse(context, ["ids: the answer would be too large, ask for fewer"] if response.ByteSize() > MOST_BYTES else [])
        return response

    def CheckReferences(self, request: crm_service_pb2.CheckReferencesRequest, context: Any) -> crm_service_pb2.CheckReferencesResponse:
        refuse(context, wrong_ids("references", [reference.id for reference in request.references]))
        with self._database.transaction() as db:
            missing = [reference for reference in request.references if not exists(db, reference.catalog, reference.id)]
        return crm_service_pb2.CheckReferencesResponse(missing=missing)

    def ApplyEffects(self, request: crm_service_pb2.ApplyEffectsRequest, context: Any) -> crm_service_pb2.ApplyEffectsResponse:
        refuse(context, wrong_count("actions", request.actions, 1000))
        refuse(context, [problem for index, action in enumerate(request.actions) for problem in problems(f"actions[{index}]", action)])
        # One transaction: when the answer is sent, the effects and the keys that stand for them are both on the disk, or neither is.
        with self._database.transaction() as db:
            db.execute("DELETE FROM applied WHERE time < ?", [time.time() - KEPT_SECONDS])
            results = [apply(db, action) for action in request.actions]
        return crm_service_pb2.ApplyEffectsResponse(results=results)

    def GetSubscriptions(self, request: crm_service_pb2.GetSubscriptionsRequest, context: Any) -> crm_service_pb2.GetSubscriptionsResponse:
        refuse(context, wrong_count("subscribers", request.subscribers, 1000) + wrong_subscribers(request.subscribers))
        with self._database.transaction() as db:
            refuse_mailing_type(context, db, request.mailing_type_id, 0)
            results = [subscriptions(db, each, request.mailing_type_id) for each in request.subscribers]
        return crm_service_pb2.GetSubscriptionsResponse(
            results=[crm_service_pb2.SubscriberSubscriptions(subscriptions=some) for some in results]
        )

    def SetSubscription(self, request: crm_service_pb2.SetSubscriptionRequest, context: Any) -> crm_service_pb2.Subscription:
        refuse(context, wrong_subscribers([request.subscriber]) + wrong_ids("mailing_type_id", [request.mailing_type_id]))
        wanted = request.change_time.ToNanoseconds() / 1e9 if request.HasField("change_time") else time.time()
        with self._database.transaction() as db:
            refuse_mailing_type(context, db, request.mailing_type_id)
            (before,) = subscriptions(db, request.subscriber, request.mailing_type_id)
            if before.change_time.ToNanoseconds() / 1e9 < wanted:  # also where it is the same: an earlier change may still come
                row = [subscriber_key(request.subscriber), request.mailing_type_id, request.subscribed, wanted]
                db.execute("INSERT OR REPLACE INTO subscription VALUES (?, ?, ?, ?)", row)
            (after,) = subscriptions(db, request.subscriber, request.mailing_type_id)
        return after


def subscriptions(db: sqlite3.Connection, subscriber: crm_service_pb2.Subscriber, only: int) -> list[crm_service_pb2.Subscription]:
    """What a subscriber gets: everything that was not left."""
    types = db.execute("SELECT id, name FROM entry WHERE catalog = ? ORDER BY id", [crm_pb2.CATALOG_MAILING_TYPE]).fetchall()
    said = db.execute("SELECT mailing_type_id, subscribed, time FROM subscription WHERE subscriber = ?", [subscriber_key(subscriber)])
    known = {type_id: (bool(subscribed), changed) for type_id, subscribed, changed in said}
    found = []
    for type_id, name in types:
        subscribed, changed = known.get(type_id, (True, 0))
        if only in (0, type_id):
            found.append(crm_service_pb2.Subscription(mailing_type_id=type_id, mailing_type=name, subscribed=subscribed))
            if changed:
                found[-1].change_time.FromNanoseconds(int(changed * 1e9))
    return found


def subscriber_key(subscriber: crm_service_pb2.Subscriber) -> str:
    """By what subscribers are told apart. A CRM that knows whose address it is would say the person."""
    return str(subscriber.person_id) if subscriber.person_id else subscriber.email.strip().casefold()


def wrong_subscribers(subscribers: Sequence[crm_service_pb2.Subscriber]) -> list[str]:
    """Those that are nobody."""
    return [f"subscribers[{index}]: must be somebody" for index, each in enumerate(subscribers) if not (each.person_id > 0 or each.email)]


def refuse_mailing_type(context: Any, db: sqlite3.Connection, type_id: int, *also: int) -> None:
    """Refuses a mailing type that is not there, with the reason by which the service knows that it is gone."""
    if type_id not in also and not exists(db, crm_pb2.CATALOG_MAILING_TYPE, type_id):
        info = any_pb2.Any()
        info.Pack(error_details_pb2.ErrorInfo(reason="REFERENCE_NOT_FOUND", domain="trackedlinks"))
        status = status_pb2.Status(code=grpc.StatusCode.INVALID_ARGUMENT.value[0], message=f"there is no mailing type {type_id}")
        status.details.append(info)
        context.abort_with_status(rpc_status.to_status(status))


def apply(db: sqlite3.Connection, action: crm_service_pb2.ActionEffects) -> crm_service_pb2.AppliedEffects:
    """Makes what one action wants happen, once. Everything that could stop it is looked at before anything is written."""
    if db.execute("SELECT 1 FROM applied WHERE key = ?", [action.idempotency_key]).fetchone():
        return crm_service_pb2.AppliedEffects(outcome=crm_service_pb2.EFFECTS_OUTCOME_APPLIED)
    if not db.execute("SELECT 1 FROM person WHERE id = ?", [action.person_id]).fetchone():
        return crm_service_pb2.AppliedEffects(outcome=crm_service_pb2.EFFECTS_OUTCOME_PERSON_UNKNOWN)
    named = [reference for effect in action.effects for reference in references(effect)]
    if gone := [f"{word(catalog)} {entry_id}" for catalog, entry_id in named if not exists(db, catalog, entry_id)]:
        reason = f"No longer in the CRM: {', '.join(gone)}"[:300]
        return crm_service_pb2.AppliedEffects(outcome=crm_service_pb2.EFFECTS_OUTCOME_REFUSED, reason=reason)
    db.execute("INSERT INTO applied (key, time) VALUES (?, ?)", [action.idempotency_key, time.time()])
    for effect in action.effects:
        apply_one(db, action.person_id, effect)
    return crm_service_pb2.AppliedEffects(outcome=crm_service_pb2.EFFECTS_OUTCOME_APPLIED)


def apply_one(db: sqlite3.Connection, person_id: int, effect: crm_service_pb2.Effect) -> None:
    """Makes one change, whose person and entries exist."""
    match effect.WhichOneof("effect"):
        case "set_extra_field":
            change = effect.set_extra_field
            db.execute("DELETE FROM extra_field WHERE person_id = ? AND field = ?", [person_id, change.field])
            if change.value:
                db.execute("INSERT INTO extra_field VALUES (?, ?, ?)", [person_id, change.field, change.value])
        case "set_membership" if effect.set_membership.member:
            db.execute("INSERT OR IGNORE INTO member VALUES (?, ?)", [person_id, effect.set_membership.entry_id])
        case "set_membership":
            db.execute("DELETE FROM member WHERE person_id = ? AND entry_id = ?", [person_id, effect.set_membership.entry_id])
        case "follow_up":
            insert(db, "follow_up", FOLLOW_UP, effect.follow_up, person_id)
        case "service_request":
            insert(db, "service_request", SERVICE_REQUEST, effect.service_request, person_id)


def insert(db: sqlite3.Connection, table: str, columns: Sequence[str], message: Any, person_id: int) -> None:
    """Stores a message, its times as microseconds since 1970."""
    values = [getattr(message, column) for column in columns]
    values = [value.ToMicroseconds() if hasattr(value, "ToMicroseconds") else value for value in values]
    values[columns.index("person_id")] = person_id
    db.execute(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})", values)


def references(effect: crm_service_pb2.Effect) -> list[tuple[Any, int]]:
    """The entries that must exist for this change, with their catalogues."""
    follow_up, request = effect.follow_up, effect.service_request
    named = [
        (effect.set_membership.catalog, effect.set_membership.entry_id),
        (crm_pb2.CATALOG_TASK_TYPE, follow_up.task_type_id),
        (crm_pb2.CATALOG_PROJECT, follow_up.project_id),
        (crm_pb2.CATALOG_USER, follow_up.created_by),
        (crm_pb2.CATALOG_USER, follow_up.assigned_to),
        (crm_pb2.CATALOG_PRIORITY, request.priority_id),
        (crm_pb2.CATALOG_CATEGORY, request.category_id),
        (crm_pb2.CATALOG_USER, request.owner_id),
    ]
    return [(catalog, entry_id) for catalog, entry_id in named if entry_id]


def exists(db: sqlite3.Connection, catalog: int, entry_id: int) -> bool:
    """Whether the catalogue has the entry."""
    return db.execute("SELECT 1 FROM entry WHERE catalog = ? AND id = ?", [catalog, entry_id]).fetchone() is not None


def card(db: sqlite3.Connection, person_id: int) -> crm_pb2.Person | None:
    """The person's contact card."""
    row = db.execute("SELECT id, name, email, our_contact_id FROM person WHERE id = ?", [person_id]).fetchone()
    if row is None:
        return None
    person = crm_pb2.Person(id=row[0], name=row[1], email=row[2], our_contact_id=row[3])
    person.extra_fields.update(db.execute("SELECT field, value FROM extra_field WHERE person_id = ?", [person_id]).fetchall())
    entries = "SELECT catalog, id, name FROM member JOIN entry ON entry.id = entry_id WHERE person_id = ? ORDER BY id"
    for catalog, entry_id, name in db.execute(entries, [person_id]):
        getattr(person, MEMBERSHIPS[catalog]).add(id=entry_id, name=name)
    return person


def problems(path: str, action: crm_service_pb2.ActionEffects) -> Iterator[str]:
    """What of an action breaks the contract. These are mistakes of the caller, and the whole request is refused for them."""
    yield from wrong_count(f"{path}.effects", action.effects, 200)
    if not 1 <= len(action.idempotency_key) <= 100:
        yield f"{path}.idempotency_key: must have 1 to 100 characters"
    yield from wrong_ids(f"{path}.person_id", [action.person_id])
    for index, effect in enumerate(action.effects):
        change, membership = effect.set_extra_field, effect.set_membership
        here = f"{path}.effects[{index}]"
        match effect.WhichOneof("effect"):
            case None:
                yield f"{here}.effect: is required"
            case "set_extra_field" if not 1 <= len(change.field) <= 255 or len(change.value) > 2047:
                yield f"{here}.set_extra_field: the field must have 1 to 255 characters, the value at most 2,047"
            case "set_membership" if membership.catalog not in MEMBERSHIPS or membership.entry_id <= 0:
                yield f"{here}.set_membership: must name a selection, a project or an interest"


def wrong_count(name: str, values: Sequence[Any], most: int) -> list[str]:
    """A problem unless there are 1 to so many values."""
    return [] if 1 <= len(values) <= most else [f"{name}: must have 1 to {most:,} entries, not {len(values):,}"]


def wrong_ids(name: str, ids: Sequence[int]) -> list[str]:
    """A problem unless there are 1 to 1,000 ids, and one for every id that is not positive."""
    return [*wrong_count(name, ids, 1000), *(f"{name}: must be positive, not {number}" for number in ids if number <= 0)]


def refuse(context: Any, found: Iterable[str]) -> None:
    """Ends the call when there are problems."""
    if some := list(found):
        context.abort(grpc.StatusCode.INVALID_ARGUMENT, "; ".join(some[:10]))


def word(catalog: Any) -> str:
    """What an entry of the catalogue is called."""
    return crm_pb2.Catalog.Name(catalog).removeprefix("CATALOG_").replace("_", " ").lower()


def seed(database: Database) -> None:
    """Fills an empty CRM, and says with what."""
    with database.transaction() as db:
        if not db.execute("SELECT 1 FROM person").fetchone():
            entries = [(crm_pb2.Catalog.Value(f"CATALOG_{catalog}"), name) for catalog, name in ENTRIES]
            db.executemany("INSERT INTO entry (catalog, name) VALUES (?, ?)", entries)
            db.executemany("INSERT INTO person (name, email, our_contact_id) VALUES (?, ?, ?)", PERSONS)
        for catalog, entry_id, name in db.execute("SELECT catalog, id, name FROM entry ORDER BY id"):
            print(f"{word(catalog):<15}{entry_id:>4}  {name}")
        for person_id, name in db.execute("SELECT id, name FROM person ORDER BY id"):
            print(f"{'person':<15}{person_id:>4}  {name}")


def main() -> None:
    """Serves until SIGTERM or ^C."""
    parser = argparse.ArgumentParser(description="A small CRM for trackedlinks. It asks for no credentials: keep it on loopback.")
    parser.add_argument("--listen", default="127.0.0.1:50061", help="host:port; port 0 takes a free one (default: %(default)s)")
    parser.add_argument("--database", required=True, help="the SQLite file; made when it is not there")
    parser.add_argument("--seed", action="store_true", help="fill an empty CRM with a few persons and entries")
    arguments = parser.parse_args()

    database = Database(arguments.database)
    if arguments.seed:
        seed(database)
    server = grpc.server(ThreadPoolExecutor(8), options=[("grpc.so_reuseport", 0)])
    crm_service_pb2_grpc.add_CrmServiceServicer_to_server(Crm(database), server)
    port = server.add_insecure_port(arguments.listen)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    server.start()
    print(f"TRACKEDLINKS_CRM=grpc://{arguments.listen.rpartition(':')[0]}:{port}", flush=True)
    stop.wait()
    server.stop(5).wait()


if __name__ == "__main__":
    main()
