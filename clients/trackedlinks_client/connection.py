"""A connection to the service: stubs with deadlines, retries, and the user for whom calls are made."""

import dataclasses
import json
import uuid
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Self, TypeVar

import grpc

from trackedlinks.v1 import (
    action_service_pb2,
    action_service_pb2_grpc,
    click_service_pb2,
    click_service_pb2_grpc,
    crm_service_pb2,
    crm_service_pb2_grpc,
    embedded_crm_service_pb2,
    embedded_crm_service_pb2_grpc,
    folder_service_pb2,
    folder_service_pb2_grpc,
    link_service_pb2,
    link_service_pb2_grpc,
    mailing_service_pb2,
    mailing_service_pb2_grpc,
    recipient_service_pb2,
    script_service_pb2,
    script_service_pb2_grpc,
)

DEFAULT_ADDRESS = "127.0.0.1:50051"

USER_METADATA = "trackedlinks-user-id"

SERVICES = [
    service
    for file in (
        folder_service_pb2,
        link_service_pb2,
        mailing_service_pb2,
        script_service_pb2,
        click_service_pb2,
        action_service_pb2,
        recipient_service_pb2,
        crm_service_pb2,
        embedded_crm_service_pb2,
    )
    for service in file.DESCRIPTOR.services_by_name.values()
]
"""The descriptors of every service of the contract."""

RETRIES = {"maxAttempts": 4, "initialBackoff": "0.1s", "maxBackoff": "2s", "backoffMultiplier": 3, "retryableStatusCodes": ["UNAVAILABLE"]}
"""Three more attempts, each after a random time of at most 0.1, 0.3 and 0.9 seconds; the deadline covers all of them."""

_OPTIONS = [
    # A stream has no deadline: pings tell that the other side is gone. The server takes one every 10 s.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
]


class Connection:
    """Stubs for every service, over one channel; a context manager that closes it. Threads may share it."""

    def __init__(self, address: str, user: int, timeout: float) -> None:
        self.address = address
        self._channel = grpc.insecure_channel(address, [("grpc.service_config", _service_config()), *_OPTIONS])
        metadata = [(USER_METADATA, str(user))] if user else []
        self.channel = grpc.intercept_channel(self._channel, _Unary(metadata, timeout), _Streams(metadata))
        self.folders = folder_service_pb2_grpc.FolderServiceStub(self.channel)
        self.links = link_service_pb2_grpc.LinkServiceStub(self.channel)
        self.mailings = mailing_service_pb2_grpc.MailingServiceStub(self.channel)
        self.scripts = script_service_pb2_grpc.ScriptServiceStub(self.channel)
        self.clicks = click_service_pb2_grpc.ClickServiceStub(self.channel)
        self.actions = action_service_pb2_grpc.ActionServiceStub(self.channel)
        self.crm = crm_service_pb2_grpc.CrmServiceStub(self.channel)
        self.embedded_crm = embedded_crm_service_pb2_grpc.EmbeddedCrmServiceStub(self.channel)

    def close(self) -> None:
        """Ends the connection and every call under way."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def connect(address: str = DEFAULT_ADDRESS, user: int = 0, timeout: float = 30.0) -> Connection:
    """A connection to the service at `address` (host:port), for use in a `with` statement. It is made by the first call.

    `user` is the id of the user for whom the calls are made: creator, updater, and what `mine` means; 0 = nobody named.
    `timeout` is how many seconds a call may take, retries included, unless the call names another; a stream has no deadline.

    Calls that are answered UNAVAILABLE are sent again up to three times within about a second; streams are not. A request with a
    `request_id` gets one when the caller gives none, so that what is sent twice happens once.

    Stubs raise grpc.RpcError; `CallRefused.of(error)` says what it means. Raises ValueError for a negative user or a timeout that is
    not positive.
    """
    if user < 0:
        raise ValueError(f"user must not be negative, not {user}")
    if timeout <= 0:
        raise ValueError(f"timeout must be positive, not {timeout}")
    return Connection(address, user, timeout)


def _service_config() -> str:
    unary = [
        {"service": service.full_name, "method": method.name}
        for service in SERVICES
        for method in service.methods
        if not (method.client_streaming or method.server_streaming)
    ]
    return json.dumps({"methodConfig": [{"name": unary, "retryPolicy": RETRIES}]})


_Metadata = list[tuple[str, str]]
_Q = TypeVar("_Q")
_R = TypeVar("_R")


@dataclasses.dataclass
class _CallDetails(grpc.ClientCallDetails):
    method: str
    timeout: float | None
    metadata: Any
    credentials: grpc.CallCredentials | None
    wait_for_ready: bool | None
    compression: grpc.Compression | None


def _details(call: grpc.ClientCallDetails, timeout: float | None, metadata: _Metadata) -> _CallDetails:
    merged = [*(call.metadata or ()), *metadata]
    return _CallDetails(call.method, timeout, merged, call.credentials, call.wait_for_ready, call.compression)


class _Unary(grpc.UnaryUnaryClientInterceptor):
    """Gives every call the metadata, a deadline, and a request id where it takes one."""

    def __init__(self, metadata: _Metadata, timeout: float) -> None:
        self._metadata = metadata
        self._timeout = timeout

    def intercept_unary_unary(
        self, continuation: Callable[[Any, Any], Any], client_call_details: grpc.ClientCallDetails, request: Any
    ) -> Any:
        timeout = self._timeout if client_call_details.timeout is None else client_call_details.timeout
        return continuation(_details(client_call_details, timeout, self._metadata), _with_request_id(request))


class _Streams(grpc.UnaryStreamClientInterceptor, grpc.StreamUnaryClientInterceptor, grpc.StreamStreamClientInterceptor):
    """Gives every stream the metadata."""

    def __init__(self, metadata: _Metadata) -> None:
        self._metadata = metadata

    def _open(self, continuation: Callable[[Any, _Q], _R], client_call_details: grpc.ClientCallDetails, request: _Q) -> _R:
        return continuation(_details(client_call_details, client_call_details.timeout, self._metadata), request)

    def intercept_unary_stream(self, continuation: Callable[[Any, _Q], _R], client_call_details: grpc.ClientCallDetails, request: _Q) -> _R:
        return self._open(continuation, client_call_details, request)

    def intercept_stream_unary(
        self, continuation: Callable[[Any, Iterator[_Q]], _R], client_call_details: grpc.ClientCallDetails, request_iterator: Iterator[_Q]
    ) -> _R:
        return self._open(continuation, client_call_details, request_iterator)

    def intercept_stream_stream(
        self, continuation: Callable[[Any, Iterator[_Q]], _R], client_call_details: grpc.ClientCallDetails, request_iterator: Iterator[_Q]
    ) -> _R:
        return self._open(continuation, client_call_details, request_iterator)


def _with_request_id(request: Any) -> Any:
    if "request_id" not in request.DESCRIPTOR.fields_by_name or request.request_id:
        return request
    named = type(request)()
    named.CopyFrom(request)
    named.request_id = str(uuid.uuid4())
    return named
