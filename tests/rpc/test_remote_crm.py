"""RemoteCrm against CRMs that do everything wrong: each is CRM_UNAVAILABLE by the deadline, and nothing beyond our limits is taken."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import pytest

from server.model.crm import Catalog
from server.model.crm_actions import CrmResult, EffectsOutcome
from server.model.errors import DomainError, Reason
from server.rpc.remote_crm import BAD_ANSWER, MOST_PERSONS, RemoteCrm
from tests.support.effects import action, set_field
from tests.support.hostile_crm import Answer, HostileCrm, answering, failing
from trackedlinks.v1 import crm_pb2, crm_service_pb2

SHORT = 0.2
LONG = 60.0
"""Seconds that a call may take: where the CRM does not answer, and where it does."""

ACTIONS = [action("a", 7), action("b", 8)]
REFERENCES = [(Catalog.selection, 5), (Catalog.user, 6)]

Call = Callable[[RemoteCrm, float], Awaitable[Any]]

CALLS: dict[str, Call] = {
    "ApplyEffects": lambda crm, seconds: crm.apply(ACTIONS, seconds),
    "BatchGetPersons": lambda crm, seconds: crm.persons([7, 8], seconds),
    "CheckReferences": lambda crm, seconds: crm.missing_among(REFERENCES, seconds),
}
every_call = pytest.mark.parametrize("name", sorted(CALLS))


@contextlib.asynccontextmanager
async def connected(address: str, **options: float) -> AsyncIterator[RemoteCrm]:
    crm = RemoteCrm(address, **options)
    try:
        yield crm
    finally:
        await crm.close()


async def problem_of(call: Awaitable[Any]) -> DomainError:
    """The error that the call ends with: always CRM_UNAVAILABLE, in words without anything that the CRM said."""
    with pytest.raises(DomainError) as raised:
        await call
    assert raised.value.reason is Reason.crm_unavailable
    assert "CRM" in raised.value.message
    assert "Kari" not in raised.value.message
    return raised.value


async def code_of(call: Awaitable[Any]) -> str:
    return (await problem_of(call)).metadata["code"]


@every_call
@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK])
async def test_whatever_a_call_fails_with_the_crm_is_unavailable(name: str, code: grpc.StatusCode) -> None:
    async with HostileCrm(**{name: failing(code)}) as other, connected(other.address) as crm:
        assert await code_of(CALLS[name](crm, LONG)) == code.name


@every_call
async def test_a_crm_that_has_a_defect_is_unavailable(name: str) -> None:
    async def defect(request: Any, context: Any) -> Any:
        raise ZeroDivisionError

    async with HostileCrm(**{name: defect}) as other, connected(other.address) as crm:
        assert await code_of(CALLS[name](crm, LONG)) == "UNKNOWN"


@every_call
async def test_a_crm_without_the_call_is_unavailable(name: str) -> None:
    async with HostileCrm() as other, connected(other.address) as crm:
        assert await code_of(CALLS[name](crm, LONG)) == "UNIMPLEMENTED"


@every_call
async def test_a_crm_that_hangs_is_unavailable_at_the_deadline(name: str) -> None:
    async def hang(request: Any, context: Any) -> Any:
        await asyncio.Event().wait()

    async with HostileCrm(**{name: hang}) as other, connected(other.address) as crm:
        assert await code_of(CALLS[name](crm, SHORT)) == "DEADLINE_EXCEEDED"


@every_call
async def test_a_crm_that_is_not_there_is_unavailable_long_before_the_deadline(name: str) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))  # taken, so that nobody listens there
        async with connected(f"127.0.0.1:{probe.getsockname()[1]}") as crm:
            assert await code_of(CALLS[name](crm, LONG)) == "UNAVAILABLE"


@every_call
async def test_what_takes_connections_and_says_nothing_is_unavailable_at_the_deadline(name: str) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        async with connected(f"127.0.0.1:{silent.getsockname()[1]}") as crm:
            assert await code_of(CALLS[name](crm, SHORT)) == "DEADLINE_EXCEEDED"


@every_call
async def test_what_speaks_something_else_than_grpc_is_unavailable(name: str) -> None:
    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(speak, "127.0.0.1", 0)
    async with server, connected(f"127.0.0.1:{server.sockets[0].getsockname()[1]}") as crm:
        assert await code_of(CALLS[name](crm, SHORT)) in ("UNAVAILABLE", "DEADLINE_EXCEEDED")


@every_call
@pytest.mark.parametrize("garbage", [b"\xff", b"\x0a\x7fshort", b"\x08" + b"\xff" * 11, bytes(range(256))])
async def test_bytes_that_are_no_message_are_no_answer(name: str, garbage: bytes) -> None:
    async with HostileCrm(**{name: answering(garbage)}) as other, connected(other.address) as crm:
        assert await code_of(CALLS[name](crm, LONG)) == BAD_ANSWER


@every_call
async def test_an_answer_of_20_mb_is_not_taken(name: str) -> None:
    async with HostileCrm(**{name: answering(bytes(20_000_000))}) as other, connected(other.address) as crm:
        assert await code_of(CALLS[name](crm, LONG)) == "RESOURCE_EXHAUSTED"


def result(outcome: Any, reason: str = "") -> crm_service_pb2.AppliedEffects:
    return crm_service_pb2.AppliedEffects(outcome=outcome, reason=reason)


APPLIED = result(crm_service_pb2.EFFECTS_OUTCOME_APPLIED)


@pytest.mark.parametrize(
    "results", [[], [APPLIED], [APPLIED] * 3, [APPLIED, result(0)], [APPLIED, result(99)], [result(-1, "Kari"), APPLIED]]
)
async def test_results_that_do_not_fit_the_actions_are_no_answer(results: list[crm_service_pb2.AppliedEffects]) -> None:
    answer = answering(crm_service_pb2.ApplyEffectsResponse(results=results))
    async with HostileCrm(ApplyEffects=answer) as other, connected(other.address) as crm:
        assert await code_of(crm.apply(ACTIONS, LONG)) == BAD_ANSWER


async def test_results_come_in_the_order_of_the_actions_and_their_reasons_are_cut_to_our_limits() -> None:
    refused = crm_service_pb2.EFFECTS_OUTCOME_REFUSED
    results = [
        APPLIED,
        result(crm_service_pb2.EFFECTS_OUTCOME_PERSON_UNKNOWN, "never heard of"),
        result(refused, "x" * 5000),
        result(refused, "no\0 such\nselection "),
        result(refused),
    ]
    answer = answering(crm_service_pb2.ApplyEffectsResponse(results=results))
    async with HostileCrm(ApplyEffects=answer) as other, connected(other.address) as crm:
        assert await crm.apply([action(str(number), 7) for number in range(5)], LONG) == [
            CrmResult(EffectsOutcome.applied),
            CrmResult(EffectsOutcome.person_unknown),
            CrmResult(EffectsOutcome.refused, "x" * 300),
            CrmResult(EffectsOutcome.refused, "no  such selection"),
            CrmResult(EffectsOutcome.refused, "The CRM did not take the change"),
        ]


async def test_more_actions_than_one_request_takes_go_in_several_in_order() -> None:
    requests: list[Any] = []

    async def take(request: Any, context: Any) -> Any:
        requests.append(request)
        return crm_service_pb2.ApplyEffectsResponse(results=[APPLIED] * len(request.actions))

    async with HostileCrm(ApplyEffects=take) as other, connected(other.address) as crm:
        many = [action(str(number), 7) for number in range(2001)]
        large = [action(f"large {number}", 7, *(set_field(7, f"f{each}", "𐐨" * 2047) for each in range(100))) for number in range(10)]
        assert await crm.apply(many + large, LONG) == [CrmResult(EffectsOutcome.applied)] * 2011
        assert [each.idempotency_key for request in requests for each in request.actions] == [each.key for each in many + large]
        assert [len(request.actions) for request in requests] == [1000, 1000, 5, 4, 2]
        assert all(request.ByteSize() <= 3_500_000 for request in requests)
        assert await crm.apply([], LONG) == []
    assert len(requests) == 5


def person(person_id: int) -> crm_pb2.Person:
    return crm_pb2.Person(id=person_id, name=f"Person {person_id}")


@pytest.mark.parametrize(
    ("persons", "missing"),
    [
        ([7], []),
        ([7, 8, 9], []),
        ([7, 9], []),
        ([7, 8, 8], []),
        ([7, 8], [8]),
        ([7], [9]),
        ([0, 7], [8]),
        ([], []),
        ([], [7, 8, 8]),
        ([], [-7, 8]),
    ],
)
async def test_cards_of_others_than_were_asked_for_or_of_fewer_are_no_answer(persons: list[int], missing: list[int]) -> None:
    answer = answering(crm_service_pb2.BatchGetPersonsResponse(persons=map(person, persons), missing_ids=missing))
    async with HostileCrm(BatchGetPersons=answer) as other, connected(other.address) as crm:
        assert await code_of(crm.persons([7, 8], LONG)) == BAD_ANSWER


def telephone_book(most: int, asked: list[list[int]]) -> Answer:
    """Knows everybody with an even number, and tells of so many persons at most in one answer."""

    async def answer(request: Any, context: Any) -> Any:
        asked.append(list(request.ids))
        if len(request.ids) > most:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "ask for fewer")
        persons = [person(person_id) for person_id in request.ids if person_id % 2 == 0]
        return crm_service_pb2.BatchGetPersonsResponse(persons=persons, missing_ids=[each for each in request.ids if each % 2])

    return answer


async def test_any_number_of_persons_is_asked_for_in_slices_each_person_once() -> None:
    asked: list[list[int]] = []
    async with HostileCrm(BatchGetPersons=telephone_book(MOST_PERSONS, asked)) as other, connected(other.address) as crm:
        found, missing = await crm.persons([*range(1, 451), *range(1, 10)], LONG)
        assert await crm.persons([], LONG) == ({}, set())
    assert {person_id: card.name for person_id, card in found.items()} == {number: f"Person {number}" for number in range(2, 451, 2)}
    assert missing == set(range(1, 451, 2))
    assert [len(ids) for ids in asked] == [200, 200, 50]


async def test_a_crm_whose_answer_would_be_too_large_is_asked_for_half() -> None:
    asked: list[list[int]] = []
    async with HostileCrm(BatchGetPersons=telephone_book(3, asked)) as other, connected(other.address) as crm:
        found, missing = await crm.persons(range(1, 11), LONG)
    assert (set(found), missing) == ({2, 4, 6, 8, 10}, {1, 3, 5, 7, 9})
    assert [len(ids) for ids in asked] == [10, 5, 2, 3, 5, 2, 3]


async def test_a_crm_that_refuses_one_person_is_unavailable() -> None:
    asked: list[list[int]] = []
    async with HostileCrm(BatchGetPersons=telephone_book(0, asked)) as other, connected(other.address) as crm:
        assert await code_of(crm.persons([2, 4], LONG)) == "INVALID_ARGUMENT"
    assert asked == [[2, 4], [2]]


async def test_a_card_that_breaks_our_limits_is_cut_to_them() -> None:
    broken = crm_pb2.Person(
        id=7,
        name=" Ola\nNordmann\0" + "x" * 300,
        email="nobody",
        our_contact_id=-1,
        extra_fields={"long": "v" * 3000, "control": "a\0b\r\nc", "": "x", "n" * 256: "x", "line\n": "x", "empty": ""},
        interests=[crm_pb2.NamedReference(id=number - 5, name="i" * 300) for number in range(1, 2000)],
    )
    crowded = crm_pb2.Person(id=8, extra_fields={f"field {number:03}": "x" for number in range(500)})
    answer = answering(crm_service_pb2.BatchGetPersonsResponse(persons=[broken, crowded]))
    async with HostileCrm(BatchGetPersons=answer) as other, connected(other.address) as crm:
        found, missing = await crm.persons([7, 8], LONG)
    assert (set(found), missing) == ({7, 8}, set())
    card = found[7]
    assert card.name == ("Ola Nordmann " + "x" * 300)[:254]
    assert (card.email, card.our_contact_id) == ("", 0)
    assert card.extra_fields == {"long": "v" * 2047, "control": "ab\r\nc"}
    assert [reference.id for reference in card.interests] == list(range(1, 1001))
    assert {len(reference.name) for reference in card.interests} == {255}
    assert found[8].name == "Person 8"
    assert list(found[8].extra_fields) == [f"field {number:03}" for number in range(200)]


async def test_references_are_checked_from_a_worker_thread_in_slices() -> None:
    asked: list[int] = []

    async def check(request: Any, context: Any) -> Any:
        asked.append(len(request.references))
        return crm_service_pb2.CheckReferencesResponse(missing=[each for each in request.references if each.id % 2])

    async with HostileCrm(CheckReferences=check) as other, connected(other.address) as crm:
        references = [(Catalog.user, number) for number in range(1, 1500)] + [(Catalog.selection, 1)]
        missing = await asyncio.to_thread(crm.missing, references)
        assert await asyncio.to_thread(crm.missing, []) == set()
    assert missing == {(catalog, number) for catalog, number in references if number % 2}
    assert asked == [1000, 500]


@pytest.mark.parametrize("named", [(crm_pb2.CATALOG_SELECTION, 9), (crm_pb2.CATALOG_USER, 5), (0, 5), (99, 5)])
async def test_a_missing_reference_that_was_not_asked_for_is_no_answer(named: tuple[Any, int]) -> None:
    answer = answering(crm_service_pb2.CheckReferencesResponse(missing=[crm_service_pb2.Reference(catalog=named[0], id=named[1])]))
    async with HostileCrm(CheckReferences=answer) as other, connected(other.address) as crm:
        assert await code_of(asyncio.to_thread(crm.missing, REFERENCES)) == BAD_ANSWER


async def test_a_worker_thread_waits_no_longer_than_it_may() -> None:
    async def hang(request: Any, context: Any) -> Any:
        await asyncio.Event().wait()

    async with HostileCrm(CheckReferences=hang) as other, connected(other.address, waiting_seconds=SHORT) as crm:
        assert await code_of(asyncio.to_thread(crm.missing, REFERENCES)) == "DEADLINE_EXCEEDED"


async def test_closing_ends_a_call_under_way_as_unavailable_and_a_cancelled_one_as_cancelled() -> None:
    begun = asyncio.Event()

    async def hang(request: Any, context: Any) -> Any:
        begun.set()
        await asyncio.Event().wait()

    async with HostileCrm(ApplyEffects=hang) as other, connected(other.address) as crm:
        call = asyncio.create_task(crm.apply(ACTIONS, LONG))
        await begun.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        begun.clear()
        call = asyncio.create_task(crm.apply(ACTIONS, LONG))
        await begun.wait()
        await crm.close()
        async with asyncio.timeout(LONG):
            assert await code_of(call) == "CANCELLED"
        assert await code_of(crm.apply(ACTIONS, LONG)) == "UsageError"
