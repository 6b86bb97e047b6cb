"""Databases that are there and take nothing: no click is to blame, so each may come again."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from server.house import now
from server.model.errors import DomainError, Reason
from server.store.database import Database
from server.store.recording import Recorder, Result
from tests.store.test_recording import NO_ID, Setup, recorded


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_server_that_only_reads_refuses_for_now_and_its_connections_are_given_up(database: Database) -> None:
    """So does the old primary after a switch to another one: whoever kept its connections would never reach the new one."""
    setup, recorder = Setup(database), Recorder(database, now)
    clicks = [setup.click(1), setup.click(2)]
    with read_only(database):
        assert refusals(recorder.record(clicks)) == [Reason.store_unavailable] * 2
        with pytest.raises(DomainError) as refused:
            setup.links.reset(setup.one.id, "", NO_ID, now())
        assert (refused.value.reason, refused.value.metadata["cause"]) == (Reason.store_unavailable, "READ_ONLY")
    assert not any(result.duplicate for result in recorded(recorder, clicks))
    assert setup.links.reset(setup.one.id, "", NO_ID, now()).generation == 1


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("from_byte", [0, 4096])
def test_a_damaged_file_refuses_for_now(database: Database, from_byte: int) -> None:
    setup = Setup(database)
    clicks = [setup.click(1), setup.click(2)]
    database.engine.dispose()
    path = Path(make_url(str(database.engine.url)).database or "")
    sound = path.read_bytes()
    path.write_bytes(sound[:from_byte] + b"\xff" * (len(sound) - from_byte))
    results = Recorder(database, now).record(clicks)
    assert refusals(results) == [Reason.store_unavailable] * 2
    assert {result.metadata["cause"] for result in results if isinstance(result, DomainError)} <= {"NO_DATABASE", "DAMAGED"}
    database.engine.dispose()
    path.write_bytes(sound)
    assert not any(result.duplicate for result in recorded(Recorder(database, now), clicks))


def refusals(results: list[Result]) -> list[Reason]:
    return [result.reason for result in results if isinstance(result, DomainError)]


@contextlib.contextmanager
def read_only(database: Database) -> Iterator[None]:
    """Has new connections read only, as a standby's do."""
    setting = f'ALTER DATABASE "{database.engine.url.database}" SET default_transaction_read_only = '
    with database.engine.connect() as admin:
        admin.exec_driver_sql(f"{setting} on")
        admin.commit()
        admin.detach()
        database.engine.dispose()
        try:
            yield
        finally:
            admin.exec_driver_sql(f"{setting} off")
            admin.commit()
