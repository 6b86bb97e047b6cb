"""The door: every call comes in here, is admitted or refused, and told why it ends; bytes that are no message are refused."""

import asyncio
import contextlib
import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
from google.protobuf.message import Message

from server.model.errors import DomainError, Reason
from server.rpc.admission import Admission, Call
from server.rpc.bounds import Bound, bound_of
from server.rpc.errors import abort
from server.rpc.stopping import Stopping
from server.rpc.threads import belongs_to, group_of

Answer = Callable[[Any, Any], Awaitable[bytes]]
"""What a call is answered by, serialised, given its request and context."""


class _Malformed:
    """Stands for a request whose bytes are no message: grpc itself would answer INTERNAL (tried)."""


_MALFORMED = _Malformed()


class Door(grpc.aio.ServerInterceptor):
    """Wraps every handler, once."""

    def __init__(self, stopping: Stopping, admission: Admission) -> None:
        self._stopping = stopping
        self._admission = admission
        self._handlers: dict[str, Any] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        method = handler_call_details.method
        belongs_to(group_of(method))
        if (wrapped := self._handlers.get(method)) is None:
            handler = await continuation(handler_call_details)
            if handler is None:
                return None
            wrapped = self._handlers[method] = self._wrapped(handler, method)
        return wrapped

    def _wrapped(self, handler: Any, method: str) -> Any:
        bound = bound_of(method)
        deserialize, serialize = _lenient(handler.request_deserializer), handler.response_serializer
        if handler.request_streaming:
            return grpc.stream_stream_rpc_method_handler(self._stream(handler.stream_stream, method, bound), deserialize, serialize)
        if handler.response_streaming:
            return grpc.unary_stream_rpc_method_handler(self._watch(handler.unary_stream, method, bound), deserialize, serialize)
        answer = _bytes_of(handler.unary_unary, serialize)
        if bound.waits:
            return grpc.stream_stream_rpc_method_handler(self._large(answer, method, bound), deserialize, None)
        return grpc.unary_unary_rpc_method_handler(self._unary(answer, method, bound), deserialize, None)

    def _unary(self, answer: Answer, method: str, bound: Bound) -> Any:
        async def wrapped(request: Any, context: Any) -> Any:
            call = self._admission.call(bound, context.peer())
            async with self._told(call, method, context):
                self._admission.enter(call, _size(_checked(request)))
                content = await answer(request, context)
                self._admission.answers(call, len(content))
                return content

        return wrapped

    def _large(self, answer: Answer, method: str, bound: Bound) -> Any:
        """For gRPC's wire a stream of one: so its request is read when there is room, and of the answer nothing stays but its bytes."""

        async def wrapped(_requests: AsyncIterator[Any], context: Any) -> None:
            call = self._admission.call(bound, context.peer())
            async with self._told(call, method, context):
                self._admission.enter(call)
                await self._admission.make_room(call)
                request = await _read(call, context)
                if request is grpc.aio.EOF:
                    request = _MALFORMED
                content = await answer(_checked(request), context)
                del request
                self._admission.answers(call, len(content))
                await context.write(content)

        return wrapped

    def _stream(self, behaviour: Any, method: str, bound: Bound) -> Any:
        async def wrapped(_requests: AsyncIterator[Any], context: Any) -> None:
            call = self._admission.call(bound, context.peer())
            async with self._told(call, method, context):
                self._admission.enter(call)
                if bound.idle:  # or an end before the first answer is taken could not be told: grpc would send its head twice
                    await context.send_initial_metadata(())
                await _write(behaviour(self._requests(call, context), context), call, context)

        return wrapped

    def _watch(self, behaviour: Any, method: str, bound: Bound) -> Any:
        writes = inspect.iscoroutinefunction(behaviour)

        async def wrapped(request: Any, context: Any) -> None:
            call = self._admission.call(bound, context.peer())
            async with self._told(call, method, context):
                self._admission.enter(call)
                if writes:
                    with self._stopping.idle():  # what writes by itself is Health/Watch, which has nothing to finish
                        await behaviour(_checked(request), context)
                else:
                    await _write(behaviour(_checked(request), context), call, context)

        return wrapped

    @contextlib.asynccontextmanager
    async def _told(self, call: Call, method: str, context: Any) -> AsyncIterator[None]:
        """The block is the call: whatever it raises, and why it is ended from here, its caller is told."""
        try:
            with self._stopping.working():
                yield
        except asyncio.CancelledError:
            if call.error is None:  # its caller has gone
                raise
            call.task.uncancel()
            self._admission.give_back(call)  # to be told may take as long as what was not read before
            await abort(call.error, method, context)
        except grpc.aio.InternalError:  # what is written goes nowhere: the connection has gone
            raise
        except Exception as error:
            self._admission.give_back(call)
            await abort(error, method, context)

    async def _requests(self, call: Call, context: Any) -> AsyncIterator[Any]:
        """The requests of a stream, each when there is room for its answer. Raises SERVER_STOPPING as soon as the server stops."""
        while True:
            with self._stopping.idle():
                request = await _read(call, context)
            if request is grpc.aio.EOF:
                return
            if call.bound.waits:
                await self._admission.make_room(call)
            yield _checked(request)
            if call.bound.waits:
                self._admission.give_back(call)


def _bytes_of(behaviour: Any, serialize: Callable[[Any], bytes]) -> Answer:
    """The bytes of an answer. What blocks runs in a thread, from reading the request to serialising: the loop carries clicks."""
    if inspect.iscoroutinefunction(behaviour):

        async def awaited(request: Any, context: Any) -> bytes:
            return serialize(await behaviour(request, context))

        return awaited
    return lambda request, context: asyncio.to_thread(lambda: serialize(behaviour(request, context)))


async def _read(call: Call, context: Any) -> Any:
    call.reading = True
    call.moved()
    try:
        return await context.read()
    finally:
        call.reading = False
        call.moved()


async def _write(responses: AsyncGenerator[Any, None], call: Call, context: Any) -> None:
    """Writes here, not where grpc would: what breaks off a write is seen then, and ends the generator at once."""
    async with contextlib.aclosing(responses):
        async for response in responses:
            if not call.proved and getattr(response, "committed", False):
                call.proved = True
            call.writing = True
            call.moved()
            await context.write(response)
            call.writing = False
            call.moved()


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


def _size(message: Any) -> int:
    return len(message) if isinstance(message, bytes) else int(message.ByteSize())
