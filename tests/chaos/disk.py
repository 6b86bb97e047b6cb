"""Disks of a test run: each a process of its own (fuse_disk.py) that is told of cuts and faults."""

import contextlib
import subprocess
import sys
from pathlib import Path
from typing import Literal

ROOT = Path(__file__).parents[2]


State = Literal["full", "failing", "hanging", "well"]

Seed = int | Literal["all"]
"""What stays by chance of what is not durable; "all" of it goes."""


class Disk:
    """A disk that is mounted at a folder until the block ends."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        command = [sys.executable, "-m", "tests.chaos.fuse_disk", str(folder)]
        self._process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        self._wait("mounted")

    def __enter__(self) -> "Disk":
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._process.communicate(timeout=20)  # it unmounts and ends with its input

    def cut(self, seed: Seed) -> None:
        """Loses everything that is not durable, or what the seed says. Whoever has a file open there must be dead."""
        self._tell(f"cut {seed}", "mounted")

    def become(self, state: State) -> None:
        """From now on writes that need room fail, or fsync does, or nothing is answered, or nothing fails."""
        self._tell(state, state)

    def _tell(self, command: str, answer: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()
        self._wait(answer)

    def _wait(self, answer: str) -> None:
        assert self._process.stdout is not None
        said = self._process.stdout.readline().strip()
        assert said == answer, f"the disk said {said!r} instead of {answer!r}"
