"""`make chaos`: faults by the hundred, and an oracle outside; a line and a seed for each, exit status 1 when anything is wrong."""

import argparse
import asyncio
import secrets
import shutil
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass
from pathlib import Path

from tests.chaos import away, bad_disks, disk, kills, power
from tests.chaos.frame import Fault, Run


@dataclass(frozen=True, slots=True)
class Kind:
    """A fault, how often it is injected unless the command line says otherwise, and what it needs besides Python."""

    fault: Fault
    count: int
    needs_disk: bool = False


FAULTS = {
    "careless-control": Kind(power.careless_control, 1, needs_disk=True),
    "power-sqlite": Kind(power.cut_under_sqlite, 200, needs_disk=True),
    "power-journal": Kind(power.cut_under_journal, 100, needs_disk=True),
    "kill-front": Kind(kills.kill_front_door, 200),
    "kill-server": Kind(kills.kill_server, 100),
    "network-cut": Kind(away.network_cut, 100),
    "half-open": Kind(away.half_open, 3),
    "disk-database": Kind(bad_disks.database_disk, 3, needs_disk=True),
    "disk-front": Kind(bad_disks.front_disk, 3, needs_disk=True),
    "locked": Kind(away.database_locked, 1),
    "database-away": Kind(away.database_stopped, 1),
    "server-away": Kind(away.server_away, 1),
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=FAULTS, default=list(FAULTS), metavar="NAME", help=", ".join(FAULTS))
    parser.add_argument("--count", type=int, help="how often each fault is injected at most")
    parser.add_argument("--seconds", type=float, default=60, help="how long database and server are away in the long ones")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000))
    arguments = parser.parse_args()
    if any(FAULTS[name].needs_disk for name in arguments.only) and (missing := disk.missing()):
        raise SystemExit(f"make chaos needs {missing}")
    failed = [name for name in arguments.only if not _hold(name, arguments)]
    if failed:
        print(f"failed: {', '.join(failed)}; again with --seed {arguments.seed}")
    sys.exit(bool(failed))


def _hold(name: str, arguments: argparse.Namespace) -> bool:
    """Runs one fault and prints what came of it; whether all held."""
    kind = FAULTS[name]
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    run = Run(name, folder, arguments.seed, min(kind.count, arguments.count or kind.count), arguments.seconds)
    started = time.monotonic()
    try:
        asyncio.run(kind.fault(run))
    except Exception:  # what broke off is a fault that did not hold, and the others go on
        run.problems.append(traceback.format_exc())
    print(
        f"{name}, seed {run.seed}, {time.monotonic() - started:.0f} s: {', '.join(run.remarks)}: {len(run.problems)} problems", flush=True
    )
    for problem in run.problems[:10]:
        print(f"  {problem}", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    return not run.problems


if __name__ == "__main__":
    main()
