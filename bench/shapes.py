"""Clicks of other shapes than a newsletter's, against a bare Starlette 302 in turns: cold caches, many links, a hot link; and memory."""

import asyncio
import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from itertools import count
from typing import Any

from bench import sites
from bench.end_to_end import BARE
from bench.figure import Figure, Plan, ratio, rounded
from bench.load import CONNECTIONS, Load, Order, load
from bench.machine import memory_mb
from bench.rows import mailing_with_links
from redirect import token
from tests.support.house import House

NAMES = ("cold_caches", "many_links", "hot_link", "memory_mb")
PLACEMENTS, COLD = 100_000, 2_000
FIRST = 1_000_000
"""Ids of these links and placements begin here, beyond those of any newsletter."""


def run(plan: Plan) -> Iterator[Figure]:
    """A round of cold caches is a start; many links is every placement once; each of these figures needs those before it."""
    if not plan.wants(*NAMES):
        return
    placements = PLACEMENTS if plan.rounds >= 5 else PLACEMENTS // 10
    with contextlib.ExitStack() as stack:
        house = stack.enter_context(sites.started(persons=0))
        with contextlib.closing(sqlite3.connect(house.directory.parent / "bench.db")) as database, database:
            for statement in mailing_with_links(FIRST, FIRST, placements + COLD * plan.rounds):
                database.execute(statement)
        letter = asyncio.run(sites.newsletter(house, 0))
        bare = stack.enter_context(sites.bare())
        minted = _Minted(house)
        colds, warms = [], []
        for _ in range(plan.rounds):
            house.stop()
            house.start()
            colds.append(_answered(house.front_port, minted.each(COLD), 60))
            warms.append(bare.measure(plan.seconds / 2)[0])
        if plan.wants("cold_caches"):
            what = f"the first {COLD:,} clicks after a start, on as many placements"
            yield _ratio("cold_caches", colds, warms, {"what_is_measured": what}, floor=0.12, aim=0.25)

        sites.Site(house.front_port, letter.paths).measure(1)
        before = {name: memory_mb(pid) for name, pid in sites.roots(house).items()}
        many, warms = [], []
        for _ in range(plan.rounds):
            many.append(_answered(house.front_port, minted.each(placements // plan.rounds), 120))
            warms.append(bare.measure(plan.seconds / 2)[0])
        after = {name: memory_mb(pid) for name, pid in sites.roots(house).items()}
        if plan.wants("many_links"):
            what = f"{placements:,} placements of as many links, each clicked once"
            yield _ratio("many_links", many, warms, {"what_is_measured": what}, floor=0.13, aim=0.25)

        hot, warms = [], []
        for _ in range(plan.rounds):
            hot.append(sites.Site(house.front_port, minted.one).measure(plan.seconds)[0])
            warms.append(bare.measure(plan.seconds / 2)[0])
        if plan.wants("hot_link"):
            yield _ratio("hot_link", hot, warms, {"what_is_measured": "one placement, another recipient at each click"})
        if plan.wants("memory_mb"):
            last = {name: memory_mb(pid) for name, pid in sites.roots(house).items()}
            clicked = sum(each.answered for each in many)
            grown = {name: rounded((after[name] - before[name]) / clicked * 100_000) for name in before}
            told = {
                name: {"before": rounded(before[name]), "after_many_links": rounded(after[name]), "at_the_end": rounded(last[name])}
                for name in before
            }
            more = {"processes": told, "per_100k_placements": grown, "hot_clicks_until_the_end": sum(each.answered for each in hot)}
            yield Figure("memory_mb", [sum(last.values())], {"what": "server and front door together at the end"}, unit=" MB", more=more)


class _Minted:
    """Paths of the placements that were put in directly."""

    def __init__(self, house: House) -> None:
        self._minter = token.Minter(token.load(house.directory / "keys.json"))
        self._next = count()
        self._recipients = count(1)

    def each(self, number: int) -> Sequence[str]:
        """So many placements that were not clicked yet."""
        places = [FIRST + next(self._next) for _ in range(number)]
        return [self._minter.mint(self._minter.prefix(place), 2 * next(self._recipients)) for place in places]

    def one(self, number: int) -> Sequence[str]:
        """The first placement for so many recipients."""
        prefix = self._minter.prefix(FIRST)
        return [self._minter.mint(prefix, 2 * next(self._recipients)) for _ in range(number)]


def _answered(port: int, paths: Sequence[str], seconds: float) -> Load:
    """All of the paths, in less than so many seconds."""
    (done,) = load([Order(port, CONNECTIONS, seconds)], paths)
    assert done.answered == len(paths), f"{done.answered} of {len(paths)}"
    assert not done.wrong, f"{done.wrong} were no redirects"
    return done


def _ratio(name: str, measured: Sequence[Load], bare: Sequence[Load], more: dict[str, object], **limits: Any) -> Figure:
    more |= {"p99_ms": [rounded(each.p99_ms) for each in measured]}
    return ratio(name, [each.per_second for each in measured], [each.per_second for each in bare], BARE, more=more, **limits)
