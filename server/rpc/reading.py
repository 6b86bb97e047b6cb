"""How a message is read: made once for each type of message and model, from its descriptor."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import islice
from typing import Any, TypeAlias

from annotated_types import MaxLen
from google.protobuf.message import Message
from pydantic import BaseModel

from server.rpc.contract_fields import Field, enum_names, is_map, is_member, is_time, real_oneof
from server.turns import give_way

MOST_ITEMS = 1000
"""Entries of the longest list that any model takes."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_TIME, _LAST_TIME = -62_135_596_800, 253_402_300_799  # the seconds that a Timestamp may hold: the years 1 to 9999
_NO_TIME = object()  # stands for a time outside them, which a model refuses like any other value that is no time

_Read: TypeAlias = Callable[[Any, dict[str, Any]], None]


def values_of(message: Message, model: type[BaseModel] | None) -> dict[str, Any]:
    """The fields of a message as plain values, by name. Of a list that is too long only so much is read that the model sees it is."""
    give_way()
    kind: Any = type(message)
    values: dict[str, Any] = {}
    for each in _readers(kind, model):
        each(message, values)
    return values


@cache
def _readers(message: Any, model: type[BaseModel] | None) -> Sequence[_Read]:
    return [_reader(field, _most(model, field.name) + 1) for field in message.DESCRIPTOR.fields]


def _reader(field: Field, most: int) -> _Read:
    name: str = field.name
    if is_map(field):
        return lambda message, values: values.update({name: dict(islice(getattr(message, name).items(), most))})
    taken = _taken(field)
    if field.is_repeated:
        return lambda message, values: values.update({name: [taken(item) for item in islice(getattr(message, name), most)]})
    if is_member(field):
        return _read_member(name, real_oneof(field) or "")
    return _read_value(name, taken, field.has_presence, field.enum_type is not None)


def _read_member(name: str, oneof: str) -> _Read:
    def read(message: Any, values: dict[str, Any]) -> None:
        if message.HasField(name):
            values[oneof] = {"tag": name, **values_of(getattr(message, name), None)}

    return read


def _read_value(name: str, taken: Callable[[Any], Any], may_be_absent: bool, is_enum: bool) -> _Read:
    def read(message: Any, values: dict[str, Any]) -> None:
        if may_be_absent and not message.HasField(name):
            return
        value = getattr(message, name)
        if not is_enum or value:
            values[name] = taken(value)

    return read


def _taken(field: Field) -> Callable[[Any], Any]:
    """What a value of the message is for the model."""
    if field.enum_type is not None:
        names = enum_names(field.enum_type)
        return lambda number: names.get(number, number)
    if field.message_type is None:
        return lambda value: value
    return _time_of if is_time(field) else lambda message: values_of(message, None)


def _time_of(stamp: Any) -> Any:
    if _FIRST_TIME <= stamp.seconds <= _LAST_TIME and 0 <= stamp.nanos < 1_000_000_000:
        return _EPOCH + timedelta(seconds=stamp.seconds, microseconds=stamp.nanos // 1000)
    return _NO_TIME


def _most(model: type[BaseModel] | None, name: str) -> int:
    field = model.model_fields.get(name) if model is not None else None
    limits = [limit.max_length for limit in field.metadata if isinstance(limit, MaxLen)] if field is not None else []
    return min(limits, default=MOST_ITEMS)
