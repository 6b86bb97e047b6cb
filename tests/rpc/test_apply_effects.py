"""ApplyEffects of the embedded CRM: once by its key, wholly or not at all, in order, and refused in place."""

import asyncio
from typing import Any
from uuid import uuid4

import grpc
from google.protobuf import timestamp_pb2
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.model.crm import Catalog
from server.model.crm_actions import CrmAction
from server.model.effects import CrmEffect
from server.rpc.effects import to_action_message, to_message
from tests.support import crm, effects
from tests.support.any_effects import effects_about
from tests.support.databases import on_one_database
from tests.support.effects import action, join, leave, service_request, set_field
from tests.support.messages import filled
from tests.support.stubs import Stubs, refused
from trackedlinks.v1 import crm_pb2, crm_service_pb2, embedded_crm_service_pb2, link_pb2

APPLIED = (crm_service_pb2.EFFECTS_OUTCOME_APPLIED, "")
UNKNOWN = (crm_service_pb2.EFFECTS_OUTCOME_PERSON_UNKNOWN, "")
REFUSED = crm_service_pb2.EFFECTS_OUTCOME_REFUSED

CATALOGS = list(Catalog)
TIME = timestamp_pb2.Timestamp(seconds=1_772_600_000, nanos=5_000)


def sent(*messages: crm_service_pb2.ActionEffects) -> crm_service_pb2.ApplyEffectsRequest:
    return crm_service_pb2.ApplyEffectsRequest(actions=messages)


async def applied(stubs: Stubs, *actions: CrmAction) -> list[tuple[Any, str]]:
    """What became of each action."""
    response = await stubs.crm.ApplyEffects(sent(*map(to_action_message, actions)))
    return [(result.outcome, result.reason) for result in response.results]


async def test_effects_of_every_kind_happen(stubs: Stubs) -> None:
    person_id = await crm.person(stubs, extra_fields={"gone": "x"})
    names = {"user": "Liv", "selection": "Tour", "project": "Spring", "interest": "Skiing", "category": "Tours", "priority": "High"}
    ids = {name: await crm.entry(stubs, crm_pb2.Catalog.Value(f"CATALOG_{name.upper()}"), entry) for name, entry in names.items()}
    task_type = await crm.entry(stubs, crm_pb2.CATALOG_TASK_TYPE, "Call back")
    follow_up = effects.follow_up(
        person_id, ids["user"], "Call\nher", created_by=ids["user"], project_id=ids["project"], task_type_id=task_type
    )
    case = service_request(person_id, "Tour", priority_id=ids["priority"], category_id=ids["category"], owner_id=ids["user"])
    memberships = [join(person_id, Catalog[name], ids[name]) for name in ("selection", "project", "interest")]
    fields = [set_field(person_id, "colour", "blå"), set_field(person_id, "gone", "")]
    assert await applied(stubs, action("k", person_id, *fields, *memberships, follow_up, case)) == [APPLIED]

    card = await crm.card(stubs, person_id)
    assert dict(card.extra_fields) == {"colour": "blå"}
    assert [[entry.name for entry in entries] for entries in (card.selections, card.projects, card.interests)] == [
        ["Tour"],
        ["Spring"],
        ["Skiing"],
    ]
    (made,), (opened,) = await crm.follow_ups(stubs, person_id), await crm.service_requests(stubs, person_id)
    assert made.id > 0
    assert opened.id > 0
    made.ClearField("id")
    opened.ClearField("id")
    assert made == to_message(follow_up).follow_up
    assert opened == to_message(case).service_request


async def test_of_several_changes_the_last_one_stands_within_an_action_and_over_actions(stubs: Stubs) -> None:
    person_id = await crm.person(stubs)
    selection = await crm.entry(stubs, crm_pb2.CATALOG_SELECTION, "Tour")
    first = action(
        "a", person_id, set_field(person_id, "f", "1"), set_field(person_id, "f", "2"), join(person_id, Catalog.selection, selection)
    )
    second = action("b", person_id, set_field(person_id, "f", "3"), leave(person_id, Catalog.selection, selection))
    assert await applied(stubs, first, second) == [APPLIED, APPLIED]
    card = await crm.card(stubs, person_id)
    assert (dict(card.extra_fields), list(card.selections)) == ({"f": "3"}, [])


async def test_a_key_that_was_applied_is_answered_applied_and_changes_nothing(stubs: Stubs) -> None:
    person_id = await crm.person(stubs)
    assert await applied(stubs, action("k", person_id, service_request(person_id))) == [APPLIED]
    again = action("k", person_id, service_request(person_id), set_field(person_id, "f", "1"))
    assert await applied(stubs, again, action("other", person_id, service_request(person_id, "Other"))) == [APPLIED, APPLIED]
    assert [case.title for case in await crm.service_requests(stubs)] == ["Other", "Tour"]
    assert not (await crm.card(stubs, person_id)).extra_fields


async def test_of_a_key_that_stands_twice_in_a_request_the_first_action_happens(stubs: Stubs) -> None:
    person_id = await crm.person(stubs)
    first, second = (action("k", person_id, service_request(person_id, title)) for title in ("First", "Second"))
    assert await applied(stubs, first, action("l", person_id, service_request(person_id, "Other")), second) == [APPLIED] * 3
    assert [case.title for case in await crm.service_requests(stubs)] == ["Other", "First"]


async def test_the_same_request_sent_several_times_at_once_happens_once(stubs: Stubs) -> None:
    person_id = await crm.person(stubs)
    actions = [action(f"key {number}", person_id, service_request(person_id, str(number))) for number in range(20)]
    answers = await asyncio.gather(*(applied(stubs, *(actions if turn % 2 else reversed(actions))) for turn in range(8)))
    assert answers == [[APPLIED] * 20] * 8
    assert sorted(int(case.title) for case in await crm.service_requests(stubs)) == list(range(20))


async def test_a_key_stays_applied_when_its_person_has_gone(stubs: Stubs) -> None:
    person_id = await crm.person(stubs)
    assert await applied(stubs, action("k", person_id)) == [APPLIED]
    await stubs.embedded_crm.DeletePerson(embedded_crm_service_pb2.DeletePersonRequest(id=person_id))
    assert await applied(stubs, action("k", person_id), action("l", person_id)) == [APPLIED, UNKNOWN]


async def test_a_key_that_was_not_applied_may_be_sent_again(stubs: Stubs) -> None:
    person_id = await crm.person(stubs)
    gone = action("k", person_id, join(person_id, Catalog.selection, 404))
    fine = action("k", person_id, service_request(person_id))
    unknown = action("k", person_id + 1, service_request(person_id + 1))
    assert await applied(stubs, gone, unknown, fine, gone) == [(REFUSED, "No longer in the CRM: selection 404"), UNKNOWN, APPLIED, APPLIED]
    assert len(await crm.service_requests(stubs)) == 1


async def test_what_names_something_that_is_gone_is_refused_wholly_and_alone(stubs: Stubs) -> None:
    person_id = await crm.person(stubs)
    user, interest = await crm.entry(stubs, crm_pb2.CATALOG_USER, "Liv"), await crm.entry(stubs, crm_pb2.CATALOG_INTEREST, "Skiing")
    first = action("a", person_id, set_field(person_id, "a", "1"), join(person_id, Catalog.selection, interest))
    second = action("b", person_id, set_field(person_id, "b", "1"))
    third = action(
        "c",
        person_id,
        leave(person_id, Catalog.project, 9001),
        leave(person_id, Catalog.project, 9001),
        effects.follow_up(person_id, user, task_type_id=9002, created_by=9003, project_id=9004),
        service_request(person_id, priority_id=9005, category_id=9006, owner_id=user),
    )
    assert await applied(stubs, first, second, third) == [
        (REFUSED, f"No longer in the CRM: selection {interest}"),
        APPLIED,
        (REFUSED, "No longer in the CRM: project 9001, task type 9002, project 9004, user 9003, priority 9005, category 9006"),
    ]
    assert dict((await crm.card(stubs, person_id)).extra_fields) == {"b": "1"}
    assert await crm.follow_ups(stubs) == []
    assert await crm.service_requests(stubs) == []


async def test_a_reason_stays_within_300_characters(stubs: Stubs) -> None:
    person_id = await crm.person(stubs)
    many = [leave(person_id, Catalog.selection, 2**63 - number) for number in range(1, 201)]
    ((outcome, reason),) = await applied(stubs, action("k", person_id, *many))
    assert outcome == REFUSED
    assert 200 < len(reason) <= 300


async def test_being_a_member_already_or_not_being_one_is_no_error(stubs: Stubs) -> None:
    selection = await crm.entry(stubs, crm_pb2.CATALOG_SELECTION, "Tour")
    project = await crm.entry(stubs, crm_pb2.CATALOG_PROJECT, "Spring")
    person_id = await crm.person(stubs, selections=crm.references(selection))
    wanted: list[CrmEffect] = [
        join(person_id, Catalog.selection, selection),
        leave(person_id, Catalog.project, project),
        set_field(person_id, "none", ""),
    ]
    assert await applied(stubs, action("k", person_id, *wanted)) == [APPLIED]
    assert [entry.id for entry in (await crm.card(stubs, person_id)).selections] == [selection]


async def test_a_thousand_actions_of_two_hundred_effects_are_taken_at_most(stubs: Stubs) -> None:
    person_id = await crm.person(stubs)
    actions = [action(f"key {number}", person_id, set_field(person_id, f"f{number % 100}", str(number))) for number in range(1000)]
    assert await applied(stubs, *actions) == [APPLIED] * 1000
    fields = (await crm.card(stubs, person_id)).extra_fields
    assert {int(value) for value in fields.values()} == set(range(900, 1000))
    most = action("most", person_id, *(set_field(person_id, f"f{number % 100}", "") for number in range(200)))
    assert await applied(stubs, most) == [APPLIED]
    assert not (await crm.card(stubs, person_id)).extra_fields


SET = crm_service_pb2.Effect(set_extra_field=crm_service_pb2.SetExtraField(field="f", value="v"))


def one(**fields: Any) -> crm_service_pb2.ActionEffects:
    usual: dict[str, Any] = {"idempotency_key": "k", "person_id": 1, "effects": [SET]}
    return crm_service_pb2.ActionEffects(**usual | fields)


def with_effect(**effect: Any) -> crm_service_pb2.ActionEffects:
    return one(effects=[SET, crm_service_pb2.Effect(**effect)])


def field(**fields: Any) -> crm_service_pb2.ActionEffects:
    return with_effect(set_extra_field=crm_service_pb2.SetExtraField(**fields))


def membership(**fields: Any) -> crm_service_pb2.ActionEffects:
    return with_effect(set_membership=crm_service_pb2.SetMembership(**fields))


def to_make(**fields: Any) -> crm_service_pb2.ActionEffects:
    needed: dict[str, Any] = {"type": link_pb2.FOLLOW_UP_TYPE_TASK, "assigned_to": 1, "start_time": TIME, "create_time": TIME}
    return with_effect(follow_up=crm_pb2.FollowUp(**needed | fields))


def to_open(**fields: Any) -> crm_service_pb2.ActionEffects:
    return with_effect(service_request=crm_pb2.ServiceRequest(**{"create_time": TIME} | fields))


BROKEN = [
    (one(idempotency_key=""), {"idempotency_key"}),
    (one(idempotency_key="x" * 101), {"idempotency_key"}),
    (one(idempotency_key="a\0b"), {"idempotency_key"}),
    (one(person_id=0, effects=[]), {"person_id", "effects"}),
    (one(person_id=-1), {"person_id"}),
    (one(effects=[SET] * 201), {"effects"}),
    (with_effect(), {"effects[1].effect"}),
    (field(), {"effects[1].set_extra_field.field"}),
    (
        field(field="f" * 256, value="v" * 2048),
        {"effects[1].set_extra_field.field", "effects[1].set_extra_field.value"},
    ),
    (field(field="f", value="a\0b"), {"effects[1].set_extra_field.value"}),
    (membership(), {"effects[1].set_membership.catalog", "effects[1].set_membership.entry_id"}),
    (membership(catalog=99, entry_id=1), {"effects[1].set_membership.catalog"}),
    (membership(catalog=crm_pb2.CATALOG_USER, entry_id=-1), {"effects[1].set_membership.catalog", "effects[1].set_membership.entry_id"}),
    (
        with_effect(follow_up=crm_pb2.FollowUp(person_id=2)),
        {f"effects[1].follow_up.{name}" for name in ("person_id", "type", "assigned_to", "start_time", "create_time")},
    ),
    (
        to_make(id=5, description="x" * 2048, duration=-1, project_id=-1, task_type_id=-1, created_by=-1, click_id="x" * 256),
        {
            f"effects[1].follow_up.{name}"
            for name in ("id", "description", "duration", "project_id", "task_type_id", "created_by", "click_id")
        },
    ),
    (to_make(start_time=timestamp_pb2.Timestamp(seconds=2**62), type=99), {"effects[1].follow_up.start_time", "effects[1].follow_up.type"}),
    (
        to_open(id=5, person_id=2, title="x" * 256, priority_id=-1, category_id=-1, owner_id=-1, origin="x" * 256),
        {f"effects[1].service_request.{name}" for name in ("id", "person_id", "title", "priority_id", "category_id", "owner_id", "origin")},
    ),
]


@on_one_database
async def test_every_broken_limit_is_named_with_its_path_and_nothing_happens(stubs: Stubs) -> None:
    person_id = await crm.person(stubs)
    fine = one(person_id=person_id)
    for message, below in BROKEN:
        error = await refused(stubs.crm.ApplyEffects(sent(fine, message, one(person_id=0))))
        assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
        assert set(error.fields) == {*(f"actions[1].{path}" for path in below), "actions[2].person_id"}
    assert not (await crm.card(stubs, person_id)).extra_fields


@on_one_database
async def test_a_request_has_1_to_1000_actions(stubs: Stubs) -> None:
    for count in (0, 1001):
        error = await refused(stubs.crm.ApplyEffects(sent(*[one()] * count)))
        assert (error.code, error.reason, set(error.fields)) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", {"actions"})


async def test_the_longest_values_are_taken_and_the_person_may_be_left_out_of_what_is_made(stubs: Stubs) -> None:
    person_id, user = await crm.person(stubs), await crm.entry(stubs, crm_pb2.CATALOG_USER, "Liv")
    made = [
        crm_service_pb2.Effect(set_extra_field=crm_service_pb2.SetExtraField(field="𐐨" * 255, value="𐐨" * 2047)),
        to_make(assigned_to=user, description="𐐨" * 2047, duration=2**31 - 1).effects[1],
        to_open(title="𐐨" * 255).effects[1],
    ]
    response = await stubs.crm.ApplyEffects(sent(one(idempotency_key="𐐨" * 100, person_id=person_id, effects=made)))
    assert [result.outcome for result in response.results] == [crm_service_pb2.EFFECTS_OUTCOME_APPLIED]
    assert dict((await crm.card(stubs, person_id)).extra_fields) == {"𐐨" * 255: "𐐨" * 2047}
    assert [(case.person_id, len(case.title)) for case in await crm.service_requests(stubs)] == [(person_id, 255)]
    (follow_up,) = await crm.follow_ups(stubs, person_id)
    assert (follow_up.start_time, follow_up.duration) == (TIME, 2**31 - 1)


@given(some=st.lists(st.lists(effects_about(1, lambda catalog: st.just(CATALOGS.index(catalog) + 1)), min_size=1, max_size=4), max_size=4))
@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
async def test_whatever_is_within_the_limits_is_taken(stubs: Stubs, some: list[list[CrmEffect]]) -> None:
    if not (await stubs.embedded_crm.ListPersons(embedded_crm_service_pb2.ListPersonsRequest(page_size=1))).persons:
        assert await crm.person(stubs) == 1
        made = [await crm.entry(stubs, crm_pb2.Catalog.Value(f"CATALOG_{catalog.name.upper()}"), catalog.name) for catalog in CATALOGS]
        assert made == list(range(1, len(CATALOGS) + 1))
    actions = [action(str(uuid4()), 1, *wanted) for wanted in some]
    assert await applied(stubs, action(str(uuid4()), 1), *actions) == [APPLIED] * (1 + len(some))


@given(actions=st.lists(filled(crm_service_pb2.ActionEffects), min_size=1, max_size=4))
@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
async def test_a_random_request_is_refused_and_never_a_defect(stubs: Stubs, actions: list[Any]) -> None:
    error = await refused(stubs.crm.ApplyEffects(sent(*actions, one(person_id=0))))
    assert (error.code, error.reason, bool(error.fields)) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", True)
