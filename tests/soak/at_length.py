"""Mixed load as `make soak HOURS=1` asks for it: on each database, one after the other or both at the same time."""

import argparse
import asyncio
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from server.store.database import Database
from server.store.migrate import migrate
from tests.soak.mixed import Mix, mixed_load
from tests.support.postgres import Postgres

DATABASES = ("sqlite", "postgresql")
SHOWN = 40


def mixed(arguments: argparse.Namespace) -> bool:
    """Whether anything was wrong; says what."""
    if arguments.database:
        return _on_one(arguments)
    runs: list[subprocess.Popen[bytes]] = []
    failed = False
    for name in DATABASES:
        options = ["--minutes", str(arguments.minutes), "--rate", str(arguments.rate), "--seed", str(arguments.seed), "--database", name]
        runs.append(subprocess.Popen([sys.executable, "-m", "tests.soak", *options, *(["--control"] if arguments.control else [])]))
        if not arguments.both:
            failed = bool(runs.pop().wait()) or failed
    statuses = [run.wait() for run in runs]
    return any(statuses) or failed


def _on_one(arguments: argparse.Namespace) -> bool:
    folder = Path(tempfile.mkdtemp(prefix="soak-"))
    postgres = Postgres("fsync=on", "shared_buffers=128MB") if arguments.database == "postgresql" else None
    try:
        url = f"sqlite:///{folder}/soak.db" if postgres is None else _migrated(postgres)
        mix = Mix(arguments.database, url, folder / "var", arguments.minutes * 60, arguments.rate, arguments.seed)
        print(f"{mix.name}: {arguments.minutes:g} minutes at {mix.rate:g} clicks/s, seed {mix.seed}", flush=True)
        return asyncio.run(_held(mix, arguments.control))
    finally:
        if postgres is not None:
            postgres.stop()
        shutil.rmtree(folder, ignore_errors=True)


async def _held(mix: Mix, control: bool) -> bool:
    async with mixed_load(mix) as run:
        await run.load()
        if control:
            run.world.ledger.forget_one()
        problems = await (run.compare(5) if control else run.compare())
        shown = sorted(problems, key=lambda problem: problem.startswith("wrong answer"))[:SHOWN]
        print("\n  ".join([f"{run.summary()}: {len(problems)} problems", *shown]), flush=True)
        return bool(problems)


def _migrated(postgres: Postgres) -> str:
    url = postgres.url(postgres.create())
    database = Database(url)
    migrate(database)
    database.close()
    return url
