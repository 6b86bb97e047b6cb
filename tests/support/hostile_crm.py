"""CRMs that break every rule, as real gRPC servers in this process: what each call answers is a function."""

from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Self

import grpc

from trackedlinks.v1 import crm_service_pb2

Answer = Callable[[Any, Any], Awaitable[Any]]
"""From a request and its context to a message, or to bytes that are none."""

_REQUESTS: dict[str, Any] = {
    "BatchGetPersons": crm_service_pb2.BatchGetPersonsRequest,
    "CheckReferences": crm_service_pb2.CheckReferencesRequest,
    "ApplyEffects": crm_service_pb2.ApplyEffectsRequest,
    "GetSubscriptions": crm_service_pb2.GetSubscriptionsRequest,
    "SetSubscription": crm_service_pb2.SetSubscriptionRequest,
}


class HostileCrm:
    """A server of CrmService with these answers by the name of the call; what is not named is not served. An async context manager."""

    def __init__(self, **answers: Answer) -> None:
        handlers = {
            name: grpc.unary_unary_rpc_method_handler(answer, _REQUESTS[name].FromString, _serialized) for name, answer in answers.items()
        }
        self._server = grpc.aio.server()
        self._server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("trackedlinks.v1.CrmService", handlers)])
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"

    async def __aenter__(self) -> Self:
        await self._server.start()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self._server.stop(5)  # which waits for calls only; without it gRPC speaks to an event loop that is closed by then (tried)


def answering(answer: Any) -> Answer:
    """A call that always answers this."""

    async def call(request: Any, context: Any) -> Any:
        return answer

    return call


def failing(code: grpc.StatusCode) -> Answer:
    """A call that always fails so."""

    async def call(request: Any, context: Any) -> Any:
        await context.abort(code, "Kari Nordmann <kari@example.com> is at line 12 of secret.py")

    return call


def _serialized(answer: Any) -> bytes:
    return answer if isinstance(answer, bytes) else bytes(answer.SerializeToString())
