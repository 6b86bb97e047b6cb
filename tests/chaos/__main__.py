"""`make chaos`: faults by the hundred, and an oracle outside; a line and a seed for each, exit status 1 when anything is wrong."""

import argparse
import secrets
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.chaos import away, bad_disks, crowd, greedy, kills, power, slow_clients
from tests.chaos.frame import Fault, Run, hold


@dataclass(frozen=True, slots=True)
class Kind:
    """A fault, and how often it is injected unless the command line says otherwise."""

    fault: Fault
    count: int
    needs: str = ""
    """What it needs besides Python."""
    alone: bool = False
    """Measures how long recipients wait: nothing else runs meanwhile."""


MANY = 100
"""What is injected less often than so is slow."""


async def slow_and_resetting_clients(run: Run) -> None:
    """A thousand slow connections, three times, and 100,000 HTTP/2 streams that are reset; a line for each."""
    problems = await slow_clients.attack_all(run.folder)
    run.expect(not problems, f"{problems} problems with slow clients, see above")
    run.remarks.append("the lines above")


FAULTS = {
    "slow-clients": Kind(slow_and_resetting_clients, 1, needs="slowhttptest"),
    "greedy": Kind(greedy.greedy_clients, 1),
    "power-sqlite": Kind(power.cut_under_sqlite, 200, needs="fuse3"),
    "kill-front": Kind(kills.kill_front_door, 200),
    "kill-server": Kind(kills.kill_server, 100),
    "power-journal": Kind(power.cut_under_journal, 100, needs="fuse3"),
    "network-cut": Kind(away.network_cut, 100),
    "disk-database": Kind(bad_disks.database_disk, 3, needs="fuse3"),
    "disk-front": Kind(bad_disks.front_disk, 3, needs="fuse3"),
    "half-open": Kind(away.half_open, 3),
    "careless-server": Kind(power.careless_server, 1, needs="fuse3"),
    "careless-front": Kind(power.careless_front, 1, needs="fuse3"),
    "crowd": Kind(crowd.many_recipients, 1, alone=True),
    "locked": Kind(away.database_locked, 1, alone=True),
    "database-away": Kind(away.database_stopped, 1, alone=True),
    "server-away": Kind(away.server_away, 1, alone=True),
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=FAULTS, default=list(FAULTS), metavar="NAME", help=", ".join(FAULTS))
    parser.add_argument("--count", type=int, help="how often each fault is injected; the slow ones once")
    parser.add_argument("--seconds", type=float, default=60, help="how long database and server are away in the long ones")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000))
    parser.add_argument("--jobs", type=int, default=2, help="how many faults run at a time")
    arguments = parser.parse_args()
    needed = {FAULTS[name].needs for name in arguments.only}
    if missing := [f"{each} ({hint})" for each, hint in _missing().items() if each in needed]:
        raise SystemExit(f"make chaos needs {' and '.join(missing)}")
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


def _missing() -> dict[str, str]:
    """What is not there, and what to do about it."""
    found = {}
    if shutil.which("slowhttptest") is None:
        found["slowhttptest"] = "Debian: apt-get install slowhttptest"
    if shutil.which("fusermount3") is None:
        found["fuse3"] = "Debian: apt-get install fuse3"
    elif not Path("/dev/fuse").exists():
        found["fuse3"] = "the device /dev/fuse; a container needs --device /dev/fuse --cap-add SYS_ADMIN"
    return found


def _hold_apart(name: str, arguments: argparse.Namespace) -> bool:
    """Runs one fault in a process of its own."""
    options = ["--seconds", str(arguments.seconds), "--seed", str(arguments.seed)]
    options += ["--count", str(arguments.count)] if arguments.count else []
    return subprocess.run([sys.executable, "-m", "tests.chaos", "--only", name, *options]).returncode == 0


def _hold(name: str, arguments: argparse.Namespace) -> bool:
    kind = FAULTS[name]
    count = kind.count if arguments.count is None else arguments.count if kind.count >= MANY else 1
    return hold(Run(name, Path(tempfile.mkdtemp(prefix="chaos-")), arguments.seed, count, arguments.seconds), kind.fault)


if __name__ == "__main__":
    main()
