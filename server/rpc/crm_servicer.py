"""CrmService over gRPC: message in, use case, message out."""

from typing import Any

from server.crm_admin import EmbeddedCrm
from server.model.crm import Person
from server.model.errors import Violation, invalid
from server.model.reference import EntryReference
from server.model.subscription import Subscriber
from server.rpc import checks, effects, wire
from server.rpc.calls import now
from server.rpc.lists import ROOM
from trackedlinks.v1 import crm_pb2, crm_service_pb2, crm_service_pb2_grpc


class CrmServicer(crm_service_pb2_grpc.CrmServiceServicer):
    """Serves what the service needs of a CRM from the embedded one."""

    def __init__(self, crm: EmbeddedCrm) -> None:
        self._crm = crm

    def GetPerson(self, request: crm_service_pb2.GetPersonRequest, context: Any) -> crm_pb2.Person:
        checks.positive(id=request.id)
        return to_person(self._crm.person(request.id))

    def BatchGetPersons(self, request: crm_service_pb2.BatchGetPersonsRequest, context: Any) -> crm_service_pb2.BatchGetPersonsResponse:
        checks.ids("ids", request.ids, 1000)
        persons, missing = self._crm.persons(list(request.ids))
        answer = crm_service_pb2.BatchGetPersonsResponse(persons=map(to_person, persons), missing_ids=missing)
        checks.answer_fits("ids", answer)
        return answer

    def CheckReferences(self, request: crm_service_pb2.CheckReferencesRequest, context: Any) -> crm_service_pb2.CheckReferencesResponse:
        checks.count("references", len(request.references), 1000)
        paths = [f"references[{index}]" for index in range(len(request.references))]
        references = checks.all_of(lambda reference, path: wire.to_model(reference, EntryReference, path), request.references, paths)
        missing = self._crm.missing(references)
        return crm_service_pb2.CheckReferencesResponse(
            missing=[wire.to_message(reference, crm_service_pb2.Reference) for reference in missing]
        )

    def GetSubscriptions(self, request: crm_service_pb2.GetSubscriptionsRequest, context: Any) -> crm_service_pb2.GetSubscriptionsResponse:
        with checks.AllAtOnce() as each:
            each(checks.count, "subscribers", len(request.subscribers), 1000)
            each(checks.not_negative, mailing_type_id=request.mailing_type_id)
            paths = [f"subscribers[{index}]" for index in range(len(request.subscribers))]
            subscribers = each(checks.all_of, _subscriber, request.subscribers[:1000], paths[:1000])
        found = self._crm.subscriptions(subscribers, request.mailing_type_id)
        results = [
            crm_service_pb2.SubscriberSubscriptions(subscriptions=[wire.to_message(one, crm_service_pb2.Subscription) for one in some])
            for some in found
        ]
        answer = crm_service_pb2.GetSubscriptionsResponse(results=results)
        checks.answer_fits("subscribers", answer)
        return answer

    def SetSubscription(self, request: crm_service_pb2.SetSubscriptionRequest, context: Any) -> crm_service_pb2.Subscription:
        with checks.AllAtOnce() as each:
            subscriber = each(_subscriber, request.subscriber, "subscriber")
            each(checks.positive, mailing_type_id=request.mailing_type_id)
            time = each(checks.past_time, "change_time", wire.to_values(request).get("change_time"), now())
        found = self._crm.set_subscription(subscriber, request.mailing_type_id, request.subscribed, time)
        return wire.to_message(found, crm_service_pb2.Subscription)

    def ApplyEffects(self, request: crm_service_pb2.ApplyEffectsRequest, context: Any) -> crm_service_pb2.ApplyEffectsResponse:
        results = self._crm.apply(effects.to_actions(request), now())
        return crm_service_pb2.ApplyEffectsResponse(results=[wire.to_message(result, crm_service_pb2.AppliedEffects) for result in results])


def _subscriber(message: crm_service_pb2.Subscriber, path: str) -> Subscriber:
    if message.WhichOneof("subscriber") is None:
        raise invalid(Violation(path, "person_id or email must be given"))
    return wire.to_model(message, Subscriber, path)


def to_person(person: Person) -> crm_pb2.Person:
    """The person as it goes over the wire; what would be too much for an answer is left out of the card, and counted."""
    message = wire.to_message(person, crm_pb2.Person)
    return message if message.ByteSize() <= ROOM else _cut(message)


def _cut(whole: crm_pb2.Person) -> crm_pb2.Person:
    card = crm_pb2.Person(id=whole.id, name=whole.name, email=whole.email, our_contact_id=whole.our_contact_id)
    room = ROOM - card.ByteSize() - 16
    for name, value in sorted(whole.extra_fields.items()):
        room -= len(name.encode()) + len(value.encode()) + 16
        if room < 0:
            break
        card.extra_fields[name] = value
    lists = ((whole.interests, card.interests), (whole.selections, card.selections), (whole.projects, card.projects))
    for some, kept in lists:
        for reference in some:
            room -= reference.ByteSize() + 8
            if room < 0:
                break
            kept.append(reference)
    left = len(whole.extra_fields) - len(card.extra_fields) + sum(len(some) - len(kept) for some, kept in lists)
    card.left_out_count = left
    return card
