"""What migrations do to what is stored already, on each kind of database."""

import json
from collections.abc import Iterator, Sequence
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
    insert(database, "interned", *({"id": number, "key": bytes([number] * 16), "value": text} for number, text in texts))
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
