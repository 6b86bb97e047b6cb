"""`make soak`: kills the server as often as it is told, on both databases, and the front door before it; or, told for how long, mixed load.

Exit status 1 when anything is missing, there twice, or wrong."""

import argparse
import asyncio
import secrets
import shutil
import sys
import tempfile
import time
from pathlib import Path

from server.store.database import Database
from server.store.migrate import migrate
from tests.chaos.frame import Run, hold
from tests.chaos.kills import kill_front_door
from tests.soak.at_length import DATABASES, mixed
from tests.soak.kills import Outcome, kill_again_and_again
from tests.support.campaign import Campaign
from tests.support.house import House
from tests.support.postgres import Postgres
from tests.support.receivers import Receiver, ok
from tests.support.stubs import Stubs


async def soak(database_url: str, directory: Path, kills: int, seed: int) -> Outcome:
    """One run on one database."""
    async with Receiver(ok) as receiver:
        house = House(directory, database_url, webhook_allow=receiver.pair)
        house.server.start("event='serving'")
        stubs = Stubs(house.address)
        try:
            outcome, _ = await kill_again_and_again(Campaign(stubs), receiver, house.server, kills, seed)
            return outcome
        finally:
            await stubs.channel.close()
            house.stop()


def main() -> None:
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("--kills", type=int, default=500, help="kills of the server, half of them on each database")
    parser.add_argument("--front-kills", type=int, help="kills of the front door; unless it is said, two for five of the server")
    parser.add_argument("--minutes", type=float, default=0, help="mixed load for so long on each database, instead of kills")
    parser.add_argument("--hours", type=float, default=0, help="the same in hours")
    parser.add_argument("--both", action="store_true", help="mixed load on both databases at the same time")
    parser.add_argument("--rate", type=float, default=200, help="clicks a second of the mixed load")
    parser.add_argument("--control", action="store_true", help="one click is forgotten before the comparison, which then has to fail")
    parser.add_argument("--database", choices=DATABASES, help="mixed load on this one alone")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000))
    arguments = parser.parse_args()
    arguments.minutes += 60 * arguments.hours
    if arguments.minutes:
        sys.exit(mixed(arguments))
    directory = Path(tempfile.mkdtemp(prefix="soak-"))
    postgres = Postgres()
    failed = False
    try:
        url = postgres.url(postgres.create())
        database = Database(url)
        migrate(database)
        database.close()
        half = arguments.kills // 2
        for name, database_url, kills in (("sqlite", f"sqlite:///{directory}/soak.db", arguments.kills - half), ("postgresql", url, half)):
            started = time.monotonic()
            outcome = asyncio.run(soak(database_url, directory / name, kills, arguments.seed))
            print(f"kills of the server on {name}, seed {arguments.seed}, {time.monotonic() - started:.0f} s: {outcome}", flush=True)
            failed = failed or bool(outcome.problems)
        fronts = arguments.kills * 2 // 5 if arguments.front_kills is None else arguments.front_kills
        if fronts:
            failed = not hold(Run("kills of the front door", directory / "front", arguments.seed, fronts), kill_front_door) or failed
    finally:
        postgres.stop()
        shutil.rmtree(directory)
    sys.exit(failed)


if __name__ == "__main__":
    main()
