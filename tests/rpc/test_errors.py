"""What a refusal looks like on the wire, by a server of its own whose one method raises what it is told to."""

import inspect
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from structlog.testing import capture_logs

from server.model.errors import DomainError, Reason, Violation, invalid
from server.rpc.admission import Admission
from server.rpc.door import Door
from server.rpc.errors import CODES, RETRYABLE, status_of
from server.rpc.stopping import Stopping
from tests.support.stubs import Refused
from trackedlinks.v1 import click_service_pb2, click_service_pb2_grpc, link_service_pb2, link_service_pb2_grpc


class Wire:
    """A channel to a server whose two RPCs, one of each shape, raise what they are told to."""

    def __init__(self) -> None:
        self.error: BaseException = AssertionError("told nothing")
        self.server = grpc.aio.server(interceptors=[Door(Stopping(), Admission())])
        self.server.add_generic_rpc_handlers((_handler("Link", GetLink=self._unary), _handler("Click", RecordClicks=self._stream)))
        self.channel = grpc.aio.insecure_channel(f"127.0.0.1:{self.server.add_insecure_port('127.0.0.1:0')}")

    async def refusal(self, error: BaseException) -> grpc.aio.AioRpcError:
        """What a client sees of an error."""
        self.error = error
        stub: Any = link_service_pb2_grpc.LinkServiceStub(self.channel)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.GetLink(link_service_pb2.GetLinkRequest())
        return caught.value

    async def _unary(self, request: Any, context: Any) -> Any:
        raise self.error

    async def _stream(self, requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        async for _ in requests:
            yield b""
            raise self.error


def _handler(service: str, **methods: Any) -> Any:
    def kind(behaviour: Any) -> Any:
        streams = inspect.isasyncgenfunction(behaviour)
        make: Any = grpc.stream_stream_rpc_method_handler if streams else grpc.unary_unary_rpc_method_handler
        return make(behaviour, bytes, bytes)

    handlers = {name: kind(behaviour) for name, behaviour in methods.items()}
    return grpc.method_handlers_generic_handler(f"trackedlinks.v1.{service}Service", handlers)


@pytest.fixture
async def wire(anyio_backend: str) -> AsyncIterator[Wire]:
    wire = Wire()
    await wire.server.start()
    yield wire
    await wire.channel.close()
    await wire.server.stop(0)


def details_of(error: grpc.aio.AioRpcError) -> dict[str, Any]:
    """The details of a status by their name."""
    status = rpc_status.from_call(error)
    found: dict[str, Any] = {}
    for detail in status.details:
        for kind in (error_details_pb2.ErrorInfo, error_details_pb2.BadRequest, error_details_pb2.RetryInfo):
            message = kind()
            if detail.Unpack(message):
                found[kind.DESCRIPTOR.name] = message
    assert len(found) == len(status.details)
    return found


@pytest.mark.parametrize("reason", list(Reason))
async def test_every_reason_comes_with_its_code_and_an_error_info(wire: Wire, reason: Reason) -> None:
    error = await wire.refusal(DomainError(reason, "what is wrong", id=7, name="Ø\n"))
    details = details_of(error)
    info = details["ErrorInfo"]
    assert (error.code(), error.details()) == (CODES[reason], "what is wrong")
    assert (info.reason, info.domain, dict(info.metadata)) == (reason.value, "trackedlinks", {"id": "7", "name": "Ø\n"})
    assert ("RetryInfo" in details) == (reason in RETRYABLE)
    assert "BadRequest" not in details


async def test_what_may_succeed_later_says_when(wire: Wire) -> None:
    for reason in RETRYABLE:
        retry = details_of(await wire.refusal(DomainError(reason, "later")))["RetryInfo"]
        assert 0 < retry.retry_delay.ToMilliseconds() <= 60_000


async def test_violations_come_as_a_bad_request_in_their_order(wire: Wire) -> None:
    error = await wire.refusal(invalid(Violation("link.name", "must not be empty"), Violation("link.actions[0].id", "æøå")))
    assert (error.code(), error.details()) == (grpc.StatusCode.INVALID_ARGUMENT, "link.name: must not be empty (and 1 more)")
    details = details_of(error)
    assert details["ErrorInfo"].reason == "INVALID_FIELD"
    found = [(violation.field, violation.description) for violation in details["BadRequest"].field_violations]
    assert found == [("link.name", "must not be empty"), ("link.actions[0].id", "æøå")]


@pytest.mark.parametrize("letter", ["x", "Ø", "🌷", "%", "\n"])
async def test_no_error_is_larger_than_the_headers_that_clients_take(wire: Wire, letter: str) -> None:
    violations = [Violation(f"{letter * 5000}[{number}]", letter * 5000) for number in range(1000)]
    for error in (invalid(*violations), DomainError(Reason.defect, letter * 100_000, a=letter * 5000, b=letter * 5000, c=letter * 5000)):
        for _ in range(20):  # a client may take a header between its soft and its hard limit, or not
            answer = Refused(await wire.refusal(error))
            assert (answer.code, answer.reason) == (CODES[error.reason], error.reason.value)
            assert bool(answer.fields) == bool(error.violations)


async def test_a_hundred_short_violations_are_all_listed(wire: Wire) -> None:
    found = details_of(await wire.refusal(invalid(*(Violation(f"links[{number}].name", "must not be empty") for number in range(100)))))
    assert len(found["BadRequest"].field_violations) == 100


async def test_a_defect_is_logged_and_tells_the_caller_nothing_of_it(wire: Wire) -> None:
    with capture_logs() as logs:
        error = await wire.refusal(ValueError("secret"))
    assert error.code() == grpc.StatusCode.INTERNAL
    assert details_of(error)["ErrorInfo"].reason == "DEFECT"
    assert "secret" not in str(error)
    (entry,) = logs
    assert (entry["event"], entry["log_level"], entry["method"]) == ("defect", "error", "/trackedlinks.v1.LinkService/GetLink")
    assert isinstance(entry["exc_info"], ValueError)


async def test_a_refused_call_is_not_logged_unless_the_store_is_away(wire: Wire) -> None:
    with capture_logs() as logs:
        await wire.refusal(DomainError(Reason.link_not_found, "there is no link 7", id=7))
        assert logs == []
        await wire.refusal(DomainError(Reason.store_unavailable, "away", cause="OperationalError"))
    assert [(entry["event"], entry["cause"]) for entry in logs] == [("store_unavailable", "OperationalError")]


async def test_an_error_in_a_stream_ends_it_after_what_was_answered(wire: Wire) -> None:
    wire.error = DomainError(Reason.token_invalid, "no token")
    stub: Any = click_service_pb2_grpc.ClickServiceStub(wire.channel)
    call = stub.RecordClicks()
    await call.write(click_service_pb2.RecordClicksRequest())
    assert await call.read() == click_service_pb2.RecordClicksResponse()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call.read()
    answer = Refused(caught.value)
    assert (answer.code, answer.reason) == (grpc.StatusCode.NOT_FOUND, "TOKEN_INVALID")


def test_an_error_never_has_the_code_of_success() -> None:
    assert all(status_of(DomainError(reason, "wrong")).code != 0 for reason in Reason)
