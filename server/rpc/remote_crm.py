"""A CRM of somebody else, over gRPC: whatever it does wrong is CRM_UNAVAILABLE, and nothing it sends is taken beyond our limits."""

import asyncio
import concurrent.futures
import threading
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from typing import TypeVar

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from server.crm.references import Reference
from server.model.crm import Catalog, Person
from server.model.crm_actions import NOT_TAKEN, CrmAction, CrmResult, EffectsOutcome
from server.model.errors import DomainError, Reason
from server.model.reference import EntryReference
from server.model.subscription import Subscriber, Subscription
from server.rpc import effects, wire
from server.rpc.lists import ROOM
from server.rpc.remote_cards import line, to_card, to_subscriptions
from trackedlinks.v1 import crm_service_pb2, crm_service_pb2_grpc

Q = TypeVar("Q")
R = TypeVar("R")
T = TypeVar("T")

MOST_REFERENCES = 1000
MOST_PERSONS = 200
"""Persons in one call: their cards are of some KB each, and an answer has 3.5 MB."""

MOST_WAITING = 16
"""Threads that may wait for the CRM at once."""

MOST_REASON = 300

_OPTIONS = [
    ("grpc.keepalive_time_ms", 10_000),  # a half-open connection is noticed, not waited for
    ("grpc.keepalive_timeout_ms", 3_000),
    ("grpc.max_receive_message_length", 16 * 1024 * 1024),  # a CRM may not have read that an answer has 3.5 MB at most
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
]

BAD_ANSWER = "BAD_ANSWER"
"""Stands for a gRPC code where the call went well and its answer breaks the contract."""

_PROBLEMS = {
    grpc.StatusCode.UNAVAILABLE: "cannot be reached",
    grpc.StatusCode.DEADLINE_EXCEEDED: "did not answer in time",
    grpc.StatusCode.RESOURCE_EXHAUSTED: "has too much to do",
    grpc.StatusCode.UNIMPLEMENTED: "does not have this call, or something else answers at its address",
    grpc.StatusCode.UNAUTHENTICATED: "does not let this server in",
    grpc.StatusCode.PERMISSION_DENIED: "does not let this server in",
    grpc.StatusCode.INVALID_ARGUMENT: "refuses what it was sent",
}

_NAMING_TYPES = ("GetSubscriptions", "SetSubscription")
"""Calls that name a mailing type, and are refused with REFERENCE_NOT_FOUND when the CRM has it no more."""

_OUTCOMES = {crm_service_pb2.EffectsOutcome.Value(f"EFFECTS_OUTCOME_{outcome.name.upper()}"): outcome for outcome in EffectsOutcome}


class RemoteCrm:
    """The CRM at `address` (host:port). Every method raises CRM_UNAVAILABLE, with metadata `code`: a gRPC code or BAD_ANSWER."""

    def __init__(self, address: str, waiting_seconds: float = 5.0) -> None:
        """`waiting_seconds` bounds `missing`. Needs a running event loop; the connection is made by the first call."""
        self._loop = asyncio.get_running_loop()
        self._waiting_seconds = waiting_seconds
        self._waiting = threading.BoundedSemaphore(MOST_WAITING)
        self._channel = grpc.aio.insecure_channel(address, options=_OPTIONS)
        self._stub: crm_service_pb2_grpc.CrmServiceAsyncStub = crm_service_pb2_grpc.CrmServiceStub(self._channel)

    async def close(self) -> None:
        """Ends the connection, and every call under way."""
        await self._channel.close()

    async def apply(self, actions: Sequence[CrmAction], seconds: float) -> list[CrmResult]:
        """Makes what the actions want happen, in their order; what became of each. After an error nothing is known: send them again."""
        deadline = self._deadline(seconds)
        results: list[CrmResult] = []
        for request in _requests(actions):
            answer = await self._call("ApplyEffects", self._stub.ApplyEffects, request, deadline)
            if len(answer.results) != len(request.actions):
                raise _bad_answer("ApplyEffects", f"it has {len(answer.results)} results for {len(request.actions)} actions")
            results += [_result(result) for result in answer.results]
        return results

    async def persons(self, ids: Sequence[int], seconds: float) -> tuple[dict[int, Person], set[int]]:
        """The cards of these persons by id, and the ids of those that the CRM does not know."""
        deadline = self._deadline(seconds)
        found: dict[int, Person] = {}
        missing: set[int] = set()
        for some in _slices(list(dict.fromkeys(ids)), MOST_PERSONS):
            for answer in await self._cards(some, deadline):
                found |= {card.id: to_card(card) for card in answer.persons}
                missing |= set(answer.missing_ids)
        return found, missing

    async def missing_among(self, references: Collection[Reference], seconds: float) -> set[Reference]:
        """Those of the references that do not exist."""
        deadline = self._deadline(seconds)
        missing: set[Reference] = set()
        for some in _slices(sorted(set(references)), MOST_REFERENCES):
            messages = [_reference(catalog, entry_id) for catalog, entry_id in some]
            request = crm_service_pb2.CheckReferencesRequest(references=messages)
            answer = await self._call("CheckReferences", self._stub.CheckReferences, request, deadline)
            asked = {(message.catalog, message.id): reference for message, reference in zip(messages, some, strict=True)}
            if unasked := [each.id for each in answer.missing if (each.catalog, each.id) not in asked]:
                raise _bad_answer("CheckReferences", f"it names {unasked[0]}, which was not asked for")
            missing |= {asked[each.catalog, each.id] for each in answer.missing}
        return missing

    async def subscriptions(self, subscribers: Sequence[Subscriber], mailing_type_id: int, seconds: float) -> list[list[Subscription]]:
        """For each subscriber the mailing types, by id, or only one where it is given. Raises REFERENCE_NOT_FOUND for that."""
        messages = [wire.to_message(each, crm_service_pb2.Subscriber) for each in subscribers]
        request = crm_service_pb2.GetSubscriptionsRequest(subscribers=messages, mailing_type_id=mailing_type_id)
        answer = await self._call("GetSubscriptions", self._stub.GetSubscriptions, request, self._deadline(seconds))
        if len(answer.results) != len(messages):
            raise _bad_answer("GetSubscriptions", f"it has {len(answer.results)} results for {len(messages)} subscribers")
        found = [to_subscriptions(result.subscriptions) for result in answer.results]
        if mailing_type_id:
            found = [[each for each in some if each.mailing_type_id == mailing_type_id] for some in found]
            if not all(found):
                raise _bad_answer("GetSubscriptions", f"it does not say anything of mailing type {mailing_type_id}")
        return found

    async def set_subscription(
        self, subscriber: Subscriber, mailing_type_id: int, subscribed: bool, time: datetime, seconds: float
    ) -> Subscription:
        """What the subscription is once what was wanted at this time is done. Raises REFERENCE_NOT_FOUND for the mailing type."""
        request = crm_service_pb2.SetSubscriptionRequest(
            subscriber=wire.to_message(subscriber, crm_service_pb2.Subscriber), mailing_type_id=mailing_type_id, subscribed=subscribed
        )
        request.change_time.FromDatetime(time)
        answer = await self._call("SetSubscription", self._stub.SetSubscription, request, self._deadline(seconds))
        found = to_subscriptions([answer])
        if not found or found[0].mailing_type_id != mailing_type_id:
            raise _bad_answer("SetSubscription", f"it is about mailing type {answer.mailing_type_id}, not {mailing_type_id}")
        return found[0]

    def missing(self, references: Collection[Reference]) -> set[Reference]:
        """The same for a worker thread, which waits for the event loop. Threads that wait already are an answer too: it is away."""
        if not self._waiting.acquire(blocking=False):
            raise _failed("CheckReferences", grpc.StatusCode.RESOURCE_EXHAUSTED)
        try:
            return self._missing(references)
        finally:
            self._waiting.release()

    def _missing(self, references: Collection[Reference]) -> set[Reference]:
        asking = asyncio.run_coroutine_threadsafe(self.missing_among(references, self._waiting_seconds), self._loop)
        try:
            return asking.result(self._waiting_seconds + 1)
        except (TimeoutError, concurrent.futures.CancelledError) as error:  # the loop has stopped, or has no time for it
            asking.cancel()
            raise _failed("CheckReferences", grpc.StatusCode.DEADLINE_EXCEEDED) from error

    async def _cards(self, ids: Sequence[int], deadline: float) -> list[crm_service_pb2.BatchGetPersonsResponse]:
        """Answers that together have the persons: a CRM refuses a call whose answer would be too large, and is then asked for half."""
        try:
            request = crm_service_pb2.BatchGetPersonsRequest(ids=ids)
            answer = await self._call("BatchGetPersons", self._stub.BatchGetPersons, request, deadline)
        except DomainError as error:
            if len(ids) == 1 or error.metadata["code"] != grpc.StatusCode.INVALID_ARGUMENT.name:
                raise
            middle = len(ids) // 2
            return await self._cards(ids[:middle], deadline) + await self._cards(ids[middle:], deadline)
        if sorted([*(card.id for card in answer.persons), *answer.missing_ids]) != sorted(ids):
            raise _bad_answer("BatchGetPersons", "it is not about the persons asked for")
        return [answer]

    async def _call(self, name: str, method: "grpc.aio.UnaryUnaryMultiCallable[Q, R]", request: Q, deadline: float) -> R:
        try:
            answer = await method(request, timeout=max(deadline - self._loop.time(), 0.0))
        except grpc.aio.AioRpcError as error:
            raise _failed(name, error.code(), reason_of(error)) from None
        except (grpc.RpcError, grpc.aio.UsageError, grpc.aio.InternalError) as error:
            raise _unavailable(f"the CRM could not be called for {name}", type(error).__name__) from error
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            raise _unavailable("the connection to the CRM was closed", grpc.StatusCode.CANCELLED.name) from None  # by close()
        if answer is None:  # so grpc hands out bytes that are no message (tried)
            raise _bad_answer(name, "its bytes are no message")
        return answer

    def _deadline(self, seconds: float) -> float:
        return self._loop.time() + seconds


def _requests(actions: Sequence[CrmAction]) -> Iterator[crm_service_pb2.ApplyEffectsRequest]:
    """As few requests as the limits allow, in order."""
    request, size = crm_service_pb2.ApplyEffectsRequest(), 0
    for action in actions:
        message = effects.to_action_message(action)
        size += message.ByteSize() + 8
        if request.actions and (len(request.actions) == effects.MOST_ACTIONS or size > ROOM):
            yield request
            request, size = crm_service_pb2.ApplyEffectsRequest(), message.ByteSize() + 8
        request.actions.append(message)
    if request.actions:
        yield request


def _result(message: crm_service_pb2.AppliedEffects) -> CrmResult:
    outcome = _OUTCOMES.get(message.outcome)
    if outcome is None:
        raise _bad_answer("ApplyEffects", f"it has an outcome {message.outcome}, which there is not")
    reason = line(message.reason, MOST_REASON) or NOT_TAKEN
    return CrmResult(outcome, reason if outcome is EffectsOutcome.refused else "")


def reason_of(error: grpc.aio.AioRpcError) -> str:
    """The reason of the ErrorInfo in an error of somebody else's server; empty without one."""
    try:
        status = rpc_status.from_call(error)
    except ValueError:  # its details are about another status: not ours to understand
        return ""
    for detail in status.details if status else ():
        info = error_details_pb2.ErrorInfo()
        if detail.Is(info.DESCRIPTOR) and detail.Unpack(info):
            return str(info.reason)
    return ""


def _reference(catalog: Catalog, entry_id: int) -> crm_service_pb2.Reference:
    return wire.to_message(EntryReference(catalog=catalog, id=entry_id), crm_service_pb2.Reference)


def _slices(values: Sequence[T], most: int) -> Iterator[Sequence[T]]:
    return (values[start : start + most] for start in range(0, len(values), most))


def _failed(name: str, code: grpc.StatusCode, reason: str = "") -> DomainError:
    if reason == Reason.reference_not_found.value and name in _NAMING_TYPES:
        return DomainError(Reason.reference_not_found, "the CRM has no such mailing type")
    return _unavailable(f"the CRM {_PROBLEMS.get(code, f'answered {name} with {code.name}')}", code.name)


def _bad_answer(name: str, problem: str) -> DomainError:
    return _unavailable(f"the CRM breaks the contract in its answer to {name}: {problem}", BAD_ANSWER)


def _unavailable(message: str, code: str) -> DomainError:
    return DomainError(Reason.crm_unavailable, message, code=code)
