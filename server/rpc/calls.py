"""What every servicer does with a call: read its metadata, name its request, and run the use case off the event loop."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, ParamSpec, TypeVar

from google.protobuf.message import Message

from server.rpc import wire
from server.store.requests import RequestId, digest_of

P = ParamSpec("P")
T = TypeVar("T")


async def run(use_case: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """The result of a use case, which blocks, in a worker thread."""
    return await asyncio.to_thread(use_case, *args, **kwargs)


def user_of(context: Any) -> int:
    """The user for whom the call is made; 0 = nobody named. Raises INVALID_FIELD."""
    return wire.user_of(context.invocation_metadata())


def request_of(request: Any) -> RequestId:
    """The request's id and what it asks for. Raises INVALID_FIELD for an id that is no UUID."""
    request_id = wire.request_uuid(request.request_id)
    return RequestId(request_id, digest_of(request.DESCRIPTOR.full_name, _without_id(request)), now())


def now() -> datetime:
    """When the call came, UTC."""
    return datetime.now(UTC)


def _without_id(request: Message) -> bytes:
    asked = type(request)()
    asked.CopyFrom(request)
    asked.ClearField("request_id")
    return asked.SerializeToString(deterministic=True)
