"""What actions want to happen for a click: pure, so without any database."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from server.actions import KINDS
from server.actions.follow_up import CreateFollowUp
from server.actions.memberships import ChangeInterests, ChangeProjects, ChangeSelections
from server.actions.service_request import CreateServiceRequest, ServiceRequestOwner
from server.actions.set_field import SetField
from server.model.action import LinkAction, Occasion, RepeatPolicy, fill_text
from server.model.crm import Catalog, Contact, FollowUp, FollowUpType, ServiceRequest
from server.model.effects import MakeFollowUp, MakeServiceRequest, SetExtraField, SetMembership

CLICK_ID = "01998f00-0000-7000-8000-000000000001"
NOON = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)


def occasion(time: datetime = NOON, our_contact_id: int = 0, name: str = "Ola Nordmann") -> Occasion:
    return Occasion(CLICK_ID, 3, time, Contact(7, name, our_contact_id), 5, "Spring", 9, "March news")


def follow_up(occasion: Occasion, **fields: Any) -> FollowUp:
    (effect,) = CreateFollowUp(**{"type": FollowUpType.task} | fields).effects(occasion)
    assert isinstance(effect, MakeFollowUp)
    return effect.follow_up


def service_request(occasion: Occasion, **fields: Any) -> ServiceRequest:
    (effect,) = CreateServiceRequest(**{"title": "Help"} | fields).effects(occasion)
    assert isinstance(effect, MakeServiceRequest)
    return effect.service_request


@pytest.mark.parametrize(
    ("after_noon", "start"),
    [
        (timedelta(0), timedelta(minutes=15)),
        (timedelta(milliseconds=1), timedelta(minutes=15)),
        (timedelta(minutes=14, seconds=59, milliseconds=999), timedelta(minutes=15)),
        (timedelta(minutes=15), timedelta(minutes=30)),
        (timedelta(hours=11, minutes=50), timedelta(hours=12)),
    ],
)
def test_a_follow_up_without_a_start_starts_at_the_next_full_quarter_after_the_click(after_noon: timedelta, start: timedelta) -> None:
    assert follow_up(occasion(NOON + after_noon), created_by=1).start_time == NOON + start


def test_a_follow_up_says_who_made_it_when_and_for_whom() -> None:
    start = datetime(2026, 4, 1, 8, 0, tzinfo=UTC)
    fields: dict[str, Any] = {
        "task_type_id": 3,
        "project_id": 4,
        "created_by": 5,
        "duration": 30,
        "as_assignment": True,
        "start_time": start,
    }
    made = follow_up(occasion(), type=FollowUpType.phone_call, description="Call {{recipient.name}}", **fields)
    assert made == FollowUp(
        person_id=7,
        type=FollowUpType.phone_call,
        description="Call Ola Nordmann",
        assigned_to=5,
        click_id=CLICK_ID,
        create_time=NOON,
        **fields,
    )


@pytest.mark.parametrize(
    ("ours", "fields", "assigned_to"),
    [
        (9, {"assign_to_our_contact": True, "default_recipient": 2, "created_by": 1}, 9),
        (0, {"assign_to_our_contact": True, "default_recipient": 2, "created_by": 1}, 2),
        (0, {"assign_to_our_contact": True, "created_by": 1}, 1),
        (0, {"assign_to_our_contact": True}, 0),
        (9, {"default_recipient": 2, "created_by": 1}, 2),
        (9, {"created_by": 1}, 1),
    ],
)
def test_a_follow_up_goes_to_our_contact_then_the_default_recipient_then_who_it_is_made_by(
    ours: int, fields: dict[str, Any], assigned_to: int
) -> None:
    assert follow_up(occasion(our_contact_id=ours), **fields).assigned_to == assigned_to


def test_a_follow_up_that_nobody_would_get_is_refused() -> None:
    with pytest.raises(ValidationError, match="created_by, default_recipient and assign_to_our_contact"):
        CreateFollowUp(type=FollowUpType.task)


@pytest.mark.parametrize(
    ("ours", "owner", "owner_id", "owned_by"),
    [
        (9, ServiceRequestOwner.unassigned, 0, 0),
        (9, ServiceRequestOwner.user, 3, 3),
        (9, ServiceRequestOwner.automatic, 0, 9),
        (0, ServiceRequestOwner.automatic, 0, 0),
    ],
)
def test_a_service_request_is_owned_as_the_action_says(ours: int, owner: ServiceRequestOwner, owner_id: int, owned_by: int) -> None:
    assert service_request(occasion(our_contact_id=ours), owner=owner, owner_id=owner_id).owner_id == owned_by


@pytest.mark.parametrize(("owner", "owner_id"), [("user", 0), ("automatic", 3), ("unassigned", 3)])
def test_a_service_request_names_an_owner_only_with_owner_user(owner: str, owner_id: int) -> None:
    with pytest.raises(ValidationError, match="owner_id must be given with owner USER"):
        CreateServiceRequest.model_validate({"title": "Help", "owner": owner, "owner_id": owner_id})


def test_texts_are_cut_after_they_are_filled_in() -> None:
    long = occasion(name="x" * 255)
    made = service_request(long, title="{{recipient.name}}y")
    assert made.title == "x" * 255
    assert follow_up(long, created_by=1, description="{{recipient.name}}" * 10).description == "x" * 2047
    (effect,) = SetField(field="names", value="{{recipient.name}}" * 10).effects(long)
    assert effect == SetExtraField(7, "names", "x" * 2047)


def test_text_fields_are_filled_in_once_and_unknown_ones_stay() -> None:
    tricky = occasion(name="{{link.name}} <b>")
    text = "{{recipient.name}}|{{ link.name }}|{{mailing.name}}|{{click.time}}|{{unknown}}|{{open|}}|{{{{link.name}}"
    filled = "{{link.name}} <b>|Spring|March news|2026-03-04 12:00 UTC|{{unknown}}|{{open|}}|{{Spring"
    assert tricky.fill(text) == filled
    assert fill_text("no fields } {", {}) == "no fields } {"


@pytest.mark.parametrize("kind", [ChangeInterests, ChangeSelections, ChangeProjects])
def test_memberships_are_added_and_removed_in_the_catalogue_of_their_kind(kind: type[ChangeInterests]) -> None:
    effects = list(kind(add=[1, 2], remove=[3]).effects(occasion()))
    assert effects == [SetMembership(7, kind.catalog, entry_id, member) for entry_id, member in ((1, True), (2, True), (3, False))]
    assert list(kind(add=[1], remove=[3, 4]).references()) == [
        ("add[0]", kind.catalog, 1),
        ("remove[0]", kind.catalog, 3),
        ("remove[1]", kind.catalog, 4),
    ]


@pytest.mark.parametrize(("add", "remove"), [([], []), ([1, 2], [2]), ([1], [0]), ([1] * 101, [])])
def test_memberships_that_say_nothing_or_contradict_themselves_are_refused(add: list[int], remove: list[int]) -> None:
    with pytest.raises(ValidationError):
        ChangeInterests(add=add, remove=remove)


def test_only_what_lets_a_recipient_leave_is_left_of_an_action() -> None:
    assert ChangeInterests(add=[1], remove=[2]).only_removals() == ChangeInterests(remove=[2])
    assert ChangeProjects(add=[1]).only_removals() is None
    for kind in (SetField(field="a"), CreateFollowUp(type=FollowUpType.task, created_by=1), CreateServiceRequest(title="Help")):
        assert kind.only_removals() is None


def test_follow_ups_and_service_requests_name_only_the_ids_they_have() -> None:
    full = CreateFollowUp(type=FollowUpType.task, task_type_id=1, project_id=2, created_by=3, default_recipient=4)
    assert {(field, catalog) for field, catalog, _ in full.references()} == {
        ("task_type_id", Catalog.task_type),
        ("project_id", Catalog.project),
        ("created_by", Catalog.user),
        ("default_recipient", Catalog.user),
    }
    assert not list(CreateFollowUp(type=FollowUpType.task, assign_to_our_contact=True).references())
    case = CreateServiceRequest(title="Help", priority_id=1, category_id=2, owner=ServiceRequestOwner.user, owner_id=3)
    assert list(case.references()) == [
        ("priority_id", Catalog.priority, 1),
        ("category_id", Catalog.category, 2),
        ("owner_id", Catalog.user, 3),
    ]
    assert not list(CreateServiceRequest(title="Help").references())


def test_what_makes_something_new_happens_once_per_mailing_by_default_and_what_can_be_repeated_at_every_click() -> None:
    policies = {tag: LinkAction.model_construct(kind=kind.model_construct(tag=tag)).policy for tag, kind in KINDS.items()}
    once = {"follow_up", "service_request", "webhook"}
    assert {tag for tag, policy in policies.items() if policy is RepeatPolicy.once_per_recipient_and_mailing} == once
    assert {tag for tag, policy in policies.items() if policy is RepeatPolicy.every_click} == KINDS.keys() - once
