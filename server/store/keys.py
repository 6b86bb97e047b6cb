"""Fingerprints of signing keys in the database."""

from collections.abc import Mapping

from sqlalchemy import insert, select

from server.store.database import Database
from server.store.tables import SigningKeyRow, table_of

_key = table_of(SigningKeyRow)


class KeyStore:
    """The fingerprints that one database remembers."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def fingerprints(self) -> dict[str, str]:
        """The fingerprint of every key that was ever used with this database, by key id."""
        return self._database.read(lambda connection: {row.id: row.fingerprint for row in connection.execute(select(_key))})

    def remember(self, fingerprints: Mapping[str, str]) -> None:
        """Adds fingerprints of keys that are used from now on."""
        rows = [{"id": key_id, "fingerprint": fingerprint} for key_id, fingerprint in fingerprints.items()]
        if rows:
            self._database.write(lambda connection: connection.execute(insert(_key), rows))
