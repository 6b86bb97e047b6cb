"""No user agent with clicks of who is not to be tracked.

Which clicks these are is not stored, only that they are nobody's, as are those of URLs without a recipient and those from before a reset.
So all of nobody's lose it, and keep what counting needs. User agents that no click is left with go; their numbers stay, since a server
that runs meanwhile remembers them.
"""

import json
from hashlib import blake2b

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    connection = op.get_bind()
    connection.execute(sa.text("CREATE TEMPORARY TABLE bared (id BIGINT PRIMARY KEY, bare_id BIGINT NOT NULL)"))
    of_nobody = "SELECT id, value FROM interned WHERE id IN (SELECT evidence_id FROM click WHERE recipient = 0)"
    for number, value in connection.execute(sa.text(of_nobody)).all():
        method, prefetch, user_agent = json.loads(value)
        if user_agent:
            bare_id = _number(connection, json.dumps([method, prefetch, ""]))
            connection.execute(sa.text("INSERT INTO bared (id, bare_id) VALUES (:id, :bare_id)"), {"id": number, "bare_id": bare_id})
    bare = "UPDATE click SET evidence_id = (SELECT bare_id FROM bared WHERE bared.id = click.evidence_id)"
    connection.execute(sa.text(f"{bare} WHERE recipient = 0 AND evidence_id IN (SELECT id FROM bared)"))
    left = connection.execute(sa.text("SELECT id FROM bared EXCEPT SELECT evidence_id FROM click")).scalars().all()
    for number in left:
        emptied = {"id": number, "key": _key(f"emptied {number}"), "value": json.dumps(["GET", False, ""])}
        connection.execute(sa.text("UPDATE interned SET key = :key, value = :value WHERE id = :id"), emptied)
    connection.execute(sa.text("DROP TABLE bared"))


def _number(connection: sa.Connection, value: str) -> int:
    """The number of an evidence, which is stored if it is new."""
    new = {"key": _key(value), "value": value}
    connection.execute(sa.text("INSERT INTO interned (key, value) VALUES (:key, :value) ON CONFLICT DO NOTHING"), new)
    return int(connection.execute(sa.text("SELECT id FROM interned WHERE key = :key"), new).scalar_one())


def _key(value: str) -> bytes:
    return blake2b(value.encode(), digest_size=16).digest()
