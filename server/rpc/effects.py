"""Effects and the actions that want them, as they go over the wire to a CRM and as they come to the embedded one."""

from server.model.crm_actions import CrmAction
from server.model.effect_drafts import ActionDraft
from server.model.effects import CrmEffect, MakeFollowUp, MakeServiceRequest, SetExtraField, SetMembership
from server.model.errors import Violation, invalid
from server.rpc import checks, wire
from trackedlinks.v1 import crm_pb2, crm_service_pb2

MOST_ACTIONS = 1000


def to_message(effect: CrmEffect) -> crm_service_pb2.Effect:
    """The effect as it goes over the wire."""
    match effect:
        case SetExtraField():
            return crm_service_pb2.Effect(set_extra_field=wire.to_message(effect, crm_service_pb2.SetExtraField))
        case SetMembership():
            return crm_service_pb2.Effect(set_membership=wire.to_message(effect, crm_service_pb2.SetMembership))
        case MakeFollowUp(follow_up):
            return crm_service_pb2.Effect(follow_up=wire.to_message(follow_up, crm_pb2.FollowUp))
        case MakeServiceRequest(service_request):
            return crm_service_pb2.Effect(service_request=wire.to_message(service_request, crm_pb2.ServiceRequest))


def to_action_message(action: CrmAction) -> crm_service_pb2.ActionEffects:
    """The action as it goes over the wire."""
    effects = [to_message(effect) for effect in action.effects]
    return crm_service_pb2.ActionEffects(idempotency_key=action.key, person_id=action.person_id, effects=effects)


def to_actions(request: crm_service_pb2.ApplyEffectsRequest) -> list[CrmAction]:
    """The actions of a request. Raises INVALID_FIELD with every violation in it."""
    checks.count("actions", len(request.actions), MOST_ACTIONS)
    paths = [f"actions[{index}]" for index in range(len(request.actions))]
    return checks.all_of(to_action, request.actions, paths)


def to_action(message: crm_service_pb2.ActionEffects, path: str) -> CrmAction:
    """The action as it comes over the wire. Raises INVALID_FIELD with every violation, its path below `path`."""
    with checks.AllAtOnce() as each:
        draft = each(wire.to_model, message, ActionDraft, path)
        each(_check_persons, message, path)
    return draft.action()


def _check_persons(message: crm_service_pb2.ActionEffects, path: str) -> None:
    """What is to be made is about the action's person, by its id or by 0."""
    made = [(index, name, getattr(effect, name)) for index, effect in enumerate(message.effects) if (name := _made(effect))]
    wrong = [
        Violation(
            f"{path}.effects[{index}].{name}.person_id", f"must be that of the action, {message.person_id}, or 0, not {card.person_id}"
        )
        for index, name, card in made
        if card.person_id not in (0, message.person_id)
    ]
    if wrong:
        raise invalid(*wrong)


def _made(effect: crm_service_pb2.Effect) -> str:
    """The member of the oneof that says what is to be made for a person; empty for another."""
    name = effect.WhichOneof("effect")
    return name if name in ("follow_up", "service_request") else ""
