"""`python -m bench`: measures what can be measured on one machine, as ratios within one run, and prints a table.

Absolute figures stand beside the ratios and are asserted nowhere: machines differ, and this one may have been busy.
"""

import asyncio
import os
import statistics
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass

from bench import front_door, messages, outside, tokens

ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Figure:
    """One thing measured against another in each round."""

    name: str
    limit: str
    measure: Callable[[], tuple[float, float]]
    """What was measured and its baseline, both in the same unit."""
    unit: str = "/s"


FIGURES = [
    Figure("token verification ÷ SQLite row look-up", "at least 3", tokens.verify_and_look_up),
    Figure("rendering a 50 KB message ÷ parsing it for each recipient with selectolax", "at least 5", messages.render_and_parse),
    Figure("the same with the client library's renderer", "at least 5", messages.render_at_client_and_parse),
    Figure("the same with 160 merge fields", "at least 5", messages.render_fields_and_parse),
    Figure("the same with 160 merge fields and the client library's renderer", "at least 5", messages.render_fields_at_client_and_parse),
    Figure("group commit ÷ one transaction per click, 64 at a time", "at least 10", front_door.group_commit_and_single),
    Figure("full job through the front door ÷ bare Starlette 302", "at least 0.50", lambda: asyncio.run(front_door.full_job_and_bare())),
    Figure(
        "p99 of links without outside effects at 200 clicks/s, a receiver of webhooks hangs ÷ it answers",
        "at most 1.20",
        lambda: asyncio.run(outside.bad_receiver_and_good_one()),
        " ms",
    ),
]


def main() -> None:
    """Runs every figure a few times and prints medians, every run, and how busy the machine was."""
    when = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    print(f"commit {_commit()}, {os.cpu_count()} cores, load before {os.getloadavg()[0]:.2f}, {when}")
    for figure in FIGURES:
        runs = [figure.measure() for _ in range(ROUNDS)]
        ratios = [measured / baseline for measured, baseline in runs]
        each = ", ".join(f"{one / other:.2f} ({_told(one)}{figure.unit} ÷ {_told(other)}{figure.unit})" for one, other in runs)
        print(f"{statistics.median(ratios):8.2f}  ({figure.limit})  {figure.name}: {each}", flush=True)
    minting = [tokens.minted_per_second() for _ in range(ROUNDS)]
    print(f"mint_urls_per_s: {statistics.median(minting):,.0f} on one core ({', '.join(map(_told, minting))})", flush=True)
    waits = asyncio.run(outside.hanging_crm())
    told = f"first {waits[0]:.0f} ms, longest {max(waits):.0f} ms, the last 30 {statistics.median(waits[30:]):.1f} ms in the median"
    print(f"a click with an effect in a CRM that hangs, outside_wait 150 ms: {told}")
    print(f"load after {os.getloadavg()[0]:.2f}")


def _told(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def _commit() -> str:
    found = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False)
    return found.stdout.strip() or "unknown"


if __name__ == "__main__":
    main()
