"""CrmService: what the service needs of a CRM, from the embedded one."""

from typing import Any

import grpc
import pytest

from tests.support import crm
from tests.support.databases import on_one_database
from tests.support.stubs import Stubs, refused
from trackedlinks.v1 import crm_pb2, crm_service_pb2


def reference(catalog: Any, entry_id: int) -> crm_service_pb2.Reference:
    return crm_service_pb2.Reference(catalog=catalog, id=entry_id)


async def test_a_person_is_read_by_id_and_an_unknown_one_is_not_found(stubs: Stubs) -> None:
    person_id = await crm.person(stubs, "Ola", email="ola@example.com", extra_fields={"b": "2", "a": "1"})
    found = await crm.card(stubs, person_id)
    assert found == crm_pb2.Person(id=person_id, name="Ola", email="ola@example.com", extra_fields={"a": "1", "b": "2"})
    error = await refused(crm.card(stubs, person_id + 1))
    assert (error.code, error.reason, error.metadata["id"]) == (grpc.StatusCode.NOT_FOUND, "PERSON_NOT_FOUND", str(person_id + 1))


@on_one_database
@pytest.mark.parametrize("person_id", [0, -1])
async def test_a_person_is_asked_for_by_a_positive_id(stubs: Stubs, person_id: int) -> None:
    error = await refused(crm.card(stubs, person_id))
    assert (error.code, error.reason, list(error.fields)) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", ["id"])


async def test_persons_come_in_the_order_asked_for_and_unknown_ones_are_named(stubs: Stubs) -> None:
    interest = await crm.entry(stubs, crm_pb2.CATALOG_INTEREST, "Skiing")
    ola, liv = await crm.person(stubs, "Ola", interests=crm.references(interest)), await crm.person(stubs, "Liv", extra_fields={"a": "b"})
    request = crm_service_pb2.BatchGetPersonsRequest(ids=[2**62, liv, liv + 1, ola])
    response = await stubs.crm.BatchGetPersons(request)
    assert list(response.persons) == [await crm.card(stubs, liv), await crm.card(stubs, ola)]
    assert list(response.missing_ids) == [2**62, liv + 1]


@on_one_database
@pytest.mark.parametrize(("ids", "fields"), [([], {"ids"}), ([1] * 1001, {"ids"}), ([1, 0, -3], {"ids[1]", "ids[2]"})])
async def test_a_batch_of_persons_has_1_to_1000_positive_ids(stubs: Stubs, ids: list[int], fields: set[str]) -> None:
    error = await refused(stubs.crm.BatchGetPersons(crm_service_pb2.BatchGetPersonsRequest(ids=ids)))
    assert (error.code, error.reason, set(error.fields)) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", fields)


async def test_references_that_do_not_exist_are_named_in_the_order_asked_for(stubs: Stubs) -> None:
    user = await crm.entry(stubs, crm_pb2.CATALOG_USER, "Kari")
    gone = await crm.entry(stubs, crm_pb2.CATALOG_PRIORITY, "High")
    await crm.delete_entry(stubs, gone)
    asked = [
        reference(crm_pb2.CATALOG_PRIORITY, gone),
        reference(crm_pb2.CATALOG_USER, user),
        reference(crm_pb2.CATALOG_TASK_TYPE, user),
        reference(crm_pb2.CATALOG_CATEGORY, 2**62),
    ]
    response = await stubs.crm.CheckReferences(crm_service_pb2.CheckReferencesRequest(references=asked))
    assert list(response.missing) == [asked[0], asked[2], asked[3]]


async def test_a_thousand_references_are_checked_at_once(stubs: Stubs) -> None:
    user = await crm.entry(stubs, crm_pb2.CATALOG_USER, "Kari")
    asked = [reference(crm_pb2.CATALOG_USER, user + number) for number in range(1000)]
    response = await stubs.crm.CheckReferences(crm_service_pb2.CheckReferencesRequest(references=asked))
    assert list(response.missing) == asked[1:]


@on_one_database
@pytest.mark.parametrize(
    ("references", "fields"),
    [
        ([], {"references"}),
        ([reference(crm_pb2.CATALOG_USER, 1)] * 1001, {"references"}),
        (
            [reference(crm_pb2.CATALOG_USER, 1), reference(0, 0), reference(99, 5), reference(crm_pb2.CATALOG_USER, -1)],
            {"references[1].catalog", "references[1].id", "references[2].catalog", "references[3].id"},
        ),
    ],
)
async def test_every_bad_reference_is_named(stubs: Stubs, references: list[Any], fields: set[str]) -> None:
    error = await refused(stubs.crm.CheckReferences(crm_service_pb2.CheckReferencesRequest(references=references)))
    assert (error.code, error.reason, set(error.fields)) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", fields)
