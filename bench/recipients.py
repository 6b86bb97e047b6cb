"""Recipients who know what they must get, in a process of their own: they click at a fixed rate, and each answer is compared."""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

import uvloop

from tests.support.house import ROOT
from tests.support.visits import visit

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
    done = subprocess.run([sys.executable, "-m", "bench.recipients"], cwd=ROOT, input=asked, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return Answers(**json.loads(done.stdout))


async def _visit(port: int, wanted: Visit, due: float, answers: Answers) -> None:
    """Each recipient has a browser, and so a connection, of their own."""
    try:
        async with asyncio.timeout(PATIENCE):
            got = await visit(port, wanted.path)
    except (OSError, EOFError, TimeoutError) as error:
        answers.refused.append(f"{type(error).__name__}: {error}")
        return
    answers.milliseconds.append((time.perf_counter() - due) * 1000)
    if got.status not in (200, 302):
        answers.refused.append(f"status {got.status}")
    elif got.location != wanted.location or wanted.page not in got.page:
        answers.wrong.append(f"{wanted.location or wanted.page} was wanted, {got.location or 'a page without it'} came")


async def _main() -> None:
    order = json.load(sys.stdin)
    answers = Answers()
    start = time.perf_counter()
    async with asyncio.TaskGroup() as clicks:
        for number, wanted in enumerate(order["visits"]):
            due = start + number / order["per_second"]
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            clicks.create_task(_visit(order["port"], Visit(**wanted), due, answers))
    print(json.dumps(asdict(answers)))


if __name__ == "__main__":
    uvloop.run(_main())
