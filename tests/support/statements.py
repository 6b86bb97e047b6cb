"""Listens to what the store asks a database on the way of a click: raw cursors raise none of SQLAlchemy's events."""

from typing import Any

import pytest

from server.store.sql import Insert, Statements


def listen(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The statements that are run from now on, each once however many rows it is run for, with those that have nothing to do left out."""
    heard: list[str] = []
    for name in ("each", "insert", "rows"):
        monkeypatch.setattr(Statements, name, _listening(getattr(Statements, name), heard))
    return heard


def _listening(run: Any, heard: list[str]) -> Any:
    def wrapped(statements: Statements, statement: str | Insert, values: Any) -> Any:
        values = list(values)
        if values:
            heard.append(statement if isinstance(statement, str) else statement.for_each)
        return run(statements, statement, values)

    return wrapped
