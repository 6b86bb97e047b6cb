"""The full job through real processes against bare redirects, in turns: A B C … A B C …, each with 64 connections."""

import asyncio
import contextlib
import statistics
from collections.abc import Iterator
from typing import Any

from bench import sites
from bench.figure import Figure, Plan, ratio, rounded
from bench.load import Load
from tests.support.postgres import Postgres

NAMES = {
    "tenth": "end_to_end_vs_starlette",
    "all": "end_to_end_all_actions",
    "postgres": "end_to_end_postgres",
    "cpu": "cpu_vs_starlette",
    "unary": "stream_vs_unary",
    "granian": "end_to_end_vs_starlette_on_granian",
    "uvicorn": "end_to_end_vs_bare_uvicorn",
    "nginx": "end_to_end_vs_nginx",
}
BARE = "a bare Starlette 302 on uvicorn with httptools and uvloop, one worker"
OTHERS = {
    "granian": "a bare Starlette 302 on the front door's HTTP server, one worker, which uses more than one core",
    "uvicorn": "a bare ASGI application that answers 302, on uvicorn with httptools and uvloop, one worker",
    "nginx": "nginx, return 302, one worker",
}


def run(plan: Plan) -> Iterator[Figure]:
    """Every figure of NAMES that is wanted. The round before the first warms up and is thrown away."""
    wanted = [place for place, name in NAMES.items() if plan.wants(name)]
    if not wanted:
        return
    with contextlib.ExitStack() as stack:
        found = _sites(stack, ["tenth", *wanted])
        loads: dict[str, list[Load]] = {place: [] for place in found}
        spent: dict[str, list[dict[str, float]]] = {place: [] for place in found}
        for number in range(plan.rounds + 1):
            for place, site in found.items():
                done, each = site.measure(plan.seconds if number else 1.0)
                if number:
                    loads[place].append(done)
                    spent[place].append(each)
    rates = {place: [each.per_second for each in done] for place, done in loads.items()}
    costs = {
        place: {
            "cpu_us_per_click": _medians(spent[place]),
            "p50_ms": _median(loads[place], "p50_ms"),
            "p99_ms": _median(loads[place], "p99_ms"),
            "load_cpu_share": rounded(statistics.median(each.cpu_seconds / each.seconds for each in loads[place])),
        }
        for place in found
    }
    limits: dict[str, dict[str, Any]] = {
        "tenth": {"floor": 0.25, "aim": 0.50}, "all": {"floor": 0.20, "aim": 0.40}, "postgres": {"floor": 0.17, "aim": 0.28}
    }  # fmt: skip
    for place in wanted:
        name = NAMES[place]
        if place in limits:
            more = costs[place] | {"bare": costs["bare"]}
            yield ratio(name, rates[place], rates["bare"], BARE, more=more, **limits[place])
        elif place == "cpu":
            ours, bare = ([each["front"] + each.get("server", 0.0) for each in spent[site]] for site in ("tenth", "bare"))
            what = f"the processor time of {BARE}, for a request"
            yield ratio(name, ours, bare, what, "us_per_click", floor=5.1, aim=3.0, less_is_better=True)
        elif place == "unary":
            what = "the same front door and server with a unary RecordClick per click"
            yield ratio(
                name, rates["tenth"], rates["unary"], what, floor=5.0, aim=10.0, more={"stream": costs["tenth"], "unary": costs["unary"]}
            )
        elif place in rates:
            yield ratio(name, rates["tenth"], rates[place], OTHERS[place], more={place: costs[place]})
        else:
            yield Figure(name, [], {"what": f"{place}: not installed"})


def _sites(stack: contextlib.ExitStack, wanted: list[str]) -> dict[str, sites.Site]:
    """What is compared, by name, all of it running at once: what waits costs next to nothing."""
    house = stack.enter_context(sites.started())
    tenth, every = (asyncio.run(sites.newsletter(house, acting)) for acting in (1, sites.PLACEMENTS))
    found = {"bare": stack.enter_context(sites.bare())}
    if "tenth" in wanted:
        found["tenth"] = sites.Site(house.front_port, tenth.paths, sites.roots(house), house=house)
    if "all" in wanted:
        found["all"] = sites.Site(house.front_port, every.paths, sites.roots(house), house=house)
    if "postgres" in wanted:
        cluster = Postgres("fsync=on", "shared_buffers=256MB", "max_wal_size=2GB")
        stack.callback(cluster.stop)
        other = stack.enter_context(sites.started(cluster.url(cluster.create())))
        letter = asyncio.run(sites.newsletter(other, 1))
        processes = sites.roots(other) | {"postgres": cluster.process.pid}
        found["postgres"] = sites.Site(other.front_port, letter.paths, processes, house=other)
    if "unary" in wanted:
        found["unary"] = stack.enter_context(sites.unary(house, tenth))
    for name in {"granian", "uvicorn"} & set(wanted):
        found[name] = stack.enter_context(sites.bare(name))
    if "nginx" in wanted and (site := stack.enter_context(sites.nginx())):
        found["nginx"] = site
    return found


def _medians(spent: list[dict[str, float]]) -> dict[str, float]:
    return {name: rounded(statistics.median(each[name] for each in spent)) for name in spent[0]}


def _median(loads: list[Load], name: str) -> float:
    return rounded(statistics.median(getattr(each, name) for each in loads))
