"""The connection to the server: how it is kept, and whether it is to a server with the same keys."""

import asyncio
import contextlib
from typing import Any

import grpc

from redirect import token

OPTIONS = [
    ("grpc.keepalive_time_ms", 10_000),  # a half-open connection is noticed, not waited for
    ("grpc.keepalive_timeout_ms", 3_000),
    ("grpc.http2.ping_timeout_ms", 3_000),  # a ping that is under way puts off those of the keepalive, for a minute otherwise (tried)
    ("grpc.max_receive_message_length", 16 * 1024 * 1024),  # answers come in pieces of 1 MB, and no page may break the stream for others
    ("grpc.initial_reconnect_backoff_ms", 100),  # a server that is back is asked again soon: until then links lead where the snapshot says
    ("grpc.max_reconnect_backoff_ms", 250),
]


END_SECONDS = 1.0
"""How long it is waited for the end of a stream that begins as one that has ended."""


class OtherKeys(Exception):
    """The server verifies with other keys than this front door: one of the two would refuse every URL of the other."""


def connect(address: str) -> grpc.aio.Channel:
    """A channel to the server at `address`. Needs a running event loop."""
    return grpc.aio.insecure_channel(address, options=OPTIONS)


class NoAnswer(Exception):
    """The stream ended before it began."""


async def refuse_other_keys(call: Any, keys: token.Keys) -> None:
    """Returns when the stream `call` has begun at a server with the same keys. Raises OtherKeys, NoAnswer and grpc.RpcError."""
    summary = {str(key): value for key, value in await call.initial_metadata()}.get(token.KEYS_METADATA)
    if summary is None:  # a stream that is refused has none either, and its end is told a moment later
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(END_SECONDS):
                await call.code()
    if summary is None and call.done():
        raise NoAnswer
    if not (isinstance(summary, str) and keys.agrees_with(summary)):
        call.cancel()
        raise OtherKeys
