"""Request ids: the same request sent twice makes one thing. Source: AIP-155."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import blake2b

from sqlalchemy import Connection, delete, func, insert, select

from server.model.errors import DomainError, Reason
from server.store.tables import RequestRow, table_of

KEPT = timedelta(hours=24)

MOST_REMOVED = 100
"""Requests older than that which a new one removes: all of a busy day at once would hold up clicks."""

_request = table_of(RequestRow)


@dataclass(frozen=True, slots=True)
class RequestId:
    """A request's id, what it asks for, and when it came. An empty id remembers nothing."""

    id: str
    digest: bytes
    time: datetime


def digest_of(method: str, request: bytes) -> bytes:
    """What two requests are compared by."""
    return blake2b(method.encode() + b"\0" + request, digest_size=16).digest()


def made_before(connection: Connection, request: RequestId) -> bool:
    """Whether this very request has made something already: then nothing is asked or checked once more."""
    statement = select(_request.c.digest).where(_request.c.id == request.id, _request.c.create_time >= request.time - KEPT)
    found = connection.execute(statement).scalar() if request.id else None
    return found is not None and bytes(found) == request.digest


def once(connection: Connection, request: RequestId, make: Callable[[], list[int]]) -> list[int]:
    """The ids of what `make` made, now or when the same request came first. Raises REQUEST_ID_REUSED for another request."""
    if not request.id:
        return make()
    if connection.dialect.name == "postgresql":  # sent twice at once, the second waits and finds what the first made
        connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(request.id, 0))))
    is_old = _request.c.create_time < request.time - KEPT
    old = select(_request.c.id).where(is_old).order_by(_request.c.create_time).limit(MOST_REMOVED)
    connection.execute(delete(_request).where(_request.c.id.in_(old.with_for_update(skip_locked=True))))
    connection.execute(delete(_request).where(_request.c.id == request.id, is_old))
    found = connection.execute(select(_request.c.digest, _request.c.resource_ids).where(_request.c.id == request.id)).first()
    if found is not None:
        if bytes(found.digest) != request.digest:
            raise DomainError(Reason.request_id_reused, f"request_id {request.id} was used with another request", request_id=request.id)
        return [int(resource_id) for resource_id in found.resource_ids]
    ids = make()
    connection.execute(
        insert(_request).values(id=request.id, digest=request.digest, resource_ids=json.loads(json.dumps(ids)), create_time=request.time)
    )
    return ids
