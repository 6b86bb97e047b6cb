"""Answers of clicks without what was known of those who clicked: forms are stored unfilled, and filled in again when asked.

An answer is kept where it says nothing of anybody: a text before it is filled in, or where the link leads whoever clicks. Every other one
(a form that was filled in, where a script sent somebody, where the link led before it was edited) becomes what the link leads to now, since
nobody can tell a name in it from anything else. It keeps its number: click rows name it, and so do servers that run meanwhile.
"""

import json
from collections.abc import Iterator
from hashlib import blake2b
from typing import Any

import sqlalchemy as sa
from alembic import op

from server.model.url_fields import url_fields
from server.model.urls import location_of, with_analytics

revision = "0008"
down_revision = "0007"

_FORM_FIELDS = {"recipient.name", "recipient.email", "link.name", "mailing.name", "click.time"}


def upgrade() -> None:
    connection = op.get_bind()
    links: dict[int, Any] = {}
    analytics: dict[int, Any] = {0: None}
    replaced: dict[int, dict[str, str]] = {}
    kept: set[int] = set()
    for number, value, link_id, mailing_id in _uses(connection):
        if link_id not in links:
            links[link_id] = _json(connection, "SELECT response FROM link WHERE id = :id", link_id)
        if mailing_id not in analytics:
            analytics[mailing_id] = _json(connection, "SELECT google_analytics FROM mailing WHERE id = :id", mailing_id)
        now = _answer(links[link_id], analytics[mailing_id])
        if value == now or "text" in value:
            kept.add(number)
        else:
            replaced.setdefault(number, _as_kind(value, now))
    for number in sorted(replaced.keys() - kept):
        new = {"id": number, "key": _key(f"replaced {number}"), "value": json.dumps(replaced[number])}
        connection.execute(sa.text("UPDATE interned SET key = :key, value = :value WHERE id = :id"), new)


def _uses(connection: sa.Connection) -> Iterator[tuple[int, dict[str, str], int, int]]:
    """Each answer, with each link and mailing whose clicks it answered."""
    uses = """
    SELECT interned.id, interned.value, used.link_id, used.mailing_id
    FROM (SELECT DISTINCT click.answer_id, click.link_id, placement.mailing_id
          FROM click JOIN placement ON placement.id = click.placement_id) AS used
    JOIN interned ON interned.id = used.answer_id
    """
    for row in connection.execute(sa.text(uses)):
        yield row.id, json.loads(row.value), row.link_id, row.mailing_id


def _json(connection: sa.Connection, statement: str, row_id: int) -> Any:
    found = connection.execute(sa.text(statement), {"id": row_id}).scalar_one()
    return json.loads(found) if isinstance(found, str) else found


def _answer(response: Any, analytics: Any) -> dict[str, str]:
    """What a click on a link is answered by, as it is stored."""
    match response:
        case {"tag": "custom_text", "html": html}:
            return {"text": html}
        case {"tag": "form", "url": url}:
            return {"form": url}
        case {"tag": "redirect", "url": url} if url_fields(url):
            return {"redirect": url}
        case {"url": url}:
            address = with_analytics(url, analytics["source"], analytics["campaign"]) if analytics else url
            return {"location": location_of(address).decode("ascii")}
    raise AssertionError(f"a link has the response {response!r}")


def _as_kind(value: dict[str, str], now: dict[str, str]) -> dict[str, str]:
    """What stands for an answer from now on; one that was stored unfilled stays, a redirect's merge fields told from a form's fields."""
    match value:
        case {"form": url}:
            names = url_fields(url)
            is_redirect = now == {"redirect": url} or any(name not in _FORM_FIELDS and not name.startswith("field.") for name in names)
            return {"redirect" if is_redirect else "form": url}
    return now


def _key(value: str) -> bytes:
    return blake2b(value.encode(), digest_size=16).digest()
