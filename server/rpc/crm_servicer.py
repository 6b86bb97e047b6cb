"""CrmService over gRPC: message in, use case, message out."""

from typing import Any

from server.crm_admin import EmbeddedCrm
from server.model.crm import Person
from server.model.reference import EntryReference
from server.rpc import checks, effects, wire
from server.rpc.calls import now, run
from trackedlinks.v1 import crm_pb2, crm_service_pb2, crm_service_pb2_grpc


class CrmServicer(crm_service_pb2_grpc.CrmServiceServicer):
    """Serves what the service needs of a CRM from the embedded one."""

    def __init__(self, crm: EmbeddedCrm) -> None:
        self._crm = crm

    async def GetPerson(self, request: crm_service_pb2.GetPersonRequest, context: Any) -> crm_pb2.Person:
        checks.positive(id=request.id)
        return to_person(await run(self._crm.person, request.id))

    async def BatchGetPersons(
        self, request: crm_service_pb2.BatchGetPersonsRequest, context: Any
    ) -> crm_service_pb2.BatchGetPersonsResponse:
        checks.ids("ids", request.ids, 1000)
        persons, missing = await run(self._crm.persons, list(request.ids))
        answer = crm_service_pb2.BatchGetPersonsResponse(persons=map(to_person, persons), missing_ids=missing)
        checks.answer_fits("ids", answer)
        return answer

    async def CheckReferences(
        self, request: crm_service_pb2.CheckReferencesRequest, context: Any
    ) -> crm_service_pb2.CheckReferencesResponse:
        checks.count("references", len(request.references), 1000)
        paths = [f"references[{index}]" for index in range(len(request.references))]
        references = checks.all_of(lambda reference, path: wire.to_model(reference, EntryReference, path), request.references, paths)
        missing = await run(self._crm.missing, references)
        return crm_service_pb2.CheckReferencesResponse(
            missing=[wire.to_message(reference, crm_service_pb2.Reference) for reference in missing]
        )

    async def ApplyEffects(self, request: crm_service_pb2.ApplyEffectsRequest, context: Any) -> crm_service_pb2.ApplyEffectsResponse:
        results = await run(self._crm.apply, effects.to_actions(request), now())
        return crm_service_pb2.ApplyEffectsResponse(results=[wire.to_message(result, crm_service_pb2.AppliedEffects) for result in results])


def to_person(person: Person) -> crm_pb2.Person:
    """The person as it goes over the wire."""
    return wire.to_message(person, crm_pb2.Person)
