"""EmbeddedCrmService: persons, catalogues, and what clicks made for colleagues."""

import uuid
from typing import Any

import grpc
import pytest

from tests.support import crm
from tests.support.databases import on_one_database
from tests.support.stubs import Stubs, refused
from trackedlinks.v1 import crm_pb2, embedded_crm_service_pb2, link_pb2

ALL_CATALOGS = [value for name, value in crm_pb2.Catalog.items() if value]
LISTS = {"interests": crm_pb2.CATALOG_INTEREST, "selections": crm_pb2.CATALOG_SELECTION, "projects": crm_pb2.CATALOG_PROJECT}


def create_entry(catalog: Any, name: str, request_id: str = "") -> embedded_crm_service_pb2.CreateCatalogEntryRequest:
    return embedded_crm_service_pb2.CreateCatalogEntryRequest(entry=crm_pb2.CatalogEntry(catalog=catalog, name=name), request_id=request_id)


def list_persons(**arguments: Any) -> embedded_crm_service_pb2.ListPersonsRequest:
    return embedded_crm_service_pb2.ListPersonsRequest(**arguments)


def list_entries(**arguments: Any) -> embedded_crm_service_pb2.ListCatalogEntriesRequest:
    return embedded_crm_service_pb2.ListCatalogEntriesRequest(**arguments)


async def test_a_person_is_made_with_a_whole_card_and_memberships_are_named_by_the_crm(stubs: Stubs) -> None:
    user = await crm.entry(stubs, crm_pb2.CATALOG_USER, "Kari")
    skiing, sailing = [await crm.entry(stubs, crm_pb2.CATALOG_INTEREST, name) for name in ("Skiing", "Sailing")]
    selection = await crm.entry(stubs, crm_pb2.CATALOG_SELECTION, "Customers")
    project = await crm.entry(stubs, crm_pb2.CATALOG_PROJECT, "Spring campaign")
    interests = [crm_pb2.NamedReference(id=sailing, name="ignored"), *crm.references(skiing, sailing)]
    made = await stubs.embedded_crm.CreatePerson(
        crm.create_person(
            id=7000,
            name="Ola Nordmann",
            email=" ola@example.com ",
            our_contact_id=user,
            extra_fields={"shoe size": "43", "cleared": ""},
            interests=interests,
            selections=crm.references(selection),
            projects=crm.references(project),
        )
    )
    assert made.id not in (0, 7000)
    assert (made.name, made.email, made.our_contact_id) == ("Ola Nordmann", "ola@example.com", user)
    assert dict(made.extra_fields) == {"shoe size": "43"}
    assert [(interest.id, interest.name) for interest in made.interests] == [(skiing, "Skiing"), (sailing, "Sailing")]
    assert [(found.id, found.name) for found in made.selections] == [(selection, "Customers")]
    assert [(found.id, found.name) for found in made.projects] == [(project, "Spring campaign")]
    assert await crm.card(stubs, made.id) == made


@on_one_database
async def test_every_bad_field_of_a_person_is_named(stubs: Stubs) -> None:
    bad: dict[str, Any] = {"our_contact_id": -1, "email": "nobody", "extra_fields": {"x" * 256: "", "note": "y" * 2048}}
    error = await refused(stubs.embedded_crm.CreatePerson(crm.create_person(name=" ", **bad)))
    assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
    assert set(error.fields) == {
        "person.name",
        "person.email",
        "person.our_contact_id",
        f"person.extra_fields.{'x' * 256}"[:200],
        "person.extra_fields.note",
    }


@on_one_database
async def test_a_person_without_any_field_is_refused_for_its_name(stubs: Stubs) -> None:
    error = await refused(stubs.embedded_crm.CreatePerson(embedded_crm_service_pb2.CreatePersonRequest()))
    assert (error.reason, list(error.fields)) == ("INVALID_FIELD", ["person.name"])


async def test_every_reference_of_a_person_that_the_crm_does_not_have_is_named_and_nothing_is_stored(stubs: Stubs) -> None:
    user = await crm.entry(stubs, crm_pb2.CATALOG_USER, "Kari")
    interest = await crm.entry(stubs, crm_pb2.CATALOG_INTEREST, "Skiing")
    request = crm.create_person(
        name="Ola",
        our_contact_id=interest,
        interests=crm.references(interest, user),
        selections=crm.references(interest, 0),
        projects=crm.references(-5, 2**62),
    )
    error = await refused(stubs.embedded_crm.CreatePerson(request))
    assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "REFERENCE_NOT_FOUND")
    assert set(error.fields) == {
        "person.our_contact_id",
        "person.interests[1].id",
        "person.selections[0].id",
        "person.selections[1].id",
        "person.projects[0].id",
        "person.projects[1].id",
    }
    assert not (await stubs.embedded_crm.ListPersons(list_persons())).persons


@pytest.mark.parametrize("spelling", ["ola@blåbær.no", "OLA@BLÅBÆR.NO", "ola@xn--blbr-roah.no", "Ola@Bla\u030abær.no"])
async def test_an_address_is_taken_however_it_is_spelled(stubs: Stubs, spelling: str) -> None:
    await crm.person(stubs, email="Ola@blåbær.no")
    error = await refused(stubs.embedded_crm.CreatePerson(crm.create_person(name="Other", email=spelling)))
    assert (error.code, error.reason, error.fields) == (grpc.StatusCode.ALREADY_EXISTS, "PERSON_EMAIL_TAKEN", {})
    assert len((await stubs.embedded_crm.ListPersons(list_persons())).persons) == 1


async def test_any_number_of_persons_have_no_address_and_a_deleted_persons_address_is_free_but_not_the_id(stubs: Stubs) -> None:
    assert await crm.person(stubs) != await crm.person(stubs)
    gone = await crm.person(stubs, email="ola@example.com")
    await stubs.embedded_crm.DeletePerson(embedded_crm_service_pb2.DeletePersonRequest(id=gone))
    assert await crm.person(stubs, email="ola@example.com") > gone


async def test_the_same_request_makes_one_person_and_another_one_with_its_id_is_refused(stubs: Stubs) -> None:
    request_id = str(uuid.uuid4())
    first = await stubs.embedded_crm.CreatePerson(crm.create_person(request_id, name="Ola", email="ola@example.com"))
    again = await stubs.embedded_crm.CreatePerson(crm.create_person(request_id.upper(), name="Ola", email="ola@example.com"))
    assert again == first
    error = await refused(stubs.embedded_crm.CreatePerson(crm.create_person(request_id, name="Kari")))
    assert (error.code, error.reason) == (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")
    error = await refused(stubs.embedded_crm.CreatePerson(crm.create_person("no uuid", name="Kari")))
    assert (error.reason, list(error.fields)) == ("INVALID_FIELD", ["request_id"])


async def test_a_person_that_was_deleted_is_not_made_again_by_the_same_request(stubs: Stubs) -> None:
    request = crm.create_person(str(uuid.uuid4()), name="Ola")
    made = await stubs.embedded_crm.CreatePerson(request)
    await stubs.embedded_crm.DeletePerson(embedded_crm_service_pb2.DeletePersonRequest(id=made.id))
    assert (await refused(stubs.embedded_crm.CreatePerson(request))).reason == "PERSON_NOT_FOUND"


async def test_persons_are_listed_by_id_in_pages_that_hold_each_of_them_once(stubs: Stubs) -> None:
    ids = [await crm.person(stubs, f"Person {number}") for number in range(5)]
    listed: list[int] = []
    sizes: list[int] = []
    token = ""
    while not sizes or token:
        page = await stubs.embedded_crm.ListPersons(list_persons(page_size=2, page_token=token))
        listed += [found.id for found in page.persons]
        sizes.append(len(page.persons))
        token = page.next_page_token
    assert (listed, sizes) == (ids, [2, 2, 1])


async def test_persons_are_listed_by_what_they_are_members_of(stubs: Stubs) -> None:
    entries = {field: await crm.entry(stubs, catalog, field) for field, catalog in LISTS.items()}
    memberships: dict[str, Any] = {field: crm.references(entry_id) for field, entry_id in entries.items()}
    members = {field: await crm.person(stubs, "Ola", **{field: memberships[field]}) for field in entries}
    everywhere = await crm.person(stubs, "Ola", **memberships)
    await crm.person(stubs, "Nowhere")
    for field, entry_id in entries.items():
        first = await stubs.embedded_crm.ListPersons(list_persons(member_of=entry_id, page_size=1))
        rest = await stubs.embedded_crm.ListPersons(list_persons(member_of=entry_id, page_token=first.next_page_token))
        assert [found.id for found in (*first.persons, *rest.persons)] == [members[field], everywhere]
        assert rest.next_page_token == ""
        assert len(rest.persons[0].interests) == 1
    assert not (await stubs.embedded_crm.ListPersons(list_persons(member_of=2**62))).persons


async def test_a_page_of_persons_that_clients_could_not_take_is_cut_and_goes_on_with_the_next(stubs: Stubs) -> None:
    large = {f"field {number}": "æ" * 2047 for number in range(200)}
    ids = [await crm.person(stubs, f"Person {number}", extra_fields=large) for number in range(6)]
    first = await stubs.embedded_crm.ListPersons(list_persons())
    rest = await stubs.embedded_crm.ListPersons(list_persons(page_token=first.next_page_token))
    assert 0 < len(first.persons) < 6
    assert first.ByteSize() < 4 * 1024 * 1024
    assert [found.id for found in (*first.persons, *rest.persons)] == ids
    assert rest.next_page_token == ""


async def test_a_deleted_person_is_gone_and_an_unknown_one_cannot_be_deleted(stubs: Stubs) -> None:
    gone, other = await crm.person(stubs, extra_fields={"a": "b"}), await crm.person(stubs)
    await stubs.embedded_crm.DeletePerson(embedded_crm_service_pb2.DeletePersonRequest(id=gone))
    assert [found.id for found in (await stubs.embedded_crm.ListPersons(list_persons())).persons] == [other]
    for person_id in (gone, 2**62):
        error = await refused(stubs.embedded_crm.DeletePerson(embedded_crm_service_pb2.DeletePersonRequest(id=person_id)))
        assert (error.code, error.reason, error.metadata["id"]) == (grpc.StatusCode.NOT_FOUND, "PERSON_NOT_FOUND", str(person_id))
    for person_id in (0, -1):
        error = await refused(stubs.embedded_crm.DeletePerson(embedded_crm_service_pb2.DeletePersonRequest(id=person_id)))
        assert (error.reason, list(error.fields)) == ("INVALID_FIELD", ["id"])


async def test_every_catalogue_takes_entries_and_they_are_listed_by_id_in_one_or_in_all(stubs: Stubs) -> None:
    ids = {catalog: await crm.entry(stubs, catalog, " the same name") for catalog in ALL_CATALOGS}
    assert len(set(ids.values())) == 8
    entries = (await stubs.embedded_crm.ListCatalogEntries(list_entries())).entries
    assert [(found.id, found.catalog, found.name) for found in entries] == [(ids[c], c, " the same name") for c in ALL_CATALOGS]
    for catalog, entry_id in ids.items():
        assert [found.id for found in (await stubs.embedded_crm.ListCatalogEntries(list_entries(catalog=catalog))).entries] == [entry_id]


async def test_entries_come_in_pages_of_fifty_unless_asked_otherwise(stubs: Stubs) -> None:
    ids = [await crm.entry(stubs, crm_pb2.CATALOG_INTEREST, f"Interest {number}") for number in range(51)]
    first = await stubs.embedded_crm.ListCatalogEntries(list_entries())
    rest = await stubs.embedded_crm.ListCatalogEntries(list_entries(page_token=first.next_page_token, page_size=5000))
    assert [found.id for found in first.entries] == ids[:50]
    assert ([found.id for found in rest.entries], rest.next_page_token) == (ids[50:], "")


@on_one_database
@pytest.mark.parametrize(
    ("catalog", "name", "fields"),
    [
        (0, "", {"entry.catalog", "entry.name"}),
        (99, "Skiing", {"entry.catalog"}),
        (crm_pb2.CATALOG_INTEREST, "two\nlines", {"entry.name"}),
        (crm_pb2.CATALOG_INTEREST, "x" * 256, {"entry.name"}),
    ],
)
async def test_every_bad_field_of_an_entry_is_named(stubs: Stubs, catalog: int, name: str, fields: set[str]) -> None:
    error = await refused(stubs.embedded_crm.CreateCatalogEntry(create_entry(catalog, name)))
    assert (error.code, error.reason, set(error.fields)) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", fields)


@pytest.mark.parametrize("spelling", ["Ål og øl", "ÅL OG ØL", "A\u030al og øl"])
async def test_a_name_is_taken_in_its_own_catalogue_only_however_it_is_spelled(stubs: Stubs, spelling: str) -> None:
    await crm.entry(stubs, crm_pb2.CATALOG_INTEREST, "ål og øl")
    error = await refused(stubs.embedded_crm.CreateCatalogEntry(create_entry(crm_pb2.CATALOG_INTEREST, spelling)))
    assert (error.code, error.reason) == (grpc.StatusCode.ALREADY_EXISTS, "ENTRY_NAME_TAKEN")
    await crm.entry(stubs, crm_pb2.CATALOG_PROJECT, spelling)


async def test_the_same_request_makes_one_entry_and_another_one_with_its_id_is_refused(stubs: Stubs) -> None:
    request_id = str(uuid.uuid4())
    first, again = [await stubs.embedded_crm.CreateCatalogEntry(create_entry(crm_pb2.CATALOG_USER, "Kari", request_id)) for _ in range(2)]
    assert first == again
    error = await refused(stubs.embedded_crm.CreateCatalogEntry(create_entry(crm_pb2.CATALOG_PROJECT, "Kari", request_id)))
    assert (error.code, error.reason) == (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")
    error = await refused(stubs.embedded_crm.CreatePerson(crm.create_person(request_id, name="Kari")))
    assert error.reason == "REQUEST_ID_REUSED"
    error = await refused(stubs.embedded_crm.CreateCatalogEntry(create_entry(crm_pb2.CATALOG_USER, "Liv", "no uuid")))
    assert (error.reason, list(error.fields)) == ("INVALID_FIELD", ["request_id"])


async def test_a_deleted_entry_leaves_no_membership_and_is_nobodys_contact(stubs: Stubs) -> None:
    entries = {field: await crm.entry(stubs, catalog, field) for field, catalog in LISTS.items()}
    leaving, staying = [await crm.entry(stubs, crm_pb2.CATALOG_USER, name) for name in ("Kari", "Liv")]
    memberships: dict[str, Any] = {field: crm.references(entry_id) for field, entry_id in entries.items()}
    person_id = await crm.person(stubs, our_contact_id=leaving, **memberships)
    other_id = await crm.person(stubs, our_contact_id=staying, **memberships)
    for entry_id in (entries["interests"], entries["projects"], leaving):
        await crm.delete_entry(stubs, entry_id)
    for found, contact in ((await crm.card(stubs, person_id), 0), (await crm.card(stubs, other_id), staying)):
        assert found.our_contact_id == contact
        assert (len(found.interests), len(found.selections), len(found.projects)) == (0, 1, 0)


async def test_a_deleted_entrys_name_is_free_but_not_its_id_and_an_unknown_one_cannot_be_deleted(stubs: Stubs) -> None:
    gone = await crm.entry(stubs, crm_pb2.CATALOG_INTEREST, "Skiing")
    await crm.delete_entry(stubs, gone)
    for entry_id in (gone, 2**62):
        error = await refused(crm.delete_entry(stubs, entry_id))
        assert (error.code, error.reason, error.metadata["id"]) == (grpc.StatusCode.NOT_FOUND, "ENTRY_NOT_FOUND", str(entry_id))
    error = await refused(crm.delete_entry(stubs, 0))
    assert (error.reason, list(error.fields)) == ("INVALID_FIELD", ["id"])
    assert await crm.entry(stubs, crm_pb2.CATALOG_INTEREST, "Skiing") > gone


async def test_an_entry_that_was_deleted_is_not_made_again_by_the_same_request(stubs: Stubs) -> None:
    request = create_entry(crm_pb2.CATALOG_USER, "Kari", str(uuid.uuid4()))
    await crm.delete_entry(stubs, (await stubs.embedded_crm.CreateCatalogEntry(request)).id)
    assert (await refused(stubs.embedded_crm.CreateCatalogEntry(request))).reason == "ENTRY_NOT_FOUND"


async def test_follow_ups_and_service_requests_are_listed_newest_first_in_pages_and_by_person(stubs: Stubs) -> None:
    user = await crm.entry(stubs, crm_pb2.CATALOG_USER, "Kari")
    call = link_pb2.CreateFollowUp(type=link_pb2.FOLLOW_UP_TYPE_PHONE_CALL, created_by=user)
    every = link_pb2.REPEAT_POLICY_EVERY_CLICK
    link = await crm.link(
        stubs,
        link_pb2.LinkAction(repeat_policy=every, follow_up=call),
        link_pb2.LinkAction(repeat_policy=every, service_request=link_pb2.CreateServiceRequest(title="Help")),
    )
    ola, liv = await crm.person(stubs, "Ola"), await crm.person(stubs, "Liv")
    clicks = [(await crm.click(stubs, await crm.mint(stubs, link.id, person_id=who))).click.id for who in (ola, liv, ola)]
    for rpc, request, field in (
        (stubs.embedded_crm.ListFollowUps, embedded_crm_service_pb2.ListFollowUpsRequest, "follow_ups"),
        (stubs.embedded_crm.ListServiceRequests, embedded_crm_service_pb2.ListServiceRequestsRequest, "service_requests"),
    ):
        first = await rpc(request(page_size=2))
        rest = await rpc(request(page_size=2, page_token=first.next_page_token))
        assert [found.click_id for found in (*getattr(first, field), *getattr(rest, field))] == clicks[::-1]
        assert rest.next_page_token == ""
        assert [found.click_id for found in getattr(await rpc(request(person_id=liv)), field)] == [clicks[1]]
        assert not getattr(await rpc(request(person_id=2**62)), field)
        for asked in (request(person_id=ola, page_token=first.next_page_token), request(page_token="x" + first.next_page_token)):
            error = await refused(rpc(asked))
            assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "PAGE_TOKEN_INVALID")


@on_one_database
@pytest.mark.parametrize(
    ("rpc", "request_type", "field"),
    [
        ("ListPersons", embedded_crm_service_pb2.ListPersonsRequest, "member_of"),
        ("ListFollowUps", embedded_crm_service_pb2.ListFollowUpsRequest, "person_id"),
        ("ListServiceRequests", embedded_crm_service_pb2.ListServiceRequestsRequest, "person_id"),
        ("ListCatalogEntries", embedded_crm_service_pb2.ListCatalogEntriesRequest, "catalog"),
    ],
)
async def test_lists_refuse_bad_filters_and_page_sizes(stubs: Stubs, rpc: str, request_type: Any, field: str) -> None:
    for bad in (field, "page_size"):
        error = await refused(getattr(stubs.embedded_crm, rpc)(request_type(**{bad: -1})))
        assert (error.code, error.reason, list(error.fields)) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", [bad])


async def test_a_page_token_belongs_to_its_call_and_its_arguments(stubs: Stubs) -> None:
    interest = await crm.entry(stubs, crm_pb2.CATALOG_INTEREST, "Skiing")
    await crm.entry(stubs, crm_pb2.CATALOG_INTEREST, "Sailing")
    for _ in range(2):
        await crm.person(stubs)
    of_persons = (await stubs.embedded_crm.ListPersons(list_persons(page_size=1))).next_page_token
    of_entries = (await stubs.embedded_crm.ListCatalogEntries(list_entries(page_size=1))).next_page_token
    for call in (
        stubs.embedded_crm.ListPersons(list_persons(member_of=interest, page_token=of_persons)),
        stubs.embedded_crm.ListPersons(list_persons(page_token=of_entries)),
        stubs.embedded_crm.ListPersons(list_persons(page_token="nonsense ø")),
        stubs.embedded_crm.ListCatalogEntries(list_entries(catalog=crm_pb2.CATALOG_INTEREST, page_token=of_entries)),
        stubs.embedded_crm.ListCatalogEntries(list_entries(page_token=of_persons)),
    ):
        error = await refused(call)
        assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "PAGE_TOKEN_INVALID")
