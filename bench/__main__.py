"""`python -m bench`: measures what can be measured on one machine, as ratios within one run; a table, and results/latest.json.

Absolute numbers stand beside the ratios and are asserted nowhere: machines differ, and this one may have been busy.
"""

import argparse
import json
import os
import platform
import sqlite3
import subprocess
import time
from pathlib import Path

from bench import beside, end_to_end, group_commit, growth, light, messages, outside, shapes, tokens
from bench.figure import MISSED, Figure, Plan
from bench.machine import OtherUse

RESULTS = Path(__file__).parent / "results"
GROUPS = (end_to_end.run, light.run, beside.run, shapes.run, group_commit.run, tokens.run, messages.run, growth.run, outside.run)


def main() -> None:
    """Measures everything, or one figure with `--only`; `--quick` takes two minutes and says little."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--only", default="", metavar="NAME", help="this figure alone")
    parser.add_argument("--quick", action="store_true", help="two short rounds, fewer clicks and rows, nothing outside")
    parser.add_argument("--rounds", type=int, help="of each figure (5)")
    parser.add_argument("--clicks", type=int, help="of the large database (10,000,000)")
    parser.add_argument("--results", type=Path, help="where to write the JSON (bench/results/latest.json; nothing when quick or only one)")
    given = parser.parse_args()
    plan = Plan(2, 1.0, 200_000, 300_000, given.only) if given.quick else Plan(5, 3.0, 10_000_000, 5_000_000, given.only)
    plan = Plan(given.rounds or plan.rounds, plan.seconds, given.clicks or plan.clicks, plan.rows, plan.only)
    began, use, head = time.monotonic(), OtherUse(), _head()
    print(f"commit {head['commit']}, {os.cpu_count()} cores, {head['date']}", flush=True)
    metrics, missed = {}, []
    for measure in GROUPS[:-1] if given.quick and not given.only else GROUPS:
        for figure in measure(plan):
            print(_line(figure), flush=True)
            metrics[figure.name] = figure.as_json()
            missed += [f"{figure.name} {figure.value:.3g}"] if figure.verdict == MISSED else []
    if not metrics:
        parser.error(f"there is no figure {given.only}")
    result = head | {"other_cpu_use": use.stop(), "seconds": round(time.monotonic() - began), "metrics": metrics}
    print(f"other processes had {result['other_cpu_use']} of the machine; {result['seconds']} s")
    print(f"beyond their limits: {', '.join(missed)}" if missed else "every figure is within its limit")
    path = given.results or (None if given.quick or given.only else RESULTS / "latest.json")
    if path:
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(result, indent=1) + "\n")
        print(f"written to {path}")


def _line(figure: Figure) -> str:
    if figure.value is None:
        return f"{'-':>9}  {figure.name}: {figure.baseline['what']}"
    limits = ""
    if figure.floor is not None:
        side = "at most" if figure.less_is_better else "at least"
        limits = f" ({side} {figure.floor:g}, aim {figure.aim or figure.floor:g}: {figure.verdict})"
    shown = figure.runs if len(figure.runs) <= 10 else []
    absolute = "; ".join(f"{name} {_told(values)}" for name, values in figure.baseline.items() if name != "what")
    return f"{figure.value:9,.2f}{figure.unit}  {figure.name}{limits}  runs {_told(shown)}\n{'':12}÷ {figure.baseline['what']}: {absolute}"


def _told(values: object) -> str:
    if isinstance(values, list | tuple):
        return " ".join(f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2f}" for value in values)
    return str(values)


def _head() -> dict[str, object]:
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False).stdout.strip()
    machine: dict[str, object] = {
        "cores": os.cpu_count(),
        "architecture": platform.machine(),
        "system": f"{platform.system()} {platform.release()}",
    }
    machine |= {"python": platform.python_version(), "sqlite": sqlite3.sqlite_version, "load_before": round(os.getloadavg()[0], 2)}
    return {"date": time.strftime("%Y-%m-%dT%H:%MZ", time.gmtime()), "commit": commit or "unknown", "machine": machine}


if __name__ == "__main__":
    main()
