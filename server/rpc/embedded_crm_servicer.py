"""EmbeddedCrmService over gRPC: message in, use case, message out."""

from typing import Any

from google.protobuf import empty_pb2

from server.crm_admin import EmbeddedCrm
from server.model.crm import CatalogEntry, FollowUp, Person, ServiceRequest
from server.model.reference import EntryFilter
from server.rpc import checks, wire
from server.rpc.calls import request_of
from server.rpc.crm_servicer import to_person
from server.rpc.fitting import fitting
from server.rpc.lists import PageTokens
from server.store.pages import Key
from trackedlinks.v1 import crm_pb2, embedded_crm_service_pb2, embedded_crm_service_pb2_grpc


class EmbeddedCrmServicer(embedded_crm_service_pb2_grpc.EmbeddedCrmServiceServicer):
    """Serves the use cases of the embedded CRM."""

    def __init__(self, crm: EmbeddedCrm, tokens: PageTokens) -> None:
        self._crm = crm
        self._tokens = tokens

    def CreatePerson(self, request: embedded_crm_service_pb2.CreatePersonRequest, context: Any) -> crm_pb2.Person:
        draft = wire.to_model(request.person, Person, "person")
        return to_person(self._crm.create_person(draft, request_of(request)))

    def ListPersons(
        self, request: embedded_crm_service_pb2.ListPersonsRequest, context: Any
    ) -> embedded_crm_service_pb2.ListPersonsResponse:
        size, after = self._tokens.page_size(request), self._tokens.after(request)
        checks.not_negative(member_of=request.member_of)
        page = self._crm.page_of_persons(request.member_of, after, size)
        persons, next_key = fitting(page, to_person, _id_of)
        return embedded_crm_service_pb2.ListPersonsResponse(persons=persons, next_page_token=self._tokens.token(request, next_key))

    def DeletePerson(self, request: embedded_crm_service_pb2.DeletePersonRequest, context: Any) -> empty_pb2.Empty:
        checks.positive(id=request.id)
        self._crm.delete_person(request.id)
        return empty_pb2.Empty()

    def CreateCatalogEntry(self, request: embedded_crm_service_pb2.CreateCatalogEntryRequest, context: Any) -> crm_pb2.CatalogEntry:
        draft = wire.to_model(request.entry, CatalogEntry, "entry")
        return _to_entry(self._crm.create_entry(draft, request_of(request)))

    def ListCatalogEntries(
        self, request: embedded_crm_service_pb2.ListCatalogEntriesRequest, context: Any
    ) -> embedded_crm_service_pb2.ListCatalogEntriesResponse:
        size, after = self._tokens.page_size(request), self._tokens.after(request)
        wanted = wire.to_model(request, EntryFilter, "")
        page = self._crm.page_of_entries(wanted.catalog, after, size)
        entries, next_key = fitting(page, _to_entry, _id_of)
        return embedded_crm_service_pb2.ListCatalogEntriesResponse(entries=entries, next_page_token=self._tokens.token(request, next_key))

    def DeleteCatalogEntry(self, request: embedded_crm_service_pb2.DeleteCatalogEntryRequest, context: Any) -> empty_pb2.Empty:
        checks.positive(id=request.id)
        self._crm.delete_entry(request.id)
        return empty_pb2.Empty()

    def ListFollowUps(
        self, request: embedded_crm_service_pb2.ListFollowUpsRequest, context: Any
    ) -> embedded_crm_service_pb2.ListFollowUpsResponse:
        size, after = self._tokens.page_size(request), self._tokens.after(request)
        checks.not_negative(person_id=request.person_id)
        page = self._crm.page_of_follow_ups(request.person_id, after, size)
        follow_ups, next_key = fitting(page, _to_follow_up, _id_of)
        return embedded_crm_service_pb2.ListFollowUpsResponse(follow_ups=follow_ups, next_page_token=self._tokens.token(request, next_key))

    def ListServiceRequests(
        self, request: embedded_crm_service_pb2.ListServiceRequestsRequest, context: Any
    ) -> embedded_crm_service_pb2.ListServiceRequestsResponse:
        size, after = self._tokens.page_size(request), self._tokens.after(request)
        checks.not_negative(person_id=request.person_id)
        page = self._crm.page_of_service_requests(request.person_id, after, size)
        found, next_key = fitting(page, _to_service_request, _id_of)
        return embedded_crm_service_pb2.ListServiceRequestsResponse(
            service_requests=found, next_page_token=self._tokens.token(request, next_key)
        )


def _to_entry(entry: CatalogEntry) -> crm_pb2.CatalogEntry:
    return wire.to_message(entry, crm_pb2.CatalogEntry)


def _to_follow_up(follow_up: FollowUp) -> crm_pb2.FollowUp:
    return wire.to_message(follow_up, crm_pb2.FollowUp)


def _to_service_request(service_request: ServiceRequest) -> crm_pb2.ServiceRequest:
    return wire.to_message(service_request, crm_pb2.ServiceRequest)


def _id_of(message: Any) -> Key:
    return (message.id,)
