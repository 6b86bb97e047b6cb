"""A server that does not wait for its disk (synchronous=OFF): the control, which must lose clicks when power is cut."""

from typing import Any

from server.__main__ import main
from server.store import database

_prepare = database._prepare_sqlite


def _prepare_carelessly(connection: Any, _record: Any) -> None:
    _prepare(connection, _record)
    connection.execute("PRAGMA synchronous=OFF")


if __name__ == "__main__":
    database._prepare_sqlite = _prepare_carelessly
    main()
