"""What lies outside the database and has to fit it: the keys of this installation, and the mark of how far it came with its ids."""

from collections.abc import Mapping
from pathlib import Path

import structlog

from redirect import token
from server.store.address import sqlite_file, without_password
from server.store.database import Database
from server.store.given_ids import REMEDY, GivenIds
from server.store.keys import KeyStore
from server.store.mark_file import MarkFile

log = structlog.get_logger()

log = structlog.get_logger()


def open_keys(path: Path, store: KeyStore) -> token.Keys:
    """The keys that this installation signs with; a first start makes them.

    Raises SystemExit, saying what to do, when they do not fit the database.
    """
    known = store.fingerprints()
    if not path.exists():
        if known:
            raise SystemExit(
                f"{path} is missing, but the database has links signed with its keys: put the file back, or every mailed link is lost"
            )
        try:
            keys = token.create(path)
        except OSError as error:
            raise SystemExit(f"the key file {path} cannot be made: {error.strerror} (TRACKEDLINKS_KEY_FILE sets another)") from error
    else:
        try:
            keys = token.load(path)
        except (OSError, ValueError) as error:
            raise SystemExit(f"the key file cannot be used: {error}") from error
    if keys.known_to_group:
        log.warning("keys_known_to_group", file=str(path), remedy="chmod 600, unless the group is this process's own")
    found = keys.fingerprints()
    _refuse_lacking(path, known, found)
    store.remember({key_id: fingerprint for key_id, fingerprint in found.items() if key_id not in known})
    _refuse_lacking(path, store.fingerprints(), found)  # of two first starts on one database only one has made the keys
    return keys


def refuse_missing(path: Path, database_url: str) -> None:
    """Raises SystemExit for keys whose database is an SQLite file that is not there: it was on a disk that is not mounted, perhaps."""
    file = sqlite_file(database_url)
    if file is not None and path.exists() and not (file.exists() and file.stat().st_size):
        raise SystemExit(no_database(path, database_url))


def no_database(path: Path, database_url: str) -> str:
    """What is said where there are keys and a database that has never been used with any."""
    return (
        f"{path} has keys, but the database {without_password(database_url)} is empty or not there: is its disk mounted? "
        "Every mailed link would lead nowhere. To begin with an empty one, start once with python -m server --new-database"
    )


def open_mark(path: Path, database: Database) -> GivenIds:
    """What this server knows of the ids that it has given; a first start makes the file. Says so when the database was put back.

    Raises SystemExit, saying what to do, when the file cannot be used.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        given = GivenIds(database, MarkFile(path))
    except OSError as error:
        raise SystemExit(
            f"{path}, which remembers the ids that were given, cannot be used: {error.strerror} (TRACKEDLINKS_MARK_FILE sets another)"
        ) from None
    except ValueError as error:
        raise SystemExit(f"{error}: put the file back, or remove it if the database was not put back meanwhile") from None
    if given.is_put_back():
        log.error("database_put_back", remedy=REMEDY)
    return given


def _refuse_lacking(path: Path, known: Mapping[str, str], found: Mapping[str, str]) -> None:
    if lacking := sorted(key_id for key_id, fingerprint in known.items() if found.get(key_id) != fingerprint):
        raise SystemExit(f"{path} lacks keys that links of this database are signed with: {', '.join(lacking)}")
