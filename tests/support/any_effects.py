"""Hypothesis strategies for effects that are within the limits of the contract."""

from collections.abc import Callable
from datetime import UTC, datetime

from hypothesis import strategies as st

from server.model.crm import Catalog, FollowUp, FollowUpType, ServiceRequest
from server.model.effects import CrmEffect, MakeFollowUp, MakeServiceRequest, SetExtraField, SetMembership

Ids = Callable[[Catalog], st.SearchStrategy[int]]
"""The entries of a catalogue that are named."""

_MEMBERSHIPS = (Catalog.selection, Catalog.project, Catalog.interest)

lines = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=255)
texts = st.text(st.characters(exclude_categories=["C"], include_characters="\n\t"), max_size=2047)
times = st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001 (hypothesis wants naive bounds)


def effects_about(person_id: int, ids: Ids) -> st.SearchStrategy[CrmEffect]:
    """Effects of every kind about one person."""
    return st.one_of(
        st.builds(SetExtraField, st.just(person_id), lines, texts),
        st.sampled_from(_MEMBERSHIPS).flatmap(
            lambda catalog: st.builds(SetMembership, st.just(person_id), st.just(catalog), ids(catalog), st.booleans())
        ),
        st.builds(MakeFollowUp, _follow_ups(person_id, ids)),
        st.builds(MakeServiceRequest, _service_requests(person_id, ids)),
    )


def _follow_ups(person_id: int, ids: Ids) -> st.SearchStrategy[FollowUp]:
    return st.builds(
        FollowUp,
        id=st.just(0),
        person_id=st.just(person_id),
        type=st.sampled_from(FollowUpType),
        description=texts,
        task_type_id=_or_none(ids(Catalog.task_type)),
        project_id=_or_none(ids(Catalog.project)),
        created_by=_or_none(ids(Catalog.user)),
        assigned_to=ids(Catalog.user),
        start_time=times,
        duration=st.integers(0, 2**31 - 1),
        as_assignment=st.booleans(),
        click_id=lines,
        create_time=times,
    )


def _service_requests(person_id: int, ids: Ids) -> st.SearchStrategy[ServiceRequest]:
    return st.builds(
        ServiceRequest,
        id=st.just(0),
        person_id=st.just(person_id),
        title=lines,
        priority_id=_or_none(ids(Catalog.priority)),
        category_id=_or_none(ids(Catalog.category)),
        owner_id=_or_none(ids(Catalog.user)),
        origin=lines,
        click_id=lines,
        create_time=times,
    )


def _or_none(ids: st.SearchStrategy[int]) -> st.SearchStrategy[int]:
    return st.just(0) | ids
