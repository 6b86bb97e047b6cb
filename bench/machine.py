"""What the machine does meanwhile: processor time and memory of process trees, and how busy it was with the processes of others."""

import os
import statistics
import threading
from collections import defaultdict
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


def cpu_seconds(root: int) -> float:
    """Processor time of a process, its children, and those of them that have ended; for one measurement against another."""
    stats = _stats()
    return sum(stats[pid][1] for pid in _tree(root, stats)) / _TICK


def memory_mb(root: int) -> float:
    """Resident memory of a process and its children, in 10⁶ bytes; what they share counts for each."""
    stats = _stats()
    return sum(stats[pid][2] for pid in _tree(root, stats)) * _PAGE / 1e6


class OtherUse:
    """Samples each second which share of all cores processes that are not of this run had; interrupts are nobody's and left out."""

    def __init__(self) -> None:
        self._shares: list[float] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()

    def stop(self) -> dict[str, float]:
        """The least, the median and the greatest share, 0 to 1."""
        self._ended.set()
        self._thread.join()
        shares = self._shares or [0.0]
        return {"min": round(min(shares), 3), "median": round(statistics.median(shares), 3), "max": round(max(shares), 3)}

    def _sample(self) -> None:
        total, busy, own = _now()
        while not self._ended.wait(1):
            before = (total, busy, own)
            total, busy, own = _now()
            others = busy - before[1] - (own - before[2])
            self._shares.append(min(1.0, max(0.0, others / max(1, total - before[0]))))


def _now() -> tuple[int, int, int]:
    """Ticks of all cores since the start: in all, busy, and of this run."""
    values = [int(value) for value in Path("/proc/stat").read_text().partition("\n")[0].split()[1:]]
    user, nice, system, idle, waiting, interrupts, soft, stolen = values[:8]
    stats = _stats()
    own = sum(stats[pid][1] for pid in _tree(os.getpid(), stats))
    return user + nice + system + idle + waiting + interrupts + soft + stolen, user + nice + system + stolen, own


def _stats() -> dict[int, tuple[int, int, int]]:
    """Of every process: its parent, ticks with those of children that have ended, pages of memory."""
    found = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue  # it has ended
            found[int(folder.name)] = (int(fields[1]), sum(map(int, fields[11:15])), int(fields[21]))
    return found


def _tree(root: int, stats: dict[int, tuple[int, int, int]]) -> list[int]:
    children = defaultdict(list)
    for pid, (parent, _, _) in stats.items():
        children[parent].append(pid)
    tree = [root] if root in stats else []
    for pid in tree:
        tree.extend(children[pid])
    return tree
