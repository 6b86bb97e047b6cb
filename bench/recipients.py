"""Recipients who know what they must get, in a process of their own: they click at a fixed rate, and each answer is compared."""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

import uvloop

PATIENCE = 20.0
"""Seconds after which a recipient closes the window."""


@dataclass(frozen=True, slots=True)
class Visit:
    """One click: the path of the URL, and what its recipient must get, either the whole Location or a part of a page."""

    path: str
    location: str = ""
    page: str = ""


@dataclass(slots=True)
class Answers:
    """What came of the clicks: how long each answer took since the click was due, and whom it did not serve."""

    milliseconds: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    """Answers that were somebody else's, or nobody's: what was wanted, and what came."""
    refused: list[str] = field(default_factory=list)
    """Answers that were no redirect and no page, and connections that broke."""

    def percentile(self, part: float) -> float:
        """The time within which this part of the answers came, in ms."""
        ordered = sorted(self.milliseconds) or [0.0]
        return ordered[min(len(ordered) - 1, int(len(ordered) * part))]

    def slower_than(self, milliseconds: float) -> int:
        """How many took longer."""
        return sum(each > milliseconds for each in self.milliseconds)


def click(port: int, visits: Sequence[Visit], per_second: float) -> Answers:
    """Has all of the visits made, so many a second whatever the answers take. Returns when the last answer is there."""
    asked = json.dumps({"port": port, "per_second": per_second, "visits": [asdict(each) for each in visits]})
    done = subprocess.run([sys.executable, "-m", "bench.recipients"], input=asked, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return Answers(**json.loads(done.stdout))


async def _visit(port: int, visit: Visit, due: float, answers: Answers) -> None:
    """Each recipient has a browser, and so a connection, of their own."""
    try:
        async with asyncio.timeout(PATIENCE):
            status, location, body = await _get(port, visit.path)
    except (OSError, EOFError, TimeoutError) as error:
        answers.refused.append(f"{type(error).__name__}: {error}")
        return
    answers.milliseconds.append((time.perf_counter() - due) * 1000)
    if status not in (200, 302):
        answers.refused.append(f"status {status}")
    elif location != visit.location or visit.page not in body:
        answers.wrong.append(f"{visit.location or visit.page} was wanted, {location or 'a page without it'} came")


async def _get(port: int, path: str) -> tuple[int, str, str]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(f"GET /{path} HTTP/1.1\r\nhost: x\r\nuser-agent: Mozilla/5.0 (X11; Linux x86_64) bench\r\n\r\n".encode())
        status, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
    finally:
        writer.close()
    return int(status.split()[1]), headers.get("location", ""), body.decode()


async def _main() -> None:
    order = json.load(sys.stdin)
    answers = Answers()
    start = time.perf_counter()
    async with asyncio.TaskGroup() as clicks:
        for number, visit in enumerate(order["visits"]):
            due = start + number / order["per_second"]
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            clicks.create_task(_visit(order["port"], Visit(**visit), due, answers))
    print(json.dumps(asdict(answers)))


if __name__ == "__main__":
    uvloop.run(_main())
