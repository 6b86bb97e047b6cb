"""How facts are kept in columns: times as microseconds, models as JSON, click ids as 16 bytes."""

import json
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import JSON, BigInteger, Dialect, Integer, LargeBinary, Uuid
from sqlalchemy.types import TypeDecorator, TypeEngine

from server.turns import give_way

BIG_ID: TypeEngine[int] = BigInteger().with_variant(Integer(), "sqlite")
"""An id that the database gives: SQLite counts up by itself only where the type says INTEGER."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def to_microseconds(time: datetime) -> int:
    """The time as microseconds since 1970."""
    return (time - _EPOCH) // _MICROSECOND


def from_microseconds(value: int) -> datetime:
    """The time of so many microseconds since 1970, UTC."""
    return _EPOCH + value * _MICROSECOND


class UtcMicroseconds(TypeDecorator[datetime]):
    """An aware time as int64 microseconds, the same in both databases: SQLite would hand back naive ones otherwise (tried)."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        return None if value is None else to_microseconds(value)

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:
        return None if value is None else from_microseconds(value)


class AsJson(TypeDecorator[Any]):
    """Models as JSON; reading gives models back, not dicts (SQLModel hands JSON back as dict, tried)."""

    impl = JSON
    cache_ok = True

    def __init__(self, adapter: TypeAdapter[Any]) -> None:
        super().__init__(none_as_null=True)
        self.adapter = adapter

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        return None if value is None else self.adapter.dump_python(value, mode="json")

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        give_way()  # a list reads a thousand
        return None if value is None else self.adapter.validate_python(value)


def as_json(kept_in: TypeEngine[Any], value: Any) -> str:
    """The text that a column of type AsJson keeps of a value."""
    assert isinstance(kept_in, AsJson)
    return json.dumps(kept_in.adapter.dump_python(value, mode="json"))


class ClickId(TypeDecorator[bytes]):
    """A click id as 16 bytes here; a uuid column on PostgreSQL, 16 bytes on SQLite."""

    impl = LargeBinary
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(Uuid() if dialect.name == "postgresql" else LargeBinary(16))

    def process_bind_param(self, value: bytes | None, dialect: Dialect) -> Any:
        return uuid.UUID(bytes=value) if value is not None and dialect.name == "postgresql" else value

    def process_result_value(self, value: Any, dialect: Dialect) -> bytes | None:
        return value.bytes if isinstance(value, uuid.UUID) else value
