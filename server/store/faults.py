"""What is wrong with a database that does not do what it is asked, in words and with a name: the `cause` of STORE_UNAVAILABLE."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import URL
from sqlalchemy.exc import TimeoutError as PoolTimeout

from server.store.address import sqlite_file, without_secrets

FREE_BYTES = 64 * 1024
"""With less on its disk an SQLite database that cannot write is taken to be out of room, whatever the system calls it."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A name for programs, and a sentence for people, without passwords and values."""

    cause: str
    problem: str


DISK_FULL = "the disk of the database is full"

_OF_SQLITE = {
    5: Fault("LOCKED", "the database file is locked by another process for longer than it is waited for"),
    6: Fault("LOCKED", "the database is locked by a transaction of its own"),
    7: Fault("NO_MEMORY", "the database has no memory left"),
    8: Fault("READ_ONLY", "the database file, or its folder, cannot be written"),
    11: Fault("DAMAGED", "the database file is damaged: put back a copy"),
    13: Fault("DISK_FULL", DISK_FULL),
    26: Fault("NO_DATABASE", "the database file is no SQLite database, or is damaged at its start"),
}
"""By primary result code (https://sqlite.org/rescode.html)."""

_TABLES = "the database lacks tables of this version: it was replaced, or is another one"

_OF_POSTGRES: Sequence[tuple[str, str, Fault]] = (
    # The class of the SQLSTATE, or what libpq says when there is none, since it gives none for a connection that fails.
    ("53100", r"No space left on device", Fault("DISK_FULL", DISK_FULL)),
    ("53200", r"out of memory", Fault("NO_MEMORY", "the database has no memory left")),
    ("53300", r"too many (clients|connections)|connection slots", Fault("TOO_MANY_CONNECTIONS", "the database takes no more connections")),
    ("25006", r"read-only transaction", Fault("READ_ONLY", "the database only reads: it is a standby, or was made read-only")),
    ("3D000", r'database "[^"]*" does not exist', Fault("NO_DATABASE", "the database does not exist")),
    ("28P01", r"password authentication failed|no password supplied", Fault("WRONG_PASSWORD", "the database refuses the password")),
    ("28", r'role "[^"]*" (does not|is not)|no pg_hba|authentication failed', Fault("NO_ROLE", "the database refuses this user")),
    ("57P03", r"starting up|not yet accepting", Fault("STARTING", "the database server is starting")),
    ("57P", r"terminating connection|shutting down", Fault("STOPPING", "the database server is stopping, or has cut the connection")),
    ("55P03", r"lock timeout", Fault("LOCKED", "the database is locked by another transaction for longer than is waited for")),
    ("57014", r"statement timeout", Fault("TIMEOUT", "the database took longer than is waited for")),
    ("42501", r"permission denied for", Fault("NO_PERMISSION", "the database user may not do this")),
    ("42P01", r'relation "[^"]*" does not exist', Fault("REPLACED", _TABLES)),
    ("42703", r'column "[^"]*" does not exist', Fault("REPLACED", _TABLES)),
    ("XX", r"invalid page in block", Fault("DAMAGED", "the files of the database are damaged")),
    ("58", r"could not (read|write|open|fsync) file", Fault("DISK_FAILS", "the disk of the database fails")),
    ("", r"could not translate host name|Name or service", Fault("NO_HOST", "the host of the database has no address")),
    ("", r"Connection refused|No such file or directory", Fault("REFUSED", "nothing listens where the database should be")),
    ("", r"invalid .*(option|value|parameter)|unrecognized configuration", Fault("BAD_OPTION", "the database URL has a bad option")),
    ("", r"timeout expired|timed out", Fault("NO_ANSWER", "the host of the database does not answer")),
    ("08", r"connection|server closed", Fault("CUT_OFF", "the connection to the database was cut")),
)  # fmt: skip


def fault_of(error: Exception, url: URL) -> Fault:
    """What an error of SQLAlchemy's, or of a driver, means for the database at this URL."""
    if isinstance(error, PoolTimeout):
        return Fault("TOO_MANY_CALLS", "every connection that this server has to the database is in use")
    original: Any = getattr(error, "orig", None) or error
    if url.get_backend_name() == "sqlite":
        return _of_sqlite(original, url)
    said = without_secrets(str(original), url)
    state = getattr(original, "sqlstate", None) or ""
    for prefix, pattern, fault in _OF_POSTGRES:
        if (state and prefix and state.startswith(prefix)) or (not state and re.search(pattern, said, re.IGNORECASE)):
            return fault if state else Fault(fault.cause, f"{fault.problem}: {said[:300]}")
    diagnostics = getattr(original, "diag", None)
    primary = diagnostics.message_primary if diagnostics is not None and diagnostics.message_primary else said
    return Fault(type(original).__name__, f"the database fails: {without_secrets(primary, url)[:300]}")


def is_missing_table(original: object) -> bool:
    """Whether a statement that is sound finds no such table or column: the database was replaced by another."""
    return getattr(original, "sqlstate", None) in ("42P01", "42703", "3F000")


def _of_sqlite(original: Any, url: URL) -> Fault:
    code = getattr(original, "sqlite_errorcode", 0) & 0xFF
    if code in _OF_SQLITE:
        return _OF_SQLITE[code]
    file = sqlite_file(url)
    if code == 10:
        return Fault("DISK_FULL", DISK_FULL) if _is_full(file) else Fault("DISK_FAILS", "the disk of the database fails")
    if code == 14:
        return Fault("CANNOT_OPEN", _why_not_opened(file))
    if "no such table" in str(original) or "no such column" in str(original):
        return Fault("REPLACED", _TABLES)
    return Fault(getattr(original, "sqlite_errorname", type(original).__name__), f"the database fails: {original}")


def _is_full(file: Any) -> bool:
    try:
        disk = os.statvfs(file.parent)
    except (OSError, AttributeError):
        return False
    return disk.f_bavail * disk.f_frsize < FREE_BYTES


def _why_not_opened(file: Any) -> str:
    if file is None:
        return "the database file cannot be opened"
    if not file.parent.is_dir():
        return f"the folder of the database file is missing: {file.parent}"
    if file.is_dir():
        return f"the database file is a folder: {file}"
    if _is_full(file):
        return f"the database file cannot be opened, and its disk is full: {file}"
    return f"the database file cannot be opened: {file}"
