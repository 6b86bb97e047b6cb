"""`trackedlinks doctor`"""

import urllib.request
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path
from typing import Annotated
from urllib.error import URLError

import grpc
import typer
from grpc_health.v1 import health_pb2, health_pb2_grpc

from trackedlinks.v1 import action_service_pb2
from trackedlinks_client.connection import SERVICES, Connection
from trackedlinks_client.journal import journal_in
from trackedlinks_client.output import table
from trackedlinks_client.pages import every
from trackedlinks_client.session import connection, session

_OPTIONAL = {"trackedlinks.v1.CrmService", "trackedlinks.v1.EmbeddedCrmService"}
"""Served only where the CRM is the embedded one."""

_DATABASE, _WHY = "database", "trackedlinks-database"
"""The name under which health tells of the database, and the trailing metadata in which it says what is wrong."""

_RECEIVERS = action_service_pb2.ListReceiversRequest()

_SECONDS = 5.0


def doctor(
    ctx: typer.Context,
    front: Annotated[
        str, typer.Option(envvar="TRACKEDLINKS_PUBLIC_URL", help="The front door: what tracked URLs start with.")
    ] = "http://127.0.0.1:8080",
    directory: Annotated[
        Path, typer.Option(envvar="TRACKEDLINKS_DIRECTORY", help="The front door's directory, if it is on this machine.")
    ] = Path("var"),
) -> None:
    """Check each service, the database, the front door, what it keeps for the server, and what waits for other systems.

    Exit status 1 when something is wrong: a dead run is, and a click that the server refuses for good.
    """
    with connection(ctx) as service:
        checks = list(_server(service, session(ctx).address))
    checks.append(("front door", front, *_front_door(front)))
    journal = directory / "front" / "journal"
    if (found := _journal(journal)) is not None:
        checks.append(("journal", str(journal), *found))
    table(("WHAT", "WHERE", "STATE"), [(what, where, state) for what, where, state, _ in checks], "nothing to check")
    if not all(well for *_, well in checks):
        raise typer.Exit(1)


def _server(service: Connection, address: str) -> Iterator[tuple[str, str, str, bool]]:
    try:
        for descriptor in SERVICES:
            yield (descriptor.name, address, *_service(service, descriptor.full_name))
        yield ("database", address, *_database(service))
        for known in every(service.actions.ListReceivers, _RECEIVERS, "receivers"):
            yield ("receiver", known.address, *_receiver(known))
    except grpc.RpcError as error:
        if error.code() is not grpc.StatusCode.UNAVAILABLE:
            raise
        yield ("server", address, "cannot be reached", False)


def _service(service: Connection, name: str) -> tuple[str, bool]:
    """The state of a service, and whether that is as it should be. Raises grpc.RpcError when no server answers."""
    health = health_pb2_grpc.HealthStub(service.channel)
    try:
        status = health.Check(health_pb2.HealthCheckRequest(service=name), timeout=_SECONDS).status
    except grpc.RpcError as error:
        if error.code() is not grpc.StatusCode.NOT_FOUND:
            raise
        return "not served (the CRM is another one)" if name in _OPTIONAL else "not served", name in _OPTIONAL
    well = status == health_pb2.HealthCheckResponse.SERVING
    return "serving" if well else health_pb2.HealthCheckResponse.ServingStatus.Name(status).lower().replace("_", " "), well


def _database(service: Connection) -> tuple[str, bool]:
    """What the server says of its database, and whether that is well. Raises grpc.RpcError when no server answers."""
    health = health_pb2_grpc.HealthStub(service.channel)
    try:
        response, call = health.Check.with_call(health_pb2.HealthCheckRequest(service=_DATABASE), timeout=_SECONDS)
    except grpc.RpcError as error:
        if error.code() is not grpc.StatusCode.NOT_FOUND:
            raise
        return "not told by a server of an older version", True
    why = dict(call.trailing_metadata() or ()).get(_WHY, "fails")
    return ("serving", True) if response.status == health_pb2.HealthCheckResponse.SERVING else (str(why), False)


def _receiver(known: action_service_pb2.Receiver) -> tuple[str, bool]:
    counts = (("waiting", known.waiting_count), ("retrying", known.retrying_count), ("dead", known.dead_count))
    told = ", ".join(f"{count} {state}" for state, count in counts if count)
    return f"{told}{f': {known.last_error}' if known.last_error else ''}", not known.dead_count


def _front_door(front: str) -> tuple[str, bool]:
    # No proxy: the question is whether this machine reaches it.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{front.rstrip('/')}/healthz", timeout=_SECONDS) as response:
            return ("serving", True) if response.status == 200 else (f"answers {response.status}", False)
    except URLError as error:
        return f"cannot be reached: {error.reason}", False
    except (OSError, HTTPException, ValueError) as error:  # cut off, no HTTP, no URL
        return f"cannot be reached: {error}", False


def _journal(directory: Path) -> tuple[str, bool] | None:
    """What waits there for the server. That is as it should be for as long as the server is away, and so are seconds afterwards.

    None where no front door of this machine has a journal.
    """
    try:
        found = journal_in(directory, _SECONDS)
    except OSError as error:
        return f"cannot be read: {error.strerror}", False
    if found is None:
        return None
    told = [f"{found.waiting} clicks wait for the server" + (f" since {found.since:%Y-%m-%d %H:%M:%S} UTC" if found.since else "")]
    told += [f"{found.rejected} refused for good, in rejected/"] * bool(found.rejected)
    told += [f"{found.unreadable} segment{'s' * (found.unreadable > 1)} cannot be read"] * bool(found.unreadable)
    told += [f"{found.damaged} damaged segment{'s' * (found.damaged > 1)}, in damaged/"] * bool(found.damaged)
    return "; ".join(told) if found.waiting or len(told) > 1 else "empty", len(told) == 1
