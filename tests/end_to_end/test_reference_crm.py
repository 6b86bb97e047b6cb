"""The reference CRM of clients/examples as a real process, driven as the service drives a remote CRM."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import grpc
import pytest

from server.crm.remote import parse_crm
from server.model.crm import Catalog
from server.model.crm_actions import CrmAction, CrmResult, EffectsOutcome
from server.model.errors import DomainError
from server.rpc.remote_crm import RemoteCrm
from server.store.types import to_microseconds
from tests.support.effects import CLICK_ID, NOON, action, follow_up, join, leave, outcomes_of, service_request, set_field
from tests.support.house import ROOT
from tests.support.other_crm import OtherCrm
from tests.support.stubs import Stubs, refused
from trackedlinks.v1 import crm_pb2, crm_service_pb2, link_pb2

SECONDS = 30.0
APPLIED = ("applied", "")

LIV, SELECTION, PROJECT, INTEREST, CATEGORY, PRIORITY, MAILING_TYPE, TASK_TYPE = range(1, 9)
KARI, OLA, ASE = 1, 2, 3
"""What --seed makes."""


@pytest.fixture
def reference(tmp_path: Path) -> Iterator[OtherCrm]:
    """The reference CRM, running, with a few persons and entries."""
    crm = OtherCrm(tmp_path)
    try:
        crm.start()
        yield crm
    finally:
        crm.stop()


@pytest.fixture
async def remote(reference: OtherCrm, anyio_backend: str) -> AsyncIterator[RemoteCrm]:
    """What the service has of it."""
    crm = RemoteCrm(reference.address)
    yield crm
    await crm.close()


def test_it_says_what_it_has_and_how_the_service_is_told_of_it_and_ends_when_asked(tmp_path: Path) -> None:
    script = ROOT / "clients" / "examples" / "reference_crm.py"
    command = [sys.executable, str(script), "--listen", "127.0.0.1:0", "--database", str(tmp_path / "crm.db"), "--seed"]
    for _ in range(2):  # what it was filled with outlives it, and it is filled once
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            lines = [process.stdout.readline().split() for _ in range(12)]
            process.terminate()
            assert process.wait(30) == 0
        assert lines[:3] == [["user", "1", "Liv"], ["selection", "2", "Wants", "a", "tour"], ["project", "3", "Spring", "campaign"]]
        assert lines[8:11] == [["person", "1", "Kari", "Nordmann"], ["person", "2", "Ola", "Nordmann"], ["person", "3", "Åse", "Bø"]]
        name, _, setting = lines[11][0].partition("=")
        assert name == "TRACKEDLINKS_CRM"
        assert parse_crm(setting)


async def test_it_knows_its_persons(remote: RemoteCrm) -> None:
    found, missing = await remote.persons([ASE, 2**62 - 1, KARI, OLA], SECONDS)
    assert missing == {2**62 - 1}
    assert {person_id: (card.name, card.email, card.our_contact_id) for person_id, card in found.items()} == {
        KARI: ("Kari Nordmann", "kari@example.com", LIV),
        OLA: ("Ola Nordmann", "ola@example.com", 0),
        ASE: ("Åse Bø", "", LIV),
    }


async def test_it_knows_which_references_exist(remote: RemoteCrm) -> None:
    there = [(Catalog.user, LIV), (Catalog.selection, SELECTION), (Catalog.project, PROJECT), (Catalog.interest, INTEREST)]
    there += [
        (Catalog.category, CATEGORY),
        (Catalog.priority, PRIORITY),
        (Catalog.mailing_type, MAILING_TYPE),
        (Catalog.task_type, TASK_TYPE),
    ]
    gone = {(Catalog.project, SELECTION), (Catalog.user, 404), (Catalog.mailing_type, 2**63 - 1)}
    assert await asyncio.to_thread(remote.missing, [*there, *gone]) == gone


async def test_effects_of_every_kind_happen_and_stand_on_its_disk(reference: OtherCrm, remote: RemoteCrm) -> None:
    memberships = [join(KARI, Catalog.selection, SELECTION), join(KARI, Catalog.project, PROJECT), join(KARI, Catalog.interest, INTEREST)]
    made = follow_up(KARI, LIV, "Call\nher", created_by=LIV, project_id=PROJECT, task_type_id=TASK_TYPE)
    case = service_request(KARI, "Tour", priority_id=PRIORITY, category_id=CATEGORY, owner_id=LIV)
    wanted = [
        action("1", KARI, set_field(KARI, "colour", "blå"), set_field(KARI, "shoe", "38"), *memberships),
        action("2", OLA, set_field(OLA, "colour", "rød"), leave(OLA, Catalog.interest, INTEREST)),
        action("3", KARI, made, case),
        action("4", KARI, set_field(KARI, "shoe", ""), leave(KARI, Catalog.project, PROJECT)),
    ]
    assert outcomes_of(await remote.apply(wanted, SECONDS)) == [APPLIED] * 4

    found, _ = await remote.persons([KARI, OLA], SECONDS)
    assert found[KARI].extra_fields == {"colour": "blå"}
    assert found[OLA].extra_fields == {"colour": "rød"}
    assert [(entry.id, entry.name) for entry in found[KARI].selections] == [(SELECTION, "Wants a tour")]
    assert [(entry.id, entry.name) for entry in found[KARI].interests] == [(INTEREST, "Skiing")]
    assert (found[KARI].projects, found[OLA].interests) == ([], [])

    follow_ups = "person_id, type, description, task_type_id, project_id, created_by, assigned_to, start_time, duration, as_assignment"
    noon = to_microseconds(NOON)
    assert reference.rows(f"SELECT {follow_ups}, click_id, create_time FROM follow_up") == [
        (KARI, link_pb2.FOLLOW_UP_TYPE_PHONE_CALL, "Call\nher", TASK_TYPE, PROJECT, LIV, LIV, noon, 30, 1, CLICK_ID, noon)
    ]
    cases = "person_id, title, priority_id, category_id, owner_id, origin, click_id, create_time"
    assert reference.rows(f"SELECT {cases} FROM service_request") == [
        (KARI, "Tour", PRIORITY, CATEGORY, LIV, "marketing link", CLICK_ID, noon)
    ]


async def test_what_cannot_happen_is_refused_in_its_place_and_the_rest_happens_once(reference: OtherCrm, remote: RemoteCrm) -> None:
    wanted = [
        action("a", KARI, service_request(KARI, "First")),
        action("b", KARI, service_request(KARI, "Not"), join(KARI, Catalog.selection, 404), follow_up(KARI, 405)),
        action("c", 404, service_request(404, "Not")),
        action("d", KARI, join(KARI, Catalog.selection, SELECTION), join(KARI, Catalog.selection, SELECTION)),
        action("a", KARI, service_request(KARI, "Again")),
        action("e", KARI, service_request(KARI, "Last")),
    ]
    expected = [APPLIED, ("refused", "No longer in the CRM: selection 404, user 405"), ("person_unknown", ""), APPLIED, APPLIED, APPLIED]
    assert outcomes_of(await remote.apply(wanted, SECONDS)) == expected
    assert outcomes_of(await remote.apply(wanted, SECONDS)) == expected
    assert reference.rows("SELECT title FROM service_request ORDER BY id") == [("First",), ("Last",)]
    assert len((await remote.persons([KARI], SECONDS))[0][KARI].selections) == 1


async def test_actions_happen_in_order_over_requests_of_any_size(reference: OtherCrm, remote: RemoteCrm) -> None:
    wanted = [action(str(number), KARI, set_field(KARI, "last", str(number)), service_request(KARI, str(number))) for number in range(1500)]
    assert outcomes_of(await remote.apply(wanted, SECONDS)) == [APPLIED] * 1500
    assert (await remote.persons([KARI], SECONDS))[0][KARI].extra_fields == {"last": "1499"}
    assert [int(title) for (title,) in reference.rows("SELECT title FROM service_request ORDER BY id")] == list(range(1500))


async def test_a_kill_amid_requests_loses_nothing_that_was_answered_halves_nothing_and_doubles_nothing_that_comes_again(
    reference: OtherCrm, remote: RemoteCrm
) -> None:
    keys = [[f"{batch}-{number}" for number in range(20)] for batch in range(120)]
    batches = [[action(key, KARI, *[service_request(KARI, key)] * 3) for key in some] for some in keys]
    answered: set[int] = set()
    failures: list[str] = []
    progress = asyncio.Event()

    async def kill_and_start() -> None:
        for threshold in (10, 50):
            while len(answered) < threshold:
                progress.clear()
                await progress.wait()
            before = set(answered)
            await asyncio.to_thread(reference.kill)
            made = dict(reference.rows("SELECT title, count(*) FROM service_request GROUP BY title"))
            assert {key for batch in before for key in keys[batch]} <= made.keys()
            assert set(made.values()) == {3}
            await asyncio.to_thread(reference.start)

    async with asyncio.TaskGroup() as tasks:
        killer = tasks.create_task(kill_and_start())

        async def send(number: int) -> None:
            await until_answered(remote, batches[number], failures)
            answered.add(number)
            progress.set()

        for start in range(0, len(batches), 8):
            await asyncio.gather(*(send(number) for number in range(start, start + 8)))
        await killer

    assert len(answered) == len(batches)
    assert set(failures) == {"UNAVAILABLE"}
    made = dict(reference.rows("SELECT title, count(*) FROM service_request GROUP BY title"))
    assert made == {key: 3 for some in keys for key in some}


async def until_answered(remote: RemoteCrm, actions: Sequence[CrmAction], failures: list[str]) -> None:
    """Sends the same actions until the CRM answers, over the same connection, as the service does; notes how it failed."""
    while True:
        try:
            results = await remote.apply(actions, SECONDS)
        except DomainError as error:
            failures.append(error.metadata["code"])
            continue
        assert results == [CrmResult(EffectsOutcome.applied)] * len(actions)
        return


async def test_keys_are_forgotten_after_30_days(reference: OtherCrm, remote: RemoteCrm) -> None:
    wanted = [action("young", KARI, service_request(KARI, "young")), action("old", KARI, service_request(KARI, "old"))]
    await remote.apply(wanted, SECONDS)
    reference.write("UPDATE applied SET time = time - 29 * 86400")
    reference.write("UPDATE applied SET time = time - 2 * 86400 WHERE key = 'old'")
    assert outcomes_of(await remote.apply(wanted, SECONDS)) == [APPLIED, APPLIED]
    assert reference.rows("SELECT title FROM service_request ORDER BY id") == [("young",), ("old",), ("old",)]


def broken() -> list[tuple[str, crm_service_pb2.ActionEffects]]:
    """Actions that break the contract, and what of them is named."""
    field = crm_service_pb2.Effect(set_extra_field=crm_service_pb2.SetExtraField(field="f"))
    membership = crm_service_pb2.Effect(set_membership=crm_service_pb2.SetMembership(catalog=crm_pb2.CATALOG_USER, entry_id=1))
    return [
        ("idempotency_key", crm_service_pb2.ActionEffects(person_id=1, effects=[field])),
        ("person_id", crm_service_pb2.ActionEffects(idempotency_key="k", effects=[field])),
        ("effects", crm_service_pb2.ActionEffects(idempotency_key="k", person_id=1)),
        ("effects[0].effect", crm_service_pb2.ActionEffects(idempotency_key="k", person_id=1, effects=[crm_service_pb2.Effect()])),
        ("effects[0].set_membership", crm_service_pb2.ActionEffects(idempotency_key="k", person_id=1, effects=[membership])),
    ]


async def test_what_breaks_the_contract_is_an_invalid_argument_and_one_unknown_person_is_not_found(reference: OtherCrm) -> None:
    stubs = Stubs(reference.address)
    for path, message in broken():
        error = await refused(stubs.crm.ApplyEffects(crm_service_pb2.ApplyEffectsRequest(actions=[message])))
        assert error.code == grpc.StatusCode.INVALID_ARGUMENT
        assert error.message.startswith(f"actions[0].{path}: ")
    for call in (
        stubs.crm.ApplyEffects(crm_service_pb2.ApplyEffectsRequest()),
        stubs.crm.BatchGetPersons(crm_service_pb2.BatchGetPersonsRequest(ids=[1, 0])),
        stubs.crm.BatchGetPersons(crm_service_pb2.BatchGetPersonsRequest(ids=[1] * 1001)),
        stubs.crm.CheckReferences(crm_service_pb2.CheckReferencesRequest()),
        stubs.crm.GetPerson(crm_service_pb2.GetPersonRequest()),
    ):
        assert (await refused(call)).code == grpc.StatusCode.INVALID_ARGUMENT
    assert (await refused(stubs.crm.GetPerson(crm_service_pb2.GetPersonRequest(id=404)))).code == grpc.StatusCode.NOT_FOUND
    assert (await stubs.crm.GetPerson(crm_service_pb2.GetPersonRequest(id=1))).name == "Kari Nordmann"
    await stubs.channel.close()


async def test_an_answer_that_would_be_too_large_is_refused_and_the_service_asks_for_fewer(reference: OtherCrm, remote: RemoteCrm) -> None:
    persons = [KARI, OLA, ASE]
    for person_id in persons:
        fields = [set_field(person_id, f"field {number}", "𐐨" * 2047) for number in range(190)]
        assert outcomes_of(await remote.apply([action(f"fill {person_id}", person_id, *fields)], SECONDS)) == [APPLIED]
    stubs = Stubs(reference.address)
    error = await refused(stubs.crm.BatchGetPersons(crm_service_pb2.BatchGetPersonsRequest(ids=persons)))
    assert error.code == grpc.StatusCode.INVALID_ARGUMENT
    await stubs.channel.close()
    found, missing = await remote.persons(persons, SECONDS)
    assert [len(found[person_id].extra_fields) for person_id in persons] == [190] * 3
    assert missing == set()
