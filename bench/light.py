"""Light load: what the front door adds to the slowest requests when it has little to do.

Both are asked at the same time, so that what else the machine does falls on both alike: 50 requests a second each over four connections.
"""

import asyncio
import contextlib
from collections.abc import Iterator

from bench import sites
from bench.figure import Figure, Plan, rounded
from bench.load import Order, load

PER_SECOND = 50.0
CONNECTIONS = 4


def run(plan: Plan) -> Iterator[Figure]:
    """The p99 in ms above that of a bare Starlette 302."""
    if not plan.wants("light_load_p99_added_ms"):
        return
    seconds = max(3.0, min(10.0, plan.seconds * 4))
    with contextlib.ExitStack() as stack:
        house = stack.enter_context(sites.started(persons=50_000))
        letter = asyncio.run(sites.newsletter(house, 1))
        bare = stack.enter_context(sites.bare())
        orders = [Order(port, CONNECTIONS, seconds, per_second=PER_SECOND) for port in (house.front_port, bare.port)]
        load([Order(order.port, CONNECTIONS, 1.0) for order in orders], letter.paths(20_000))
        rounds = [load(orders, letter.paths(int(2 * seconds * PER_SECOND) + 20)) for _ in range(plan.rounds)]
    for one in rounds:
        assert not any(each.wrong for each in one), one
    runs = [front.p99_ms - other.p99_ms for front, other in rounds]
    baseline = {
        "what": f"a bare Starlette 302 at the same {PER_SECOND:g} requests/s in the same {seconds:g} s",
        "p99_ms": [rounded(other.p99_ms) for _, other in rounds],
        "measured_p99_ms": [rounded(front.p99_ms) for front, _ in rounds],
        "p50_ms": [rounded(other.p50_ms) for _, other in rounds],
        "measured_p50_ms": [rounded(front.p50_ms) for front, _ in rounds],
    }
    yield Figure("light_load_p99_added_ms", runs, baseline, floor=5.0, aim=2.0, unit=" ms", less_is_better=True)
