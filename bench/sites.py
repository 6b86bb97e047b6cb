"""What is put under load: a house of real processes with a newsletter in it, and what it is compared with."""

import contextlib
import os
import random
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from bench.counts import stored
from bench.load import CONNECTIONS, Load, Order, load
from bench.machine import cpu_seconds
from bench.rows import series
from redirect import token
from server.store.database import Database
from server.store.migrate import migrate
from tests.support.campaign import Campaign, person
from tests.support.house import ROOT, House, free_port
from tests.support.stubs import Stubs
from trackedlinks.v1 import link_pb2

PLACEMENTS = 10
"""Links of a newsletter."""
PERSONS = 300_000
"""Registered persons of the embedded CRM; none gets two newsletters in a run, so that the tables of clickers grow as they would."""
MOST_PER_SECOND, MOST_PER_SECOND_BARE = 25_000, 80_000
"""No house, and no bare redirect, is expected to answer more: so many URLs are minted for each second."""


@dataclass
class Site:
    """Something that answers; `paths` makes so many new paths, `roots` are its processes by name."""

    port: int
    paths: Callable[[int], Sequence[str]]
    roots: dict[str, int] = field(default_factory=dict)
    end: str = "\r\n\r\n"
    most_per_second: int = MOST_PER_SECOND
    house: House | None = None
    """Whose server has to have stored what is answered."""

    def measure(self, seconds: float, connections: int = CONNECTIONS) -> tuple[Load, dict[str, float]]:
        """What so many connections get; and the microseconds that each process, and the load itself, spent for a click."""
        paths = self.paths(int(self.most_per_second * seconds))
        before = {name: cpu_seconds(pid) for name, pid in self.roots.items()}
        already = stored(self.house) if self.house else 0
        (done,) = load([Order(self.port, connections, seconds, self.end)], paths)
        if done.wrong or not done.answered:
            raise AssertionError(f"{done.wrong} of {done.answered} answers of port {self.port} were no redirects")
        if self.house and (counted := stored(self.house) - already) != done.answered:
            raise AssertionError(f"{done.answered} clicks were answered, and the server counts {counted}")
        assert not done.exhausted, f"more than {self.most_per_second} answers per second: MOST_PER_SECOND is too small"
        spent = {name: (cpu_seconds(pid) - before[name]) / done.answered * 1e6 for name, pid in self.roots.items()}
        return done, spent | {"load": done.cpu_seconds / done.answered * 1e6}


class Newsletter:
    """A mailing with ten links, the first `acting` of which set a field of the person; its URLs are minted here, with the house's key."""

    def __init__(self, house: House, placements: Sequence[int]) -> None:
        self._minter = token.Minter(token.load(house.directory / "keys.json"))
        self._prefixes = [self._minter.prefix(placement) for placement in placements]
        self._next = 1
        self._shuffle = random.Random(7)

    def paths(self, count: int) -> Sequence[str]:
        """Paths of persons who have clicked nothing yet, in no order."""
        first, self._next = self._next, self._next + count // len(self._prefixes) + 1
        mint = self._minter.mint
        paths = [mint(prefix, 2 * (number % PERSONS + 1)) for number in range(first, self._next) for prefix in self._prefixes]
        self._shuffle.shuffle(paths)
        return paths


async def newsletter(house: House, acting: int) -> Newsletter:
    """Sends one through the contract."""
    stubs = Stubs(house.address)
    campaign = Campaign(stubs)
    links = []
    for number in range(PLACEMENTS):
        action = link_pb2.LinkAction(set_field=link_pb2.SetField(field=f"clicked {number}", value="{{click.time}}"))
        made = await campaign.link(url=f"https://example.com/{number}?from=mail", actions=[action] if number < acting else [])
        links.append(f'<a href="trackedlink:{made.id}">x</a>')
    _, minted = await campaign.mail("".join(links).encode(), [person(1)])
    await stubs.channel.close()
    verifier = token.Verifier(token.load(house.directory / "keys.json"))
    claims = [verifier.verify(url.rpartition("/")[2].encode()) for url in minted[0]]
    return Newsletter(house, [claim.placement_id for claim in claims if claim])


def any_paths(count: int) -> Sequence[str]:
    """Paths as long as those of a newsletter, for what reads none."""
    return [f"AQIA{number:015x}A" for number in range(count)]


def roots(house: House) -> dict[str, int]:
    """The two processes of a house by name."""
    assert house.front is not None
    return {"server": house.server.pid, "front": house.front.pid}


@contextlib.contextmanager
def started(database_url: str | None = None, persons: int = PERSONS, commit_seconds: str | None = "20") -> Iterator[House]:
    """A house with so many registered persons, on SQLite in a temporary folder unless said otherwise; gone afterwards.

    Only what the server has stored is a full job: no click goes to the journal before the run fails. With `commit_seconds` None the house
    is as anybody starts it.
    """
    with tempfile.TemporaryDirectory(prefix="trackedlinks-bench-") as directory:
        settings = {} if commit_seconds is None else {"commit_seconds": commit_seconds}
        house = House(Path(directory) / "var", database_url or f"sqlite:///{directory}/bench.db", **settings)
        try:
            if database_url:
                migrate(Database(database_url))
            house.start()
            if database_url:
                with psycopg.connect(database_url) as connection:
                    connection.execute(f"INSERT INTO crm_person {_COLUMNS} {_VALUES} FROM generate_series(1, {persons}) AS n".encode())
            else:
                with contextlib.closing(sqlite3.connect(f"{directory}/bench.db")) as database, database:
                    database.execute(f"INSERT INTO crm_person {_COLUMNS} {series(persons)} {_VALUES} FROM series")
            yield house
        finally:
            house.stop()


@contextlib.contextmanager
def bare(name: str = "starlette") -> Iterator[Site]:
    """A bare application of `bench.apps`."""
    with app(name, dict(os.environ)) as (port, pid):
        yield Site(port, any_paths, {"front": pid}, most_per_second=MOST_PER_SECOND_BARE)


@contextlib.contextmanager
def unary(house: House, letter: Newsletter) -> Iterator[Site]:
    """A front door beside the house's own that makes one call per click."""
    environment = dict(os.environ) | {"TRACKEDLINKS_SERVER": house.address, "TRACKEDLINKS_DIRECTORY": str(house.directory)}
    with app("unary", environment) as (port, pid):
        yield Site(port, letter.paths, {"front": pid, "server": house.server.pid}, house=house)


@contextlib.contextmanager
def app(name: str, environment: dict[str, str]) -> Iterator[tuple[int, int]]:
    """One of `bench.apps`: its port and process."""
    port = free_port()
    with _served([sys.executable, "-m", "bench.apps", name, str(port)], port, environment) as pid:
        yield port, pid


@contextlib.contextmanager
def nginx() -> Iterator[Site | None]:
    """nginx with `return 302` and one worker; None where it is not installed."""
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if program is None:
        yield None
        return
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="trackedlinks-bench-") as directory:
        configuration = Path(directory) / "nginx.conf"
        configuration.write_text(_NGINX.format(port=port, directory=directory))
        with _served([program, "-p", directory, "-c", str(configuration)], port, dict(os.environ)) as pid:
            yield Site(port, any_paths, {"front": pid}, "</html>\r\n", MOST_PER_SECOND_BARE)


@contextlib.contextmanager
def _served(command: Sequence[str], port: int, environment: dict[str, str]) -> Iterator[int]:
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
    )
    try:
        for _ in range(400):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            if process.poll() is not None:
                raise AssertionError(f"{command} ended: {process.stderr.read().decode() if process.stderr else ''}")
            time.sleep(0.05)
        else:
            raise AssertionError(f"{command} did not listen on port {port}")
        time.sleep(0.3)  # workers that share the port may still be starting
        yield process.pid
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


_COLUMNS = "(id, name, email, email_key, our_contact_id)"
_VALUES = "SELECT n, 'Person ' || n, 'p' || n || '@example.com', 'p' || n || '@example.com', 0"
_NGINX = """
daemon off; worker_processes 1; pid {directory}/pid; error_log stderr crit;
events {{ worker_connections 1024; }}
http {{ access_log off; keepalive_requests 100000000;
server {{ listen 127.0.0.1:{port}; location / {{ return 302 https://example.com/; }} }} }}
"""
