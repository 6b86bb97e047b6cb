"""Brings a database to the state that this code expects."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from server.store import click_tables, crm_tables, given_ids, outbox_tables, script_tables, tables  # noqa: F401  (every table is known to the migrations)
from server.store.database import Database, take_your_time


class WrongVersion(Exception):
    """The database is not in the state that this code expects."""


def migrate(database: Database, revision: str = "head") -> None:
    """Applies the changes that the database lacks, up to a revision; all of them or none. Raises WrongVersion for a newer database."""

    def work(connection: Connection) -> None:
        take_your_time(connection)
        if not database.is_sqlite:
            connection.exec_driver_sql("SELECT pg_advisory_xact_lock(7451)")  # one process migrates, the others wait and find it done
        _refuse_newer(connection)
        command.upgrade(_config(connection), revision)

    database.write(work)


def check(database: Database) -> None:
    """Raises WrongVersion unless every change is applied."""

    def work(connection: Connection) -> None:
        _refuse_newer(connection)
        if _current(connection) != _script().get_current_head():
            raise WrongVersion("the database is empty or older than this version: run python -m server migrate")

    database.read(work)


def _refuse_newer(connection: Connection) -> None:
    current = _current(connection)
    if current is not None and current not in {script.revision for script in _script().walk_revisions()}:
        raise WrongVersion(f"the database is at {current}, which a newer version made: this one would damage it")


def _current(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _script() -> ScriptDirectory:
    return ScriptDirectory.from_config(_config(None))


def _config(connection: Connection | None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    return config
