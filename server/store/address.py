"""Where a database is: what its URL says, and what of it an operator may be told."""

import re
from pathlib import Path
from typing import Any
from urllib.parse import quote

from psycopg import Error, conninfo
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from server.model.errors import DomainError, Reason

_SQLITE_OPTIONS = {"timeout", "isolation_level", "detect_types", "check_same_thread", "cached_statements", "uri", "mode", "cache", "vfs"}


def checked(url: str) -> URL:
    """The URL in its parts. Raises STORE_UNAVAILABLE (cause BAD_OPTION) for one that no driver can do anything with."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise _bad("the database URL cannot be read: a port is a number, and @ : / in a password are written %40 %3A %2F") from None
    if "@" in (parsed.host or ""):
        raise _bad("the database URL cannot be read: @ in a password is written %40")
    if parsed.get_backend_name() == "sqlite":
        if unknown := sorted(set(parsed.query) - _SQLITE_OPTIONS):
            raise _bad(f"the database URL has an option that SQLite does not know: {unknown[0]}")
        try:
            parsed.get_dialect()().create_connect_args(parsed)
        except ValueError as error:
            raise _bad(f"the database URL has an option with a value that SQLite does not know: {error}") from None
        return parsed
    try:
        options: dict[str, Any] = {name: value for name, value in parsed.query.items() if isinstance(value, str)}
        conninfo.make_conninfo(**options)
    except Error as error:
        raise _bad(f"the database URL has an option that PostgreSQL does not know: {without_secrets(str(error), parsed).strip()}") from None
    return parsed


def sqlite_file(url: str | URL) -> Path | None:
    """The file of an SQLite database; None for one in memory, for a URI of SQLite's own, and for PostgreSQL."""
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite" or (parsed.database or ":memory:").startswith((":memory:", "file:")):
        return None
    return Path(parsed.database or "")


def without_password(url: str | URL) -> str:
    """What an operator is told of a database's address."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        return str(parsed.database)
    host = parsed.host or parsed.query.get("host") or "local"
    return f"{parsed.database or parsed.username} at {host}{f':{parsed.port}' if parsed.port else ''}"


def without_secrets(text: str, url: URL) -> str:
    """A text in one line, without the passwords that the URL has."""
    secrets = [str(url.password or ""), *(str(value) for name, value in url.query.items() if "password" in name)]
    for secret in filter(None, secrets):
        text = text.replace(secret, "***").replace(quote(secret, safe=""), "***")
    return re.sub(r"\s+", " ", text)


def _bad(problem: str) -> DomainError:
    return DomainError(Reason.store_unavailable, problem, cause="BAD_OPTION")
