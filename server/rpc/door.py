"""The door: every call comes in here. Bytes that are no message are refused, errors get their status, and a stop ends what is under way."""

import contextlib
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
from google.protobuf.message import Message

from server.model.errors import DomainError, Reason
from server.rpc.errors import abort
from server.rpc.stopping import Stopping


class _Malformed:
    """Stands for a request whose bytes are no message: grpc itself would answer INTERNAL (tried)."""


_MALFORMED = _Malformed()


class Door(grpc.aio.ServerInterceptor):
    """Wraps every handler, once."""

    def __init__(self, stopping: Stopping) -> None:
        self._stopping = stopping
        self._handlers: dict[str, Any] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        method = handler_call_details.method
        if (wrapped := self._handlers.get(method)) is None:
            handler = await continuation(handler_call_details)
            if handler is None:
                return None
            wrapped = self._handlers[method] = self._wrapped(handler, method)
        return wrapped

    def _wrapped(self, handler: Any, method: str) -> Any:
        codec = _lenient(handler.request_deserializer), handler.response_serializer
        if handler.request_streaming:
            return grpc.stream_stream_rpc_method_handler(self._stream(handler.stream_stream, method), *codec)
        if not handler.response_streaming:
            return grpc.unary_unary_rpc_method_handler(self._unary(handler.unary_unary, method), *codec)
        if inspect.iscoroutinefunction(handler.unary_stream):
            return grpc.unary_stream_rpc_method_handler(self._writing(handler.unary_stream, method), *codec)
        return grpc.unary_stream_rpc_method_handler(self._watch(handler.unary_stream, method), *codec)

    def _unary(self, behaviour: Any, method: str) -> Any:
        async def wrapped(request: Any, context: Any) -> Any:
            try:
                with self._stopping.working():
                    return await behaviour(_checked(request), context)
            except Exception as error:
                await abort(error, method, context)

        return wrapped

    def _stream(self, behaviour: Any, method: str) -> Any:
        async def wrapped(_requests: AsyncIterator[Any], context: Any) -> None:
            try:
                with self._stopping.working():
                    await _write(behaviour(self._read(context), context), context)
            except Exception as error:
                await abort(error, method, context)

        return wrapped

    def _watch(self, behaviour: Any, method: str) -> Any:
        async def wrapped(request: Any, context: Any) -> None:
            try:
                with self._stopping.working():
                    await _write(behaviour(_checked(request), context), context)
            except Exception as error:
                await abort(error, method, context)

        return wrapped

    def _writing(self, behaviour: Any, method: str) -> Any:
        async def wrapped(request: Any, context: Any) -> None:
            try:
                with self._stopping.idle():  # what writes by itself is Health/Watch, which has nothing to finish
                    await behaviour(_checked(request), context)
            except Exception as error:
                await abort(error, method, context)

        return wrapped

    async def _read(self, context: Any) -> AsyncIterator[Any]:
        """The requests of a stream as they come, until the server stops. Raises SERVER_STOPPING then."""
        while True:
            with self._stopping.idle():
                request = await context.read()
            if request is grpc.aio.EOF:
                return
            yield _checked(request)


async def _write(responses: AsyncIterator[Any], context: Any) -> None:
    """Writes here, not where grpc would: what breaks off a write is seen then, and ends the generator at once."""
    async with contextlib.aclosing(responses):  # type: ignore[type-var]
        async for response in responses:
            await context.write(response)


def _lenient(deserialize: Callable[[bytes], Message] | None) -> Callable[[bytes], Any]:
    assert deserialize is not None

    def wrapped(content: bytes) -> Any:
        try:
            return deserialize(content)
        except Exception:  # whatever the parser calls it, the bytes are no message
            return _MALFORMED

    return wrapped


def _checked(request: Any) -> Any:
    if request is _MALFORMED:
        raise DomainError(Reason.malformed_request, "the bytes sent are no message of this RPC's request type")
    return request
