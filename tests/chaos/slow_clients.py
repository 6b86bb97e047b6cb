"""`python -m tests.chaos.slow_clients`: attackers that cost nothing, and whether recipients notice them.

A thousand connections each of slowhttptest (a Debian package) that send their head slowly (-H), send a form slowly (-B), or read a
page slowly (-X), and 100,000 HTTP/2 streams that are reset as soon as they are open, at the server's port. Meanwhile recipients click.
Nobody may go unanswered, every slow connection must be closed within 10 seconds, and memory must not grow with the attack. Prints a line
for each, and one for a control: a server without deadlines, whose slow connections must be seen.
"""

import asyncio
import functools
import shutil
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

from server.store.database import Database
from server.store.migrate import migrate
from tests.support.campaign import Campaign, person
from tests.support.house import ROOT, House
from tests.support.recipients import Crowd
from tests.support.stubs import Stubs

CONNECTIONS = 450
"""Fewer than the front door leaves open: what ends these is the deadline. More than that is what `crowd` tries."""
MOST_SECONDS = 10.0
WATCH_SECONDS = 14.0
STREAMS = 100_000
CONTROL_CONNECTIONS = 50
MOST_MEGABYTES = 64
"""How much more memory an attack may take: 64 KB for each connection, 640 bytes for each stream."""

COMMAND = "slowhttptest -c {connections} -r 500 -l {seconds:.0f} -u {url} {mode}"
"""The slow ones are sent a byte or three at a time: every three seconds what is sent, every five what is read."""

FAULTS = {
    "slow headers (-H)": ("link", "-H -i 3 -x 3"),
    "slow forms (-B)": ("link", "-B -i 3 -x 3 -s 8192"),
    "slow readers (-X)": ("page", "-X -k 3 -w 512 -y 1024 -n 5 -z 32"),
}


class Held:
    """How long a process at `port` holds each of its connections: what a client sees of the end waits behind what it does not read."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._first: dict[str, float] = {}
        self._last: dict[str, float] = {}

    def look(self) -> None:
        """Notes which connections there are."""
        now = asyncio.get_running_loop().time()
        for row in map(str.split, Path("/proc/net/tcp").read_text().splitlines()[1:]):
            listens, belongs_to_nobody = row[3] == "0A", row[9] == "0"
            if int(row[1].rpartition(":")[2], 16) == self._port and not listens and not belongs_to_nobody:
                self._first.setdefault(row[2], now)
                self._last[row[2]] = now

    def slow(self) -> list[float]:
        """The seconds of those that were held for longer than a click takes."""
        return sorted(self._last[each] - since for each, since in self._first.items() if self._last[each] - since > 2)


def megabytes(pids: list[int]) -> float:
    """The resident memory of processes."""
    sizes = (line.split() for pid in pids for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS"))
    return sum(int(size[1]) for size in sizes) / 1024


async def attacked(url: str, pids: list[int], attack: Callable[[], Awaitable[str]]) -> tuple[str, list[str]]:
    """What to report of an attack while recipients click on `url`, and what was wrong."""
    honest, before = Crowd(url, 4, keeps=False, pause=0.02), megabytes(pids)
    most, wrong = before, []
    async with honest.clicking():
        attacking = asyncio.ensure_future(attack())
        while not attacking.done():
            await asyncio.wait([attacking], timeout=0.25)
            most = max(most, megabytes(pids))
    try:
        found = attacking.result()
    except AssertionError as error:
        found = str(error)
        wrong.append(found)
    seconds = sorted(honest.seconds)
    if [*honest.statuses] != [302] or honest.unanswered or honest.refused:
        wrong.append(f"{honest.statuses}, {len(honest.unanswered)} unanswered, {honest.refused} refused")
    if most - before > MOST_MEGABYTES:
        wrong.append(f"more than {MOST_MEGABYTES} MB more")
    p99 = seconds[int(len(seconds) * 0.99)] * 1000 if seconds else float("nan")
    return f"{found}, {len(seconds):,} honest clicks answered, p99 {p99:.0f} ms, memory +{most - before:.0f} MB", wrong


async def slowly(url: str, mode: str, connections: int) -> str:
    """Runs slowhttptest until its connections are closed. Raises AssertionError when there were few, or one was open for too long."""
    held = Held(int(url.split(":")[2].partition("/")[0]))
    command = COMMAND.format(connections=connections, seconds=WATCH_SECONDS, url=url, mode=mode).split()
    attacker = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL)
    ended = asyncio.create_task(attacker.wait())
    deadline = asyncio.get_running_loop().time() + WATCH_SECONDS
    while not ended.done() and asyncio.get_running_loop().time() < deadline:
        held.look()
        await asyncio.wait([ended], timeout=0.25)
    if not ended.done():
        attacker.terminate()
        await ended
    slow = held.slow()
    assert len(slow) >= connections * 0.95, f"only {len(slow)} slow connections"
    late = sum(seconds > MOST_SECONDS for seconds in slow)
    assert late == 0, f"{late:,} still open after {MOST_SECONDS:.0f} s"
    return f"all closed after at most {slow[-1]:.1f} s"


async def control() -> str:
    """What is wrong with a server that waits for ever. Nothing means that this program is blind."""

    async def wait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(wait, "127.0.0.1", 0) as server:
        try:
            await slowly(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", FAULTS["slow headers (-H)"][1], CONTROL_CONNECTIONS)
        except AssertionError as error:
            return str(error)
    return ""


async def attack_all(folder: Path) -> int:
    """Runs all attacks on a house in `folder`; the number of problems."""
    database = Database(url := f"sqlite:///{folder / 'chaos.db'}")
    migrate(database)
    database.close()
    house = House(folder / "var", url)
    stubs = Stubs(house.address)
    problems = 0
    try:
        await asyncio.to_thread(house.start)
        assert house.front is not None
        campaign = Campaign(stubs)
        link, page = await campaign.link(), await campaign.link(text="<p>" + "x" * 32_000 + "</p>")
        urls = {"link": await campaign.url(link.id, person(1)), "page": await campaign.url(page.id, person(1))}
        for fault, (where, mode) in FAULTS.items():
            slow = functools.partial(slowly, urls[where], mode, CONNECTIONS)
            found, wrong = await attacked(urls["link"], house.front.children, slow)
            problems += report(f"{fault}, {CONNECTIONS:,} connections", found, wrong)
        found, wrong = await attacked(urls["link"], [house.server.pid], functools.partial(reset_streams, house.server_port))
        problems += report(f"rapid reset, {STREAMS:,} streams", found, wrong)
        seen = await control()
        problems += report(f"control, a server without deadlines, {CONTROL_CONNECTIONS} connections", seen, [] if seen else ["not seen"])
    finally:
        await stubs.channel.close()
        await asyncio.to_thread(house.stop)
    return problems


async def reset_streams(port: int) -> str:
    """Runs the attacker in a process of its own. Raises AssertionError when it cannot do its work."""
    command = f"import asyncio; from tests.chaos.rapid_reset import reset; print(asyncio.run(reset({port}, {STREAMS})))"
    attacker = await asyncio.create_subprocess_exec(sys.executable, "-c", command, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    said, _ = await attacker.communicate()
    assert attacker.returncode == 0, "the attacker failed"
    return f"connections: {int(said)}"


def report(what: str, found: str, wrong: list[str]) -> int:
    """Prints the line of a fault; the number of its problems."""
    print(f"{what}: {found}: {len(wrong)} problem{'s' * (len(wrong) != 1)}{''.join(f'; {each}' for each in wrong)}", flush=True)
    return len(wrong)


def run() -> int:
    """Runs all attacks, in a minute and a half; the number of problems."""
    if shutil.which("slowhttptest") is None:
        print("slow clients: not run, slowhttptest is not installed (apt install slowhttptest): 1 problem")
        return 1
    with tempfile.TemporaryDirectory(prefix="trackedlinks-") as folder:
        return asyncio.run(attack_all(Path(folder)))


if __name__ == "__main__":
    sys.exit(run() != 0)
