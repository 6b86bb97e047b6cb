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

from bench import front_door, messages, tokens

ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Figure:
    """One thing measured against another in each round."""

    name: str
    floor: str
    measure: Callable[[], tuple[float, float]]
    """What was measured and its baseline, both per second."""


FIGURES = [
    Figure("token verification ÷ SQLite row look-up", "3", tokens.verify_and_look_up),
    Figure("rendering a 50 KB message ÷ parsing it for each recipient with selectolax", "5", messages.render_and_parse),
    Figure("group commit ÷ one transaction per click, 64 at a time", "10", front_door.group_commit_and_single),
    Figure("full job through the front door ÷ bare Starlette 302", "0.50", lambda: asyncio.run(front_door.full_job_and_bare())),
]


def main() -> None:
    """Runs every figure a few times and prints medians, every run, and how busy the machine was."""
    when = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    print(f"commit {_commit()}, {os.cpu_count()} cores, load before {os.getloadavg()[0]:.2f}, {when}")
    for figure in FIGURES:
        runs = [figure.measure() for _ in range(ROUNDS)]
        ratios = [measured / baseline for measured, baseline in runs]
        each = ", ".join(
            f"{ratio:.2f} ({measured:,.0f}/s ÷ {baseline:,.0f}/s)" for ratio, (measured, baseline) in zip(ratios, runs, strict=True)
        )
        print(f"{statistics.median(ratios):8.2f}  (at least {figure.floor})  {figure.name}: {each}", flush=True)
    print(f"load after {os.getloadavg()[0]:.2f}")


def _commit() -> str:
    found = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False)
    return found.stdout.strip() or "unknown"


if __name__ == "__main__":
    main()
