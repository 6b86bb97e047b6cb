"""`make chaos`: faults by the hundred, and an oracle outside; a line and a seed for each, exit status 1 when anything is wrong."""

import argparse
import secrets
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.chaos import away, bad_disks, disk, kills, power
from tests.chaos.frame import Fault, Run, hold


@dataclass(frozen=True, slots=True)
class Kind:
    """A fault, and how often it is injected unless the command line says otherwise."""

    fault: Fault
    count: int
    needs_disk: bool = False
    alone: bool = False
    """Measures how long recipients wait: nothing else runs meanwhile."""


FAULTS = {
    "power-sqlite": Kind(power.cut_under_sqlite, 200, needs_disk=True),
    "kill-front": Kind(kills.kill_front_door, 200),
    "kill-server": Kind(kills.kill_server, 100),
    "power-journal": Kind(power.cut_under_journal, 100, needs_disk=True),
    "network-cut": Kind(away.network_cut, 100),
    "disk-database": Kind(bad_disks.database_disk, 3, needs_disk=True),
    "disk-front": Kind(bad_disks.front_disk, 3, needs_disk=True),
    "half-open": Kind(away.half_open, 3),
    "careless-server": Kind(power.careless_server, 1, needs_disk=True),
    "careless-front": Kind(power.careless_front, 1, needs_disk=True),
    "locked": Kind(away.database_locked, 1, alone=True),
    "database-away": Kind(away.database_stopped, 1, alone=True),
    "server-away": Kind(away.server_away, 1, alone=True),
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=FAULTS, default=list(FAULTS), metavar="NAME", help=", ".join(FAULTS))
    parser.add_argument("--count", type=int, help="how often each fault is injected at most")
    parser.add_argument("--seconds", type=float, default=60, help="how long database and server are away in the long ones")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000))
    parser.add_argument("--jobs", type=int, default=2, help="how many faults run at a time")
    arguments = parser.parse_args()
    if any(FAULTS[name].needs_disk for name in arguments.only) and (missing := disk.missing()):
        raise SystemExit(f"make chaos needs {missing}")
    if len(arguments.only) == 1:
        sys.exit(not _hold(arguments.only[0], arguments))
    failed: list[str] = []
    for alone, jobs in ((False, arguments.jobs), (True, 1)):
        names = [name for name in arguments.only if FAULTS[name].alone == alone]
        with ThreadPoolExecutor(jobs) as pool:
            failed += [
                name for name, held in zip(names, pool.map(lambda name: _hold_apart(name, arguments), names), strict=True) if not held
            ]
    if failed:
        print(f"failed: {', '.join(failed)}; again with SEED={arguments.seed}")
    sys.exit(bool(failed))


def _hold_apart(name: str, arguments: argparse.Namespace) -> bool:
    """Runs one fault in a process of its own."""
    options = ["--seconds", str(arguments.seconds), "--seed", str(arguments.seed)]
    options += ["--count", str(arguments.count)] if arguments.count else []
    return subprocess.run([sys.executable, "-m", "tests.chaos", "--only", name, *options]).returncode == 0


def _hold(name: str, arguments: argparse.Namespace) -> bool:
    kind = FAULTS[name]
    count = min(kind.count, arguments.count or kind.count)
    return hold(Run(name, Path(tempfile.mkdtemp(prefix="chaos-")), arguments.seed, count, arguments.seconds), kind.fault)


if __name__ == "__main__":
    main()
