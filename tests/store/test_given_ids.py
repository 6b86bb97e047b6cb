"""What servers know of the ids that they have given, outside the database; and a database that went back behind them."""

import dataclasses
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import text

from server.model.errors import DomainError, Reason
from server.store.database import Database
from server.store.given_ids import AHEAD, GivenIds, given_tables, move_ahead
from server.store.mark_file import MarkFile
from server.store.placements import PlacementStore


class Server:
    """One server's database connection and mark."""

    def __init__(self, url: str, path: Path) -> None:
        self._url = url
        self.database = Database(url)
        self.file = MarkFile(path)
        self.given = GivenIds(self.database, self.file)

    def give(self, email: str) -> int:
        """A new address; its id."""
        return PlacementStore(self.database).addresses([email])[email]

    def lose(self) -> None:
        """Has the mark know of one time more that ids were given than the database does, as after a restore."""
        mark = self.file.read()
        assert mark is not None
        self.file.keep(dataclasses.replace(mark, number=mark.number + 1))

    def again(self) -> "Server":
        """The server, stopped and started."""
        self.database.close()
        return Server(self._url, self.file.path)


def refuses(server: Server, email: str) -> bool:
    with pytest.raises(DomainError) as raised:
        server.give(email)
    return raised.value.reason is Reason.database_put_back


def test_what_one_server_finds_out_every_server_refuses_until_ids_are_moved_ahead(database_url: str, tmp_path: Path) -> None:
    one, other = Server(database_url, tmp_path / "one.json"), Server(database_url, tmp_path / "other.json")
    given = one.give("a@example.com"), other.give("b@example.com"), one.give("c@example.com")
    one = one.again()
    assert one.give("d@example.com") > max(given)
    one.lose()
    other.give("e@example.com")  # it knows nothing of what was lost
    one = one.again()
    assert one.given.is_put_back()
    assert refuses(one, "f@example.com")
    assert refuses(other, "f@example.com")
    with pytest.raises(DomainError):
        other.given.refuse_put_back()
    assert other.give("a@example.com") == given[0]  # which is there, and was given
    move_ahead(other.database, other.file)
    assert other.give("f@example.com") > AHEAD  # as a server that was not stopped
    one = one.again()
    assert one.give("g@example.com") > AHEAD
    one.database.close()
    other.database.close()


def test_a_mark_of_a_history_that_the_database_does_not_know_is_of_one_that_went_back_too(database_url: str, tmp_path: Path) -> None:
    server = Server(database_url, tmp_path / "ids.json")
    server.give("a@example.com")
    mark = server.file.read()
    assert mark is not None
    server.file.keep(dataclasses.replace(mark, history="f" * 32, highest=5 * AHEAD))
    server = server.again()
    assert refuses(server, "b@example.com")
    move_ahead(server.database, server.file)
    server = server.again()
    assert server.give("b@example.com") > 6 * AHEAD  # above what the mark knows, too
    server.database.close()


def test_every_id_that_is_given_to_callers_is_moved(database: Database, tmp_path: Path) -> None:
    assert given_tables() >= {"folder", "link", "link_action", "mailing", "placement", "address", "script", "crm_person", "crm_entry"}
    move_ahead(database, MarkFile(tmp_path / "ids.json"))
    if database.is_sqlite:
        statement = "SELECT name, seq FROM sqlite_sequence"
    else:
        statement = "SELECT replace(sequencename, '_id_seq', ''), last_value FROM pg_sequences"
    moved = {name: int(last) for name, last in database.read(lambda connection: connection.execute(text(statement)).all())}
    assert given_tables() <= moved.keys()
    assert min(moved.values()) >= AHEAD


def test_threads_that_give_ids_at_once_leave_the_mark_where_the_database_is(database_url: str, tmp_path: Path) -> None:
    server = Server(database_url, tmp_path / "ids.json")
    with ThreadPoolExecutor(8) as pool:
        ids = list(pool.map(server.give, (f"{number}@example.com" for number in range(40))))
    assert len(set(ids)) == 40
    mark = server.file.read()
    assert mark is not None
    assert mark.number == 40
    server = server.again()
    assert not server.given.is_put_back()
    server.database.close()


def test_a_mark_that_cannot_be_read_is_told_and_not_replaced(database: Database, tmp_path: Path) -> None:
    (tmp_path / "ids.json").write_text("{}")
    with pytest.raises(ValueError, match="holds no mark of a database"):
        GivenIds(database, MarkFile(tmp_path / "ids.json"))
    assert (tmp_path / "ids.json").read_text() == "{}"
