"""Minting URLs; and verifying a token against looking up a row that a token might have stood for."""

import contextlib
import sqlite3
import tempfile
import time
from pathlib import Path

from redirect import token
from server.urls import UrlMaker

COUNT = 100_000
PLACEMENTS = 40


def minted_per_second() -> float:
    """URLs that one core mints per second: of 40 placements for each recipient, as a server mints a mailing's."""
    maker = UrlMaker(token.Minter(token.Keys({"A": bytes(32)}, "A")), "http://127.0.0.1:8080", range(12_345, 12_345 + PLACEMENTS))
    recipients = COUNT // PLACEMENTS
    start = time.perf_counter()
    minted = sum(len(maker.urls(2 * person_id, 0)) for person_id in range(1, recipients + 1))
    return minted / (time.perf_counter() - start)


def verify_and_look_up() -> tuple[float, float]:
    """Tokens verified and rows looked up, per second, on one core."""
    keys = token.Keys({"A": bytes(32)}, "A")
    minter, verifier = token.Minter(keys), token.Verifier(keys)
    prefix = minter.prefix(12_345)
    minted = [minter.mint(prefix, 2 * person_id).encode() for person_id in range(1, COUNT + 1)]
    start = time.perf_counter()
    verified = sum(verifier.verify(each) is not None for each in minted)
    verifying = time.perf_counter() - start
    assert verified == COUNT

    with tempfile.TemporaryDirectory() as directory, contextlib.closing(sqlite3.connect(Path(directory) / "urls.db")) as database:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("CREATE TABLE url (token TEXT PRIMARY KEY, placement_id INTEGER, recipient INTEGER) WITHOUT ROWID")
        database.executemany("INSERT INTO url VALUES (?, ?, ?)", ((each.decode(), 12_345, index) for index, each in enumerate(minted)))
        database.commit()
        texts = [each.decode() for each in minted]
        start = time.perf_counter()
        for text in texts:
            database.execute("SELECT placement_id, recipient FROM url WHERE token = ?", (text,)).fetchone()
        looking = time.perf_counter() - start
    return COUNT / verifying, COUNT / looking
