"""The contract and the code have the same members: what one of them lacks is named by the test that fails."""

import importlib
import pkgutil
import re
from enum import Enum
from pathlib import Path
from types import ModuleType
from typing import Any

import grpc
import pytest

import server.actions
import server.messages
import server.model
from server.actions import KINDS
from server.model.errors import Reason
from server.rpc.errors import CODES
from tests.support.stubs import Stubs
from tests.support.writes import Few, every_write
from trackedlinks import v1
from trackedlinks.v1 import error_pb2, link_pb2

PROTOS = Path(next(iter(v1.__path__)))

MESSAGES = {
    field.name: str(getattr(field.message_type, "name", None)) for field in link_pb2.LinkAction.DESCRIPTOR.oneofs_by_name["kind"].fields
}
"""The name of the message of each kind of action."""


def contract() -> list[ModuleType]:
    """The generated module of each file of the contract."""
    return [importlib.import_module(f"trackedlinks.v1.{path.stem}_pb2") for path in sorted(PROTOS.glob("*.proto"))]


def methods() -> dict[str, Any]:
    """Every RPC of every service by its path."""
    services = [service for module in contract() for service in module.DESCRIPTOR.services_by_name.values()]
    return {f"/{service.full_name}/{method.name}": method for service in services for method in service.methods}


def contract_enums() -> dict[str, dict[str, int]]:
    """The numbers of every enum of the contract but ErrorReason, by name, as code spells it."""
    enums = {name: enum for module in contract() for name, enum in module.DESCRIPTOR.enum_types_by_name.items()}
    del enums["ErrorReason"]
    return {name: members(enum) for name, enum in enums.items()}


def members(enum: Any) -> dict[str, int]:
    """The numbers of an enum of the contract but 0, by name in lower case and without the enum's own."""
    prefix = re.sub(r"(?<!^)(?=[A-Z])", "_", enum.name).upper() + "_"
    assert enum.values_by_number[0].name == f"{prefix}UNSPECIFIED"
    assert all(value.name.startswith(prefix) for value in enum.values)
    return {value.name.removeprefix(prefix).lower(): value.number for value in enum.values if value.number}


def model_enums() -> dict[str, type[Enum]]:
    """Every enum class of the model, of the actions and of messages by its name."""
    modules = [
        importlib.import_module(found.name)
        for package in (server.model, server.actions, server.messages)
        for found in pkgutil.iter_modules(package.__path__, f"{package.__name__}.")
    ]
    things = [thing for module in modules for thing in vars(module).values()]
    return {thing.__name__: thing for thing in things if isinstance(thing, type) and issubclass(thing, Enum)}


def test_every_kind_of_action_of_the_contract_has_a_class_and_the_other_way_round() -> None:
    assert {tag: kind.__name__ for tag, kind in KINDS.items()} == MESSAGES


@pytest.mark.parametrize("tag", sorted(KINDS))
def test_an_action_has_the_fields_of_its_message(tag: str) -> None:
    message: Any = getattr(link_pb2, MESSAGES[tag])
    assert set(message.DESCRIPTOR.fields_by_name) == set(KINDS[tag].model_fields) - {"tag"} - KINDS[tag].never_sent


def test_every_reason_of_the_contract_is_one_of_the_code_and_has_a_grpc_code() -> None:
    reasons = {name.upper() for name in members(error_pb2.ErrorReason.DESCRIPTOR)}
    assert reasons == {reason.value for reason in Reason}
    assert {reason.value for reason in CODES} == reasons
    assert all(reason.name == reason.value.lower() for reason in Reason)


def test_every_reason_has_the_grpc_code_that_its_comment_in_the_contract_says() -> None:
    text = (PROTOS / "error.proto").read_text()
    said = {reason: code for code, reason in re.findall(r"// ([A-Z_]+): .*\n  ERROR_REASON_([A-Z_]+) =", text)}
    assert said == {reason.value: code.name for reason, code in CODES.items()}


@pytest.mark.parametrize("name", sorted(contract_enums()))
def test_an_enum_that_crosses_the_wire_has_the_members_of_the_contract_and_its_numbers_where_they_are_stored(name: str) -> None:
    found, expected = model_enums().get(name), contract_enums()[name]
    assert found is not None, f"the model has no enum {name}"
    assert sorted(member.name for member in found) == sorted(expected)
    if issubclass(found, int):
        assert {member.name: member.value for member in found} == expected


async def code_of(stubs: Stubs, path: str, method: Any) -> grpc.StatusCode:
    """The code with which an RPC answers an empty request."""
    assert method.server_streaming or not method.client_streaming, "the interceptor knows no RPC that only its caller streams"
    try:
        if method.server_streaming and not method.client_streaming:
            watch: Any = stubs.channel.unary_stream(path)
            await watch(b"").read()
        elif method.client_streaming:
            stream: Any = stubs.channel.stream_stream(path)()
            await stream.write(b"")
            await stream.done_writing()
            await stream.read()
        else:
            call: Any = stubs.channel.unary_unary(path)
            await call(b"")
    except grpc.aio.AioRpcError as error:
        return error.code()
    return grpc.StatusCode.OK


async def test_every_rpc_of_the_contract_is_served_and_takes_an_empty_request(stubs: Stubs) -> None:
    codes = {path: await code_of(stubs, path, method) for path, method in methods().items()}
    not_served = (grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN)
    assert {path: code for path, code in codes.items() if code in not_served} == {}


READS = ("Get", "List", "BatchGet", "Check", "Watch", "ViewOnline", "RenewSubscriptionLink", "TestScript")


def test_tests_of_every_write_know_every_method_that_writes() -> None:
    known = every_write(Few([1], [1], [1], [1], [1], 1, 1, 1, ["token"], ["token"]))
    names = {path.rpartition("/")[2] for path in methods()}
    assert {name.split()[0] for name in known} == {name for name in names if not name.startswith(READS)}
