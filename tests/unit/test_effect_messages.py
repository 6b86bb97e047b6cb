"""Effects over the wire: what is sent to a CRM is what the embedded one reads."""

from typing import get_args

from hypothesis import given
from hypothesis import strategies as st

from server.model.crm_actions import CrmAction
from server.model.effects import CrmEffect
from server.model.ids import MAX_ID
from server.rpc.effects import to_action, to_action_message
from tests.support.any_effects import effects_about
from trackedlinks.v1 import crm_service_pb2

PERSON = 7


@given(st.lists(effects_about(PERSON, lambda catalog: st.integers(1, MAX_ID)), min_size=1, max_size=5))
def test_an_action_comes_back_as_it_was_sent(wanted: list[CrmEffect]) -> None:
    sent = to_action_message(CrmAction("key", PERSON, wanted))
    assert to_action(crm_service_pb2.ActionEffects.FromString(sent.SerializeToString()), "actions[0]") == CrmAction("key", PERSON, wanted)


def test_every_effect_of_the_contract_is_one_of_the_model() -> None:
    assert len(crm_service_pb2.Effect.DESCRIPTOR.oneofs_by_name["effect"].fields) == len(get_args(CrmEffect))
