"""The gRPC server: what it serves, its limits, health and reflection, and how it stops."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from server.rpc.admission import Admission
from server.rpc.door import Door
from server.rpc.health import DATABASE, Health
from server.rpc.stopping import Stopping

MOST_MESSAGE_BYTES = 4 * 1024 * 1024

LAST_SECONDS = 1.0
"""How long a stop waits after all else for answers that are not taken, before it cuts them off."""

OPTIONS = [
    ("grpc.max_receive_message_length", MOST_MESSAGE_BYTES),
    ("grpc.max_metadata_size", 16 * 1024),
    ("grpc.max_concurrent_streams", 1000),
    ("grpc.so_reuseport", 0),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    # A stream may be quiet for days: a peer that is gone, or takes nothing from its socket, is told by its answers to pings.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.max_pings_without_data", 0),
    (
        "grpc.http2.ping_timeout_ms",
        10_000,
    ),  # gRPC's own ping under way puts off those of the keepalive, for a minute otherwise
]


Service = tuple[Callable[[Any, grpc.aio.Server], None], Any, str]
"""The generated function that adds a servicer, the servicer, and the service's full name."""


class Serving:
    """A gRPC server with its services, on one address."""

    def __init__(self, listen: str, services: Sequence[Service]) -> None:
        """Raises RuntimeError when the address cannot be listened on."""
        self._stopping = Stopping()
        self._admission = Admission()
        self._server = grpc.aio.server(interceptors=[Door(self._stopping, self._admission)], options=OPTIONS)
        self._health = Health()
        self.say_database = self._health.say_database
        self._names = [name for _, _, name in services]
        for add, servicer, _ in services:
            add(servicer, self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        reflection.enable_server_reflection([*self._names, health.SERVICE_NAME, reflection.SERVICE_NAME], self._server)
        self.port = self._server.add_insecure_port(listen)

    async def start(self) -> None:
        """Begins to serve, and says so in health."""
        self._admission.start()
        await self._server.start()
        for name in ["", DATABASE, *self._names]:
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)

    async def leave(self) -> None:
        """Says NOT_SERVING: whoever balances load sends no more calls."""
        await self._health.enter_graceful_shutdown()

    async def stop(self, drain_seconds: float) -> None:
        """Takes no new calls, ends idle streams, and lets what is under way finish for so long; what is not done then ends UNAVAILABLE."""
        self._stopping.begin()
        ending = asyncio.ensure_future(self._server.stop(drain_seconds + LAST_SECONDS))
        await asyncio.wait([ending], timeout=drain_seconds)
        if not ending.done():
            self._stopping.give_up()
        await ending
        self._admission.stop()
