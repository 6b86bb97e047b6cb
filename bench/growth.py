"""Any figure of a link or mailing at ten million clicks against ten thousand: two servers over databases that were filled set-wise."""

import asyncio
import contextlib
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

from bench.figure import Figure, Plan, rounded
from bench.rows import mailing_with_links, series
from server.store.click_rows import evidence_of
from tests.support.house import House
from tests.support.stubs import Stubs
from trackedlinks.v1 import action_service_pb2, click_pb2, click_service_pb2, link_service_pb2, mailing_service_pb2

FEW = 10_000
LINKS = 10
"""Of the mailing: the first has all the clicks, the others a tenth of them together."""
DAYS = 30
QUARTER = 900_000_000
CALLS = 20
"""Of each figure in a round, one server after the other; fewer when they take longer than SECONDS together."""
SECONDS, TOO_SLOW = 1.0, 2.0
"""A figure with a call of TOO_SLOW seconds is not asked for again in later rounds: what there is says enough."""
_EVIDENCE = '["GET", false, "Mozilla/5.0"]'


def run(plan: Plan) -> Iterator[Figure]:
    """The worst of all figures, each told beside it."""
    if not plan.wants("stats_10m_vs_10k"):
        return
    with tempfile.TemporaryDirectory(prefix="trackedlinks-bench-") as directory, contextlib.ExitStack() as stack:
        began = time.perf_counter()
        houses = [_filled(Path(directory) / str(clicks), clicks) for clicks in (FEW, plan.clicks)]
        filling = time.perf_counter() - began
        size = sum(file.stat().st_size for file in Path(directory).glob(f"{plan.clicks}/*.db*")) / 1e9
        for house in houses:
            house.server.start("event='serving'")
            stack.callback(house.stop)
        rounds = asyncio.run(_rounds([house.address for house in houses], plan.rounds))
    ratios = {name: [many / few for few, many in each] for name, each in rounds.items()}
    worst = max(ratios, key=lambda name: statistics.median(ratios[name]))
    told = {
        name: {"ratio": rounded(statistics.median(ratios[name])), "ms": [rounded(statistics.median(ms)) for ms in zip(*each, strict=True)]}
        for name, each in rounds.items()
    }
    baseline = {"what": f"the same figure at {FEW:,} clicks; here: {worst}", "ms": [rounded(few) for few, _ in rounds[worst]]}
    more = {"clicks": plan.clicks, "fill_seconds": rounded(filling), "database_gb": rounded(size), "figures": told}
    yield Figure("stats_10m_vs_10k", ratios[worst], baseline, floor=2.0, aim=1.2, less_is_better=True, more=more)


async def _rounds(addresses: list[str], rounds: int) -> dict[str, list[tuple[float, float]]]:
    """Milliseconds of each figure, the median of a round's calls, at few and at many clicks."""
    few, many = (Stubs(address) for address in addresses)
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in _figures(few)}
    for number in range(rounds + 1):  # the first finds cold caches and is thrown away, unless that was too slow already
        for name in taken:
            times: tuple[list[float], list[float]] = ([], [])
            if any(many > TOO_SLOW * 1000 for _, many in taken[name]):
                continue
            while len(times[1]) < CALLS and sum(times[1]) < SECONDS * 1000:
                for place, stubs in enumerate((few, many)):
                    start = time.perf_counter()
                    await _figures(stubs)[name]()
                    times[place].append((time.perf_counter() - start) * 1000)
            if number or max(times[1]) > TOO_SLOW * 1000:
                taken[name].append((statistics.median(times[0]), statistics.median(times[1])))
    for stubs in (few, many):
        await stubs.channel.close()
    return taken


def _figures(stubs: Stubs) -> dict[str, Callable[[], Awaitable[object]]]:
    clickers, clicks = click_service_pb2.ListClickersRequest, click_service_pb2.ListClicksRequest
    runs, failed = action_service_pb2.ListActionRunsRequest, click_pb2.ACTION_STATE_FAILED
    return {
        "GetLink": lambda: stubs.links.GetLink(link_service_pb2.GetLinkRequest(id=1)),
        "ListLinks": lambda: stubs.links.ListLinks(link_service_pb2.ListLinksRequest()),
        "GetMailing": lambda: stubs.mailings.GetMailing(mailing_service_pb2.GetMailingRequest(id=1)),
        "ListMailings": lambda: stubs.mailings.ListMailings(mailing_service_pb2.ListMailingsRequest()),
        "ListMailingLinks": lambda: stubs.mailings.ListMailingLinks(mailing_service_pb2.ListMailingLinksRequest(mailing_id=1)),
        "ListClickers of a link": lambda: stubs.clicks.ListClickers(clickers(link_id=1)),
        "ListClickers of a mailing": lambda: stubs.clicks.ListClickers(clickers(mailing_id=1)),
        "ListClickers of a link in a mailing": lambda: stubs.clicks.ListClickers(clickers(link_id=1, mailing_id=1)),
        "ListClicks of a link": lambda: stubs.clicks.ListClicks(clicks(link_id=1)),
        "ListClicks of a mailing": lambda: stubs.clicks.ListClicks(clicks(mailing_id=1)),
        "ListClicks by HEAD of a mailing": lambda: stubs.clicks.ListClicks(clicks(mailing_id=1, verdict=click_pb2.VERDICT_HEAD)),
        "ListActionRuns that failed in a mailing": lambda: stubs.actions.ListActionRuns(runs(mailing_id=1, state=failed)),
        "ListClicks of a link in a mailing": lambda: stubs.clicks.ListClicks(clicks(link_id=1, mailing_id=1)),
    }


def _filled(directory: Path, clicks: int) -> House:
    """A house, not running, with a mailing of so many clicks by half as many persons, over the last thirty days."""
    directory.mkdir()
    house = House(directory / "var", f"sqlite:///{directory}/bench.db")
    house.server.start("event='serving'")
    house.stop()
    with contextlib.closing(sqlite3.connect(directory / "bench.db", isolation_level=None)) as database:
        database.execute("PRAGMA synchronous=OFF")
        database.execute("PRAGMA cache_size=-400000")
        database.execute("BEGIN")
        evidence_of(_EVIDENCE)  # fails when it is written in another form by now
        database.executemany(
            "INSERT INTO interned VALUES (?, ?, ?)", [(1, b"e" * 16, _EVIDENCE), (2, b"a" * 16, '{"location": "https://x/"}')]
        )
        for statement in mailing_with_links(1, 1, LINKS):
            database.execute(statement)
        for number in range(1, LINKS + 1):
            _click(database, number, clicks if number == 1 else clicks // 10 // (LINKS - 1))
        database.execute("INSERT INTO mailing_count SELECT 1, SUM(clicks), MAX(clickers), 0 FROM link_count")
        database.execute("COMMIT")
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return house


def _click(database: sqlite3.Connection, link: int, clicks: int) -> None:
    """Each of clicks ÷ 2 persons clicks the link twice, one after the other, all at even distances."""
    persons = clicks // 2
    clicks = 2 * persons
    start = (int(time.time()) - DAYS * 86_400) * 1_000_000
    step = DAYS * 86_400 * 1_000_000 // clicks
    database.create_function("click_id", 1, lambda n: _click_id(start + n * step, n, link), deterministic=True)
    values = {"link": link, "persons": persons, "start": start, "step": step, "quarter": QUARTER}
    database.execute(f"INSERT INTO click {series(clicks)} {_CLICKS}", values)
    database.execute(f"INSERT INTO clicker {series(persons)} {_CLICKERS}", values)
    database.execute(f"INSERT INTO roll_up {series(clicks)} {_ROLL_UPS}", values)
    database.execute("INSERT INTO link_count VALUES (?, ?, ?, 0)", (link, clicks, persons))
    times = (start + step, start + clicks * step)
    database.execute("INSERT INTO mailing_link_count VALUES (1, ?, ?, ?, 0, ?, ?)", (link, clicks, persons, *times))


def _click_id(microseconds: int, number: int, link: int) -> bytes:
    """A UUIDv7 of this time."""
    return ((microseconds // 1000) << 80 | 0x7 << 76 | 0b10 << 62 | number << 8 | link).to_bytes(16, "big")


_CLICKS = "SELECT click_id(n), :link, :link, 0, 2 * (1 + (n - 1) % :persons), 1, 0, 1, 2 FROM series"
_CLICKERS = "SELECT :link, 0, 2 * n, 1, 2, :start + n * :step, :start + (n + :persons) * :step FROM series"
_ROLL_UPS = "SELECT :link, 0, (:start + n * :step) / :quarter, COUNT(*), 0, SUM(n <= :persons) FROM series GROUP BY 3"
