"""The keys of this installation: the file that holds them, and the fingerprints that the database remembers."""

from collections.abc import Mapping
from pathlib import Path

import structlog

from redirect import token
from server.store.keys import KeyStore

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
        keys = token.create(path)
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


def _refuse_lacking(path: Path, known: Mapping[str, str], found: Mapping[str, str]) -> None:
    if lacking := sorted(key_id for key_id, fingerprint in known.items() if found.get(key_id) != fingerprint):
        raise SystemExit(f"{path} lacks keys that links of this database are signed with: {', '.join(lacking)}")
