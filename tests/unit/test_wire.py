"""Messages ↔ models by field name: every field of every message of the contract goes over, both ways."""

import importlib
import pkgutil
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from google.protobuf import message_factory
from google.protobuf.descriptor import FieldDescriptor
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

import server.actions
import server.model
from server.clicks.answer import Page
from server.online import OnlineMessage
from server.rpc.wire import to_message, to_values
from server.subscriptions import SubscriptionPage
from tests.contract.test_contract import contract
from tests.support.messages import filled

TYPES: dict[str, Any] = {
    name: message_factory.GetMessageClass(descriptor)
    for module in contract()
    for name, descriptor in module.DESCRIPTOR.message_types_by_name.items()
}
"""Every message of the contract by its name."""


def models() -> dict[str, type]:
    """The model of each message of the contract that has one of its name; of two it is the one with counts."""
    modules = [
        importlib.import_module(found.name)
        for package in (server.model, server.actions)
        for found in pkgutil.iter_modules(package.__path__, f"{package.__name__}.")
    ]
    things = {name: thing for module in modules for name, thing in vars(module).items() if isinstance(thing, type)}
    things |= {each.__name__: each for each in (Page, OnlineMessage, SubscriptionPage)}
    return {name: model for name in TYPES if (model := things.get(f"Counted{name}") or things.get(name))}


def has(model: type, name: str) -> bool:
    """Whether what is of this class has the attribute."""
    if issubclass(model, BaseModel):
        return name in model.model_fields or hasattr(model, name)
    return hasattr(model, name) or (is_dataclass(model) and name in {field.name for field in fields(model)})


def attribute(field: Any) -> str:
    """Where a model has what a field of a message has."""
    oneof = field.containing_oneof
    return str(oneof.name if oneof is not None and not oneof.name.startswith("_") and field.message_type is not None else field.name)


def is_map(field: Any) -> bool:
    return field.message_type is not None and bool(field.message_type.GetOptions().map_entry)


def plain(message: Any) -> dict[str, Any]:
    """What a message says, read slowly: a dictionary for a message, a name for an enum, a datetime for a time."""
    found: dict[str, Any] = {}
    for field in message.DESCRIPTOR.fields:
        value, name = getattr(message, field.name), attribute(field)
        if is_map(field):
            found[name] = dict(value)
        elif field.is_repeated:
            found[name] = [plain_value(field, item) for item in value]
        elif field.has_presence and not message.HasField(field.name):
            continue
        elif name != field.name:
            found[name] = {"tag": field.name, **plain(value)}
        elif field.enum_type is None or value:
            found[name] = plain_value(field, value)
    return found


def plain_value(field: Any, value: Any) -> Any:
    if field.enum_type is not None:
        known = field.enum_type.values_by_number
        return known[value].name.removeprefix(known[0].name.removesuffix("UNSPECIFIED")).lower()
    if field.message_type is None:
        return value
    if field.message_type.full_name == "google.protobuf.Timestamp":
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=value.seconds, microseconds=value.nanos / 1000)
    return plain(value)


def thing(value: Any) -> Any:
    """The same as something with attributes, as a model has them."""
    if isinstance(value, list):
        return [thing(each) for each in value]
    if isinstance(value, dict):
        return SimpleNamespace(**{name: each if name in MAPS else thing(each) for name, each in value.items()})
    return value


MAPS = {field.name for message in TYPES.values() for field in message.DESCRIPTOR.fields if is_map(field)}


def with_known_values(message: Any) -> Any:
    """The message without what no model has: enum members that the contract does not name, times that are none."""
    for field, value in message.ListFields():
        if field.enum_type is not None:
            known = set(field.enum_type.values_by_number) - {0}
            if field.is_repeated:
                value[:] = [number for number in value if number in known]
            elif value not in known:
                message.ClearField(field.name)
        elif field.message_type is not None and field.message_type.full_name == "google.protobuf.Timestamp":
            value.seconds, value.nanos = abs(value.seconds) % 2**37, abs(value.nanos) % 1_000_000 * 1000
        elif field.message_type is not None and not is_map(field):
            for each in value if field.is_repeated else [value]:
                with_known_values(each)
    return message


def with_one_field(message: Any) -> Iterator[Any]:
    """For each field a message of this type that has nothing but this one; for each inside of it one, and one that is empty."""
    for field in message.DESCRIPTOR.fields:
        for value in values_for(field):
            if field.message_type is None or is_map(field):
                yield message(**{field.name: value})
            else:
                one = message()
                (getattr(one, field.name).add() if field.is_repeated else getattr(one, field.name)).CopyFrom(value)
                yield with_known_values(one)


def values_for(field: Any) -> list[Any]:
    if is_map(field):
        return [{"name": "value"}]
    if field.message_type is not None:
        inside = field.message_type._concrete_class
        return [*with_one_field(inside), inside()]
    value = b"\xff" if field.type == FieldDescriptor.TYPE_BYTES else VALUES[field.cpp_type]
    if field.enum_type is not None:
        value = max(field.enum_type.values_by_number)
    return [[value, value] if field.is_repeated else value]


VALUES: dict[int, Any] = {
    FieldDescriptor.CPPTYPE_INT32: -7,
    FieldDescriptor.CPPTYPE_INT64: 2**62,
    FieldDescriptor.CPPTYPE_DOUBLE: 0.25,
    FieldDescriptor.CPPTYPE_BOOL: True,
    FieldDescriptor.CPPTYPE_ENUM: 0,
    FieldDescriptor.CPPTYPE_STRING: "æ",
}


@pytest.mark.parametrize("name", sorted(TYPES))
def test_every_field_of_a_message_goes_over_both_ways(name: str) -> None:
    for message in with_one_field(TYPES[name]):
        assert to_values(message) == plain(message)
        assert to_message(thing(plain(message)), type(message)) == message


@pytest.mark.parametrize("name", ["Link", "Mailing", "Click", "Person", "MailingLink", "ActionEffects"])
def test_a_message_with_many_fields_goes_over_both_ways(name: str) -> None:
    @given(filled(TYPES[name]).map(with_known_values))
    @settings(max_examples=25, derandomize=True, suppress_health_check=list(HealthCheck))
    def both_ways(message: Any) -> None:
        assert to_values(message) == plain(message)
        assert to_message(thing(plain(message)), type(message)) == message

    both_ways()


KNOWN_BY_THE_DOOR = {"Person": ["left_out_count"]}
"""What is found out only when the message is made."""


@pytest.mark.parametrize("name", sorted(models()))
def test_a_model_has_every_field_of_the_message_of_its_name(name: str) -> None:
    missing = [field.name for field in TYPES[name].DESCRIPTOR.fields if not has(models()[name], attribute(field))]
    assert missing == KNOWN_BY_THE_DOOR.get(name, [])


def test_a_time_without_a_zone_is_utc() -> None:
    clicker = SimpleNamespace(first_click_time=datetime(2026, 2, 28, 23, 59, 59, 999_999))  # noqa: DTZ001
    stamp = to_message(clicker, TYPES["Clicker"]).first_click_time
    assert stamp.ToDatetime(UTC) == datetime(2026, 2, 28, 23, 59, 59, 999_999, UTC)


@given(st.datetimes(timezones=st.timezones()))
def test_a_time_is_what_the_library_makes_of_it(time: datetime) -> None:
    stamp = to_message(SimpleNamespace(first_click_time=time), TYPES["Clicker"]).first_click_time
    expected = TYPES["Clicker"]().first_click_time
    expected.FromDatetime(time)
    assert stamp == expected
