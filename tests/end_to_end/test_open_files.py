"""How many files and connections the two programs may have open."""

import itertools
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.house import ROOT, House


@pytest.fixture
def soft_1024() -> Iterator[int]:
    """This process, and those it starts, may open 1,024 files unless they raise it; what they may raise it to."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, hard))
    yield hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def allowed(pid: int) -> tuple[int, int]:
    """A process's soft and hard limit."""
    return resource.prlimit(pid, resource.RLIMIT_NOFILE)


def test_a_soft_limit_is_raised_to_the_hard_one(tmp_path: Path, soft_1024: int) -> None:
    house = House(tmp_path / "var", f"sqlite:///{tmp_path / 'test.db'}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, soft_1024))  # a house raises it for tests with many connections
    try:
        house.start()
        assert house.front is not None
        for pid in (house.server.pid, house.front.pid, *house.front.children):
            assert allowed(pid) == (soft_1024, soft_1024)
    finally:
        house.stop()


def test_a_hard_limit_that_is_low_is_told(tmp_path: Path) -> None:
    house = House(tmp_path / "var", f"sqlite:///{tmp_path / 'test.db'}")
    command = ["sh", "-c", 'ulimit -n 1024; exec "$0" -m server', sys.executable]
    with subprocess.Popen(command, cwd=ROOT, env=house.environment, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        before = list(itertools.takewhile(lambda line: "event='serving'" not in line, server.stderr))
        server.terminate()
        server.communicate(timeout=20)
    assert server.returncode == 0
    assert sum("few_open_files" in line and "allowed=1024" in line for line in before) == 1
