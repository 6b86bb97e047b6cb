"""Fingerprints of signing keys in the database."""

from collections.abc import Mapping

from sqlalchemy import select

from server.store.database import Database
from server.store.sql import Statements
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
        """Adds fingerprints of keys that are used from now on; one that another server was faster with stays as it is."""
        rows = list(fingerprints.items())
        add = "INSERT INTO signing_key (id, fingerprint) VALUES (?, ?) ON CONFLICT DO NOTHING"
        self._database.write(lambda connection: Statements(connection).each(add, rows))
