"""Minting URLs; and verifying a token against looking up the row that a design with a row per URL would have.

That design keeps every URL that was ever mailed: a newsletter of ten links to a million recipients is ten million rows. Its token is
random, so look-ups fall anywhere in the table. What is timed is the least it can be: one prepared statement of SQLite, the file in the
system's cache, with the page cache that our server gives itself (64 MiB); no ORM, no network, no disk. Both by processor time, which
other processes on the machine disturb less.
"""

import contextlib
import random
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench.figure import Figure, Plan, ratio
from bench.rows import series
from redirect import token
from server.urls import UrlMaker

COUNT = 50_000
PLACEMENTS = 40


def run(plan: Plan) -> Iterator[Figure]:
    """Verifications ÷ look-ups, and URLs minted per second, on one core."""
    if plan.wants("token_verify_vs_row"):
        yield _verified_and_looked_up(plan)
    if plan.wants("mint_urls_per_s"):
        runs = [_minted_per_second() for _ in range(plan.rounds)]
        yield Figure("mint_urls_per_s", runs, {"what": f"none; {PLACEMENTS} placements for each recipient, on one core"}, unit="/s")


def _verified_and_looked_up(plan: Plan) -> Figure:
    with contextlib.ExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="trackedlinks-bench-"))
        database = stack.enter_context(contextlib.closing(sqlite3.connect(Path(directory) / "urls.db")))
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA cache_size=-65536")
        database.execute("CREATE TABLE url (token TEXT PRIMARY KEY, placement_id INTEGER, recipient INTEGER) WITHOUT ROWID")
        database.execute(
            f"INSERT INTO url {series(plan.rows)} SELECT lower(hex(randomblob(8))), 1 + n % 40, 2 * (n / 40) FROM series ORDER BY 1"
        )
        database.commit()
        chosen = random.Random(7)
        nearest = "SELECT token FROM url WHERE token >= ? LIMIT 1"
        probes = [f"{chosen.getrandbits(63):016x}" for _ in range(COUNT)]
        texts = [row[0] for row in (database.execute(nearest, (probe,)).fetchone() for probe in probes) if row]
        pairs = [(_verified(), _looked_up(database, texts)) for _ in range(plan.rounds)]
    what = f"SELECT of one of {plan.rows:,} rows by its random token, prepared, SQLite, 64 MiB page cache, file in the system's cache"
    return ratio(
        "token_verify_vs_row", [one for one, _ in pairs], [one for _, one in pairs], what, floor=2.5, aim=5.0, more={"rows": plan.rows}
    )


def _verified() -> float:
    keys = token.Keys({"A": bytes(32)}, "A")
    minter, verify = token.Minter(keys), token.Verifier(keys).verify
    prefix = minter.prefix(12_345)
    minted = [minter.mint(prefix, 2 * person_id).encode() for person_id in range(1, COUNT + 1)]
    start = time.process_time()
    verified = 0
    for each in minted:
        verified += verify(each) is not None
    taken = time.process_time() - start
    assert verified == COUNT
    return COUNT / taken


def _looked_up(database: sqlite3.Connection, texts: list[str]) -> float:
    select = "SELECT placement_id, recipient FROM url WHERE token = ?"
    start = time.process_time()
    found = 0
    for text in texts:
        found += database.execute(select, (text,)).fetchone() is not None
    taken = time.process_time() - start
    assert found == len(texts)
    return len(texts) / taken


def _minted_per_second() -> float:
    """As a server mints a mailing's."""
    maker = UrlMaker(token.Minter(token.Keys({"A": bytes(32)}, "A")), "http://127.0.0.1:8080", range(12_345, 12_345 + PLACEMENTS))
    recipients = 2 * COUNT // PLACEMENTS
    start = time.process_time()
    minted = sum(len(maker.urls(2 * person_id, 0)) for person_id in range(1, recipients + 1))
    return minted / (time.process_time() - start)
