"""The CRM of another team, as a process of its own: clients/examples/reference_crm.py."""

import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.support.house import ROOT


class OtherCrm:
    """A CRM on a free port, with the entries and persons of its `--seed`; it can be killed and started again at the same address."""

    def __init__(self, directory: Path) -> None:
        self._file = directory / "crm.db"
        self._process: subprocess.Popen[str] | None = None
        self.address = "127.0.0.1:0"

    @property
    def setting(self) -> str:
        """What TRACKEDLINKS_CRM is set to."""
        return f"grpc://{self.address}"

    def start(self) -> None:
        """Starts it and returns when it serves."""
        script = ROOT / "clients" / "examples" / "reference_crm.py"
        command = [sys.executable, str(script), "--listen", self.address, "--database", str(self._file), "--seed"]
        self._process = subprocess.Popen(command, cwd=ROOT, env=dict(os.environ), stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if found := re.search(r"TRACKEDLINKS_CRM=grpc://(\S+)", line):
                self.address = found[1]
                return
        raise AssertionError("the CRM did not start")

    def kill(self) -> None:
        """Kills it without a chance to finish anything."""
        assert self._process is not None
        self._process.kill()
        self._ended()

    def stop(self) -> None:
        """Asks it to end."""
        if self._process is not None:
            self._process.terminate()
            self._ended()

    def rows(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Rows of its database."""
        connection = sqlite3.connect(self._file)
        try:
            return connection.execute(statement, values).fetchall()
        finally:
            connection.close()

    def write(self, statement: str, values: Sequence[Any] = ()) -> None:
        """Changes its database."""
        connection = sqlite3.connect(self._file, timeout=10)
        try:
            with connection:
                connection.execute(statement, values)
        finally:
            connection.close()

    def _ended(self) -> None:
        assert self._process is not None
        self._process.wait(20)
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._process = None
