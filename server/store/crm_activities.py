"""What clicks made in the embedded CRM, follow-ups and service requests, read from the database: each method is one transaction."""

from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy import Table, select

from server.model.crm import FollowUp, FollowUpType, ServiceRequest
from server.store.crm_tables import FollowUpRow, ServiceRequestRow
from server.store.database import Database
from server.store.pages import Key, Page, page_of
from server.store.tables import table_of

T = TypeVar("T")

_follow_up = table_of(FollowUpRow)
_service_request = table_of(ServiceRequestRow)


class ActivityStore:
    """The follow-ups and service requests of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def follow_ups(self, person_id: int, after: Key | None, size: int) -> Page[FollowUp]:
        """Follow-ups, the one made last first; only those about one person unless person_id is 0."""
        return self._page(_follow_up, _as_follow_up, person_id, after, size)

    def service_requests(self, person_id: int, after: Key | None, size: int) -> Page[ServiceRequest]:
        """Service requests likewise."""
        return self._page(_service_request, _as_service_request, person_id, after, size)

    def _page(self, table: Table, as_model: Callable[[Any], T], person_id: int, after: Key | None, size: int) -> Page[T]:
        statement = select(table).where(table.c.person_id == person_id) if person_id else select(table)
        # By id, not by time: a replayed click makes its follow-up now, with the time at which it happened.
        rows, next_key = self._database.read(lambda connection: page_of(connection, statement, (table.c.id,), after, size, descending=True))
        return Page([as_model(row) for row in rows], next_key)


def _as_follow_up(row: Any) -> FollowUp:
    values = {name: getattr(row, name) for name in FollowUp.model_fields}
    return FollowUp.model_construct(**values | {"type": FollowUpType(row.type)})


def _as_service_request(row: Any) -> ServiceRequest:
    return ServiceRequest.model_construct(**{name: getattr(row, name) for name in ServiceRequest.model_fields})
