"""Ids never come again: whether the database went back behind ids that it has given, and how they are moved ahead of those.

Each time a transaction has given ids, this server's row in `id_giver` counts one more in it, and the mark outside the database is told
before anybody gets the ids. A database that counts less than the mark was put back. `restored` begins another history, in which all ids
are higher. docs/adr/0023 says why.
"""

import threading
from uuid import uuid4

from sqlalchemy import Boolean, Column, Connection, String, Table, delete, func, insert, select, text, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import SQLModel

from server.model.errors import DomainError, Reason
from server.store.click_tables import big, metadata
from server.store.database import Database, take_your_time
from server.store.mark_file import Mark, MarkFile

AHEAD = 10_000_000
"""How far `restored` moves ids ahead: more than are given between a backup and the loss of what came after it."""

REMEDY = "stop the servers, run python -m server restored, start them: until then no id is given and no URL minted"

history = Table(
    "history",
    metadata,
    big("position", primary_key=True),
    Column("id", String(32), nullable=False),
    Column("put_back", Boolean, nullable=False),
    comment="each run of ids: after a restore another one begins; the last is the one that counts",
)

id_giver = Table(
    "id_giver",
    metadata,
    Column("id", String(32), primary_key=True),
    big("number"),
    comment="how often each server has given ids in the last history",
)


class GivenIds:
    """What one server knows, outside the database, of the ids that it has given. Safe from any thread."""

    def __init__(self, database: Database, file: MarkFile) -> None:
        """Compares the database with the mark, or makes one. Raises OSError and ValueError (the file), STORE_UNAVAILABLE."""
        self._database = database
        self._file = file
        self._lock = threading.Lock()
        self._bad_history = ""
        self._mark = self._open()
        database.given_ids = self

    def is_put_back(self) -> bool:
        """Whether ids may come again, so that none is given: by what any server has seen, kept in the database."""

        def work(connection: Connection) -> bool:
            last_id, put_back = _last(connection)
            return put_back or last_id in ("", self._bad_history)

        return self._database.read(work)

    def refuse_put_back(self) -> None:
        """Raises DATABASE_PUT_BACK where the database was put back."""
        if self.is_put_back():
            raise _put_back()

    def say_put_back(self) -> None:
        """Has every server of this database know that it was put back."""

        def work(connection: Connection) -> None:
            position = select(history.c.position).order_by(history.c.position.desc()).limit(1).scalar_subquery()
            connection.execute(update(history).where(history.c.position == position).values(put_back=True))

        self._database.write(work)

    def write_nothing_new(self) -> None:
        """Writes something that changes nothing, to see whether the database takes it. Raises STORE_UNAVAILABLE."""
        self._database.write(lambda connection: connection.execute(update(history).values(put_back=history.c.put_back)))

    def has_given_placement(self, placement_id: int) -> bool:
        """Whether this database can have given a placement this id."""
        return self._database.read(lambda connection: placement_id <= _highest(connection, "placement"))

    def count(self, connection: Connection) -> Mark:
        """Counts that this transaction has given ids; comes last in it. Raises DATABASE_PUT_BACK."""
        last_id, put_back = _last(connection)
        if put_back or last_id == self._bad_history:
            raise _put_back()
        mark = self._mark
        upsert = (sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert)(id_giver).values(id=mark.server, number=1)
        again = upsert.on_conflict_do_update(index_elements=["id"], set_={"number": id_giver.c.number + 1})
        number = int(connection.execute(again.returning(id_giver.c.number)).scalar_one())
        went_back = number <= mark.number if last_id == mark.history else mark.history not in _histories(connection)
        if went_back:
            self._bad_history = last_id
            raise _put_back()
        return Mark(last_id, mark.server, number, max(mark.highest, _highest(connection)))

    def keep(self, mark: Mark) -> None:
        """Has the mark say so, before anybody gets the ids. Raises STORE_UNAVAILABLE."""
        with self._lock:
            if self._mark.history == mark.history and self._mark.number >= mark.number:
                return  # another thread had it say more meanwhile
            try:
                self._mark = self._file.keep(mark)
            except (OSError, ValueError) as error:
                raise DomainError(
                    Reason.store_unavailable,
                    f"{self._file.path}, which remembers the ids that were given, cannot be written: {error}",
                    cause="MARK_NOT_WRITTEN",
                ) from error

    def _open(self) -> Mark:
        mark = self._file.read()

        def work(connection: Connection) -> Mark:
            _begin(connection)
            last_id, _ = _last(connection)
            if mark is None:
                return Mark(last_id, uuid4().hex, 0, 0)
            known = _histories(connection)
            counted = connection.execute(select(id_giver.c.number).where(id_giver.c.id == mark.server)).scalar() or 0
            if mark.history not in known or (mark.history == last_id and counted < mark.number):
                connection.execute(update(history).where(history.c.id == last_id).values(put_back=True))
            return mark

        opened = self._database.write(work)
        return opened if mark is not None else self._file.keep(opened)


def move_ahead(database: Database, file: MarkFile) -> None:
    """Moves all ids ahead, by AHEAD and above those that the mark knows, and begins another history.

    Raises OSError and ValueError (the file), STORE_UNAVAILABLE.
    """
    mark = file.read()
    above = mark.highest if mark is not None else 0

    def work(connection: Connection) -> None:
        take_your_time(connection)
        if connection.dialect.name == "sqlite":
            moved = text("UPDATE sqlite_sequence SET seq = max(seq, :above) + :ahead")
            connection.execute(moved, {"above": above, "ahead": AHEAD})
            have = {row.name for row in connection.execute(text("SELECT name FROM sqlite_sequence"))}
            for name in sorted(given_tables() - have):
                unused = text("INSERT INTO sqlite_sequence (name, seq) VALUES (:name, :seq)")
                connection.execute(unused, {"name": name, "seq": above + AHEAD})
        else:
            connection.execute(
                text(
                    "SELECT setval(format('%I.%I', schemaname, sequencename)::regclass, greatest(coalesce(last_value, 0), :above) + :ahead)"
                    " FROM pg_sequences WHERE schemaname = current_schema()"
                ),
                {"above": above, "ahead": AHEAD},
            ).all()
        _begin(connection)
        lost = {mark.history} - _histories(connection) if mark is not None else set()  # begun after the copy was made
        for each in (*lost, uuid4().hex):
            position = connection.execute(select(func.max(history.c.position))).scalar_one() + 1
            connection.execute(insert(history).values(position=position, id=each, put_back=False))
        connection.execute(delete(id_giver))
        # Every placement has changed, so that each front door is told anew, however far it had come with what was lost.
        last = int(connection.execute(text("SELECT max(number) FROM last_change")).scalar() or 1) + AHEAD
        connection.execute(text("UPDATE placement SET change = :last"), {"last": last})
        connection.execute(text("DELETE FROM last_change"))
        connection.execute(text("INSERT INTO last_change (id, number) VALUES (1, :last)"), {"last": last})

    database.write(work)


def given_tables() -> set[str]:
    """The tables whose ids are given to callers, and never again."""
    return {name for name, table in SQLModel.metadata.tables.items() if table.dialect_options["sqlite"]["autoincrement"]}


def _begin(connection: Connection) -> None:
    upsert = (sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert)(history)
    connection.execute(upsert.values(position=1, id=uuid4().hex, put_back=False).on_conflict_do_nothing())


def _last(connection: Connection) -> tuple[str, bool]:
    statement = select(history.c.id, history.c.put_back).order_by(history.c.position.desc()).limit(1)
    row = connection.execute(statement).first()
    return (row.id, bool(row.put_back)) if row else ("", False)


def _histories(connection: Connection) -> set[str]:
    return set(connection.execute(select(history.c.id)).scalars())


def _highest(connection: Connection, table: str = "") -> int:
    """The highest id that was given, of a table or of any."""
    if connection.dialect.name == "sqlite":
        statement = text("SELECT max(seq) FROM sqlite_sequence WHERE :name IN ('', name)")
    else:
        statement = text(
            "SELECT max(last_value) FROM pg_sequences WHERE schemaname = current_schema()"
            " AND (:name = '' OR sequencename = :name || '_id_seq')"
        )
    return connection.execute(statement, {"name": table}).scalar() or 0


def _put_back() -> DomainError:
    return DomainError(
        Reason.database_put_back,
        f"the database was put back from a copy behind ids that it has given: {REMEDY}",
    )
