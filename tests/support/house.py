"""A house of real processes: `python -m server` and `python -m redirect`, as `make run` starts them, on free ports."""

import asyncio
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import httpx2

from redirect import token
from redirect.snapshot import Snapshot

ROOT = Path(__file__).parents[2]
START_SECONDS = 30


class House:
    """A server and a front door over one database; either can be killed and started again on the same address."""

    def __init__(self, directory: Path, database_url: str, **settings: str) -> None:
        allow_open_files(8192)
        self.directory = directory
        self.server_port, self.front_port = free_port(), free_port()
        self.address = f"127.0.0.1:{self.server_port}"
        self.url = f"http://127.0.0.1:{self.front_port}"
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("TRACKEDLINKS_")},
            "TRACKEDLINKS_DIRECTORY": str(directory),
            "TRACKEDLINKS_DATABASE_URL": database_url,
            "TRACKEDLINKS_LISTEN": self.address,
            "TRACKEDLINKS_SERVER": self.address,
            "TRACKEDLINKS_FRONT_LISTEN": f"127.0.0.1:{self.front_port}",
            "TRACKEDLINKS_PUBLIC_URL": self.url,
            **{f"TRACKEDLINKS_{name.upper()}": value for name, value in settings.items()},
        }
        self.server = Process("server", self.environment)
        self.front: Process | None = None

    def start(self) -> None:
        """Starts both, and returns when the front door is connected to the server."""
        self.server.start("event='serving'")
        self.front = Process("redirect", self.environment)
        self.front.start("event='serving'")
        self.wait_ready()

    def run_server(self, *arguments: str) -> "tuple[int, str]":
        """Runs `python -m server` with these arguments until it ends: its exit status, and what it said."""
        command = [sys.executable, "-m", "server", *arguments]
        done = subprocess.run(command, cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=START_SECONDS)
        return done.returncode, done.stderr + done.stdout

    def another_front(self, **settings: str) -> "tuple[Process, str]":
        """A second front door before the same server, not started, and its address."""
        url = f"127.0.0.1:{free_port()}"
        more = {f"TRACKEDLINKS_{name.upper()}": value for name, value in settings.items()}
        return Process("redirect", {**self.environment, "TRACKEDLINKS_FRONT_LISTEN": url, **more}), f"http://{url}"

    def wait_ready(self) -> None:
        """Returns when the front door is ready: connected to the server, or able to do without it; fails after half a minute."""
        self._wait_for("ready")

    def wait_connected(self) -> None:
        """Returns when the front door is connected to the server; fails after half a minute."""
        self._wait_for("ready\n")

    def _wait_for(self, readiness: str) -> None:
        with httpx2.Client(transport=httpx2.HTTPTransport(retries=20)) as client:
            for _ in range(START_SECONDS * 20):
                try:
                    answer = client.get(f"{self.url}/readyz")
                    if answer.status_code == 200 and answer.text.startswith(readiness):
                        return
                except httpx2.TransportError:
                    pass
                threading.Event().wait(0.05)
        raise AssertionError("the front door did not become ready")

    async def knows(self, url: str) -> None:
        """Returns when the front door's machine knows where this tracked URL leads, also without the server; fails after half a minute."""
        claims = token.Verifier(token.load(self.directory / "keys.json")).verify(url.rpartition("/")[2].encode())
        assert claims is not None
        snapshot = Snapshot(self.directory / "front" / "snapshot.db")
        async with asyncio.timeout(START_SECONDS):
            while await snapshot.answer(claims.placement_id) is None:
                await asyncio.sleep(0.05)
        await snapshot.close()

    def stop(self) -> None:
        """Ends both by SIGTERM, and what they have not ended themselves by SIGKILL."""
        for process in (self.front, self.server):
            if process is not None:
                process.stop()


class Process:
    """One of the two, in a process group of its own, since granian serves from child processes."""

    def __init__(self, module: str, environment: dict[str, str], *arguments: str) -> None:
        self._module, self._arguments = module, arguments
        self._environment = environment
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self.lines: list[str] = []

    @property
    def pid(self) -> int:
        """The process id."""
        assert self._process is not None
        return self._process.pid

    def start(self, sign: str) -> None:
        """Starts it and returns when a line of its log matches `sign`; fails when it ends before."""
        command = [sys.executable, "-m", self._module, *self._arguments]
        self._process = subprocess.Popen(
            command, cwd=ROOT, env=self._environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
        )
        seen = threading.Event()
        self.lines = []

        def read(process: subprocess.Popen[str]) -> None:
            assert process.stderr is not None
            with process.stderr as log:
                for line in log:
                    self.lines.append(line)
                    if re.search(sign, line):
                        seen.set()
            seen.set()

        self._reader = threading.Thread(target=read, args=(self._process,), daemon=True)
        self._reader.start()
        if not seen.wait(START_SECONDS) or not any(re.search(sign, line) for line in self.lines):
            raise AssertionError(f"{self._module} did not start:\n{''.join(self.lines)}")

    @property
    def running(self) -> bool:
        """Whether it was started and not ended since."""
        return self._process is not None

    @property
    def children(self) -> list[int]:
        """The ids of the processes it has started."""
        return [int(child) for child in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()]

    def logged(self, sign: str) -> int:
        """How many lines of its log match `sign`."""
        return sum(1 for line in self.lines if re.search(sign, line))

    def kill(self) -> None:
        """Kills it and its children without a chance to finish anything."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGKILL)
        self._ended()

    def stop(self) -> int:
        """Asks it to end, and returns its exit status; kills it after 20 seconds."""
        if self._process is None:
            return 0
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
        return self._ended()

    def _ended(self) -> int:
        assert self._process is not None
        assert self._reader is not None
        status = self._process.wait(20)
        self._reader.join(20)
        self._process = None
        return status


def allow_open_files(count: int) -> None:
    """Lets this process and those it starts hold so many connections, where the system allows it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count if hard == resource.RLIM_INFINITY else min(count, hard), hard))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
