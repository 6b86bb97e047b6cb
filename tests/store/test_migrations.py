"""What migrations do to what is stored already, on each kind of database."""

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from uuid_utils import uuid7

from server.store.database import Database
from server.store.migrate import migrate
from tests.support.postgres import Postgres


@pytest.fixture(params=["sqlite", "postgresql"])
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """An empty database of each kind, not migrated."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'old.db'}"
    else:
        cluster: Postgres = request.getfixturevalue("postgres")
        url = cluster.url(cluster.create())
    opened = Database(url)
    yield opened
    opened.close()


def insert(database: Database, table: str, *rows: dict[str, Any]) -> None:
    """Inserts rows as an older version would have."""
    names = ", ".join(rows[0])
    marks = ", ".join(f":{name}" for name in rows[0])
    database.write(lambda connection: connection.execute(sa.text(f"INSERT INTO {table} ({names}) VALUES ({marks})"), list(rows)))


def rows(database: Database, statement: str) -> list[tuple[Any, ...]]:
    return database.read(lambda connection: [tuple(row) for row in connection.execute(sa.text(statement))])


def intern(database: Database, *values: object) -> None:
    """Stores what clicks share, numbered from 1."""
    texts = enumerate(map(json.dumps, values), 1)
    insert(database, "interned", *({"id": number, "key": number.to_bytes(16, "big"), "value": text} for number, text in texts))
    if not database.is_sqlite:
        database.write(lambda connection: connection.execute(sa.text(f"SELECT setval('interned_id_seq', {len(values)})")))


def clicks(database: Database, *of: dict[str, int]) -> None:
    """Clicks, in order."""
    default = {"placement_id": 1, "link_id": 1, "generation": 0, "recipient": 0, "verdict": 1, "evidence_id": 1, "answer_id": 1}
    ids = [uuid7() for _ in of]
    keys: Sequence[Any] = [each.bytes for each in ids] if database.is_sqlite else [str(each) for each in ids]
    insert(database, "click", *({"id": key, "test": False} | default | each for key, each in zip(keys, of, strict=True)))


def test_clicks_of_nobody_lose_their_user_agent_and_count_as_before(old: Database) -> None:
    migrate(old, "0006")
    agents = [
        ["GET", False, "Known"],
        ["GET", False, "Rare/1"],
        ["HEAD", True, "Rare/2"],
        ["GET", False, ""],
        {"location": "https://x.example/"},
    ]
    intern(old, *agents)
    used = [(2, 1), (0, 1), (0, 2), (0, 3), (0, 4), (4, 4)]
    clicks(old, *({"recipient": recipient, "evidence_id": evidence, "answer_id": 5} for recipient, evidence in used))
    migrate(old)
    found = rows(
        old, "SELECT recipient, evidence.value FROM click JOIN interned AS evidence ON evidence.id = evidence_id ORDER BY click.id"
    )
    assert [(recipient, json.loads(value)) for recipient, value in found] == [
        (2, ["GET", False, "Known"]),
        (0, ["GET", False, ""]),
        (0, ["GET", False, ""]),
        (0, ["HEAD", True, ""]),
        (0, ["GET", False, ""]),
        (4, ["GET", False, ""]),
    ]
    assert "Rare" not in repr(rows(old, "SELECT value FROM interned"))
    assert [number for (number,) in rows(old, "SELECT id FROM interned WHERE id <= 5 ORDER BY id")] == [1, 2, 3, 4, 5]


PLAIN, MERGED, FORM = "https://example.com/ø", "https://example.com/?id={{id}}", "https://example.com/?n={{recipient.name}}"


def links(database: Database, *responses: dict[str, str]) -> None:
    """Links with these responses, numbered from 1, each with a placement outside mailings of the same number."""
    given = {"name": "L", "folder_id": 0, "actions": "[]", "mailing_id": 0, "creator": 0, "updater": 0, "create_time": 0, "update_time": 0}
    given |= {"revision": 1, "generation": 0, "name_key": "l", "search_key": "l"}
    insert(database, "link", *(given | {"id": number, "response": json.dumps(each)} for number, each in enumerate(responses, 1)))
    place = {"mailing_id": 0, "kind": 1, "part": 4, "ordinal": 0, "url": ""}
    insert(database, "placement", *(place | {"id": number, "link_id": number} for number in range(1, len(responses) + 1)))


def test_answers_lose_what_was_known_of_those_who_clicked(old: Database) -> None:
    migrate(old, "0006")
    plain, merged, form = ({"tag": "redirect", "url": PLAIN}, {"tag": "redirect", "url": MERGED}, {"tag": "form", "url": FORM})
    links(old, plain, merged, form, {"tag": "custom_text", "html": "<p>Hi</p>"}, plain)
    answers: list[tuple[int, dict[str, str], dict[str, str]]] = [
        (1, {"location": "https://example.com/%C3%B8"}, {"location": "https://example.com/%C3%B8"}),
        (1, {"location": "https://other.example/?chosen-for=Kari"}, {"location": "https://example.com/%C3%B8"}),
        (1, {"form": "https://old.example/?n={{recipient.name}}"}, {"form": "https://old.example/?n={{recipient.name}}"}),
        (1, {"form": "https://old.example/?n={{given-name}}"}, {"redirect": "https://old.example/?n={{given-name}}"}),
        (2, {"form": MERGED}, {"redirect": MERGED}),
        (3, {"location": "https://example.com/?n=Kari%20Secret"}, {"form": FORM}),
        (3, {"location": "https://before.example/Kari%20Secret"}, {"form": FORM}),
        (3, {"form": FORM}, {"form": FORM}),
        (4, {"text": "<p>Before {{recipient.name}}</p>"}, {"text": "<p>Before {{recipient.name}}</p>"}),
        (4, {"location": "https://example.com/?e=kari%40example.com"}, {"text": "<p>Hi</p>"}),
    ]
    intern(old, *(before for _, before, _ in answers), ["GET", False, ""])
    used = [(link_id, number) for number, (link_id, _, _) in enumerate(answers, 1)]
    clicks(
        old,
        *(
            {"link_id": link_id, "placement_id": link_id, "answer_id": number, "evidence_id": len(answers) + 1}
            for link_id, number in [*used, (5, 1), (5, 2)]
        ),
    )
    migrate(old)
    found = {number: json.loads(value) for number, value in rows(old, "SELECT id, value FROM interned")}
    assert [found[number] for _, number in used] == [after for _, _, after in answers]
    assert "Kari" not in repr(found)
    assert len({bytes(key) for (key,) in rows(old, "SELECT key FROM interned")}) == len(found)


def test_what_a_migration_removes_is_no_longer_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    opened = Database(f"sqlite:///{path}")
    migrate(opened, "0006")
    links(opened, {"tag": "form", "url": FORM})
    names = [f"Kari%20Secret%20{number}" * 20 for number in range(100)]
    intern(opened, ["GET", False, ""], *({"location": f"https://example.com/?n={name}"} for name in names))
    clicks(opened, *({"answer_id": number} for number in range(2, 102)))
    migrate(opened)
    opened.close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert b"Secret" not in path.read_bytes()


def test_what_scripts_said_goes_with_those_who_are_gone_and_is_found_for_the_others(old: Database) -> None:
    migrate(old, "0006")
    links(old, {"tag": "redirect", "url": PLAIN})
    insert(old, "link_action", {"id": 1, "link_id": 1, "tag": "script"}, {"id": 2, "link_id": 1, "tag": "set_field"})
    insert(old, "crm_person", {"id": 1, "name": "Kari", "email": "", "our_contact_id": 0})
    intern(old, ["GET", False, ""], {"location": "https://example.com/%C3%B8"})
    of = [2, 4, 0, 3, 2]
    clicks(old, *({"recipient": recipient, "answer_id": 2} for recipient in of))
    ids = [
        key
        for (key,) in old.read(lambda connection: [tuple(row) for row in connection.execute(sa.text("SELECT id FROM click ORDER BY id"))])
    ]
    done, failed = 1, 3
    runs: list[tuple[Any, ...]] = [(number, 1, done, None, f"log {number}") for number in range(4)]
    runs += [(number, 1, failed, f"reason {number}", None) for number in range(4)] + [
        (4, 2, failed, "kept", None),
        (4, 1, done, None, None),
    ]
    names = ("click_id", "action_id", "state", "reason", "log")
    rows_of_runs = [dict(zip(names, (ids[number], *rest), strict=True)) for number, *rest in runs]
    insert(old, "action_run", *(row | {"position": position} for position, row in enumerate(rows_of_runs)))
    migrate(old)
    gone = "The script failed; what it said is not kept any more"
    found = rows(old, "SELECT reason, log FROM action_run ORDER BY position")
    assert found == [
        (None, "log 0"),
        (None, None),
        (None, None),
        (None, "log 3"),
        ("reason 0", None),
        (gone, None),
        (gone, None),
        ("reason 3", None),
        ("kept", None),
        (None, None),
    ]
    assert rows(old, "SELECT recipient, location FROM script_said ORDER BY recipient") == [(2, None), (3, None)]
