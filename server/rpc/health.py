"""Health: of the server, of each service, and of the database, with why it fails."""

from typing import Any

from grpc_health.v1 import health, health_pb2

from server.store.faults import Fault

DATABASE = "database"
"""The name under which health tells of the database."""

WHY = "trackedlinks-database"
"""The trailing metadata of a Check of `database` that says what is wrong: its cause, and a sentence."""

STILL_ANSWERS = {"DISK_FULL", "READ_ONLY", "LOCKED", "TOO_MANY_CONNECTIONS", "PUT_BACK"}
"""With these some calls still work, so the server as a whole goes on serving: whoever balances load would turn away all callers."""


class Health(health.aio.HealthServicer):  # type: ignore[misc]
    """The health service."""

    def __init__(self) -> None:
        super().__init__()
        self._why = ""

    async def say_database(self, fault: Fault | None) -> None:
        """Has health say this of the database. None: it is well."""
        states = health_pb2.HealthCheckResponse
        self._why = f"{fault.cause}: {fault.problem}".encode("ascii", "replace").decode() if fault else ""
        await self.set(DATABASE, states.NOT_SERVING if fault else states.SERVING)
        await self.set("", states.NOT_SERVING if fault and fault.cause not in STILL_ANSWERS else states.SERVING)

    async def Check(self, request: Any, context: Any) -> Any:  # noqa: N802 - the name of the contract
        if request.service == DATABASE and self._why:
            context.set_trailing_metadata(((WHY, self._why),))
        return await super().Check(request, context)
