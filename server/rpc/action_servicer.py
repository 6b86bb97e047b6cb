"""ActionService over gRPC: message in, use case, message out."""

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from server.action_runs import ActionRuns
from server.clicks.way import uuid7_of
from server.model.action import ActionState, TestedAction
from server.model.click import ActionRun
from server.model.errors import Violation, invalid
from server.model.mailing import Recipient
from server.rpc import checks, wire
from server.rpc.calls import run
from server.rpc.filling import fill
from server.rpc.fitting import fitting
from server.rpc.lists import PageTokens
from trackedlinks.v1 import action_service_pb2, action_service_pb2_grpc


class ActionServicer(action_service_pb2_grpc.ActionServiceServicer):
    """Serves the questions about actions."""

    def __init__(self, runs: ActionRuns, tokens: PageTokens) -> None:
        self._runs = runs
        self._tokens = tokens

    def ListActionRuns(self, request: action_service_pb2.ListActionRunsRequest, context: Any) -> action_service_pb2.ListActionRunsResponse:
        with checks.AllAtOnce() as each:
            each(checks.link_or_mailing, request.link_id, request.mailing_id)
            each(checks.person_or_nobody, request.person_id)
            state = each(_state, request.state)
            size = each(self._tokens.page_size, request)
        after = self._tokens.after(request)
        page = self._runs.page(request.link_id, request.mailing_id, request.person_id, state, after, size)
        recipients = self._runs.recipients([found.recipient for found in page.items])
        positions = {(found.click_id, found.action_id): found.position for found in page.items}
        runs, next_key = fitting(
            page,
            lambda found: _run(found, recipients),
            lambda sent: (uuid.UUID(sent.click_id).bytes, positions[sent.click_id, sent.action_id]),
        )
        return action_service_pb2.ListActionRunsResponse(action_runs=runs, next_page_token=self._tokens.token(request, next_key))

    def GetActionRun(self, request: action_service_pb2.GetActionRunRequest, context: Any) -> action_service_pb2.ActionRun:
        with checks.AllAtOnce() as each:
            click_id = each(_click_id, request.click_id)
            each(checks.positive, action_id=request.action_id)
        found = self._runs.get(click_id, request.action_id)
        return _run(found, self._runs.recipients([found.recipient]))

    async def TestActions(self, request: action_service_pb2.TestActionsRequest, context: Any) -> action_service_pb2.TestActionsResponse:
        recipient = await run(_tested_recipient, request)
        return await run(_tested, await self._runs.test(request.link_id, request.mailing_id, recipient))

    def RetryActionRuns(
        self, request: action_service_pb2.RetryActionRunsRequest, context: Any
    ) -> action_service_pb2.RetryActionRunsResponse:
        with checks.AllAtOnce() as each:
            each(checks.not_negative, link_id=request.link_id, mailing_id=request.mailing_id, action_id=request.action_id)
            click_id = each(_click_id, request.click_id) if request.click_id else None
        count = self._runs.retry(request.link_id, request.mailing_id, click_id, request.action_id)
        return action_service_pb2.RetryActionRunsResponse(retried_count=count)

    def ListReceivers(self, request: action_service_pb2.ListReceiversRequest, context: Any) -> action_service_pb2.ListReceiversResponse:
        size = self._tokens.page_size(request)
        page = self._runs.receivers(self._tokens.after(request), size)
        receivers = [wire.to_message(receiver, action_service_pb2.Receiver) for receiver in page.items]
        return action_service_pb2.ListReceiversResponse(receivers=receivers, next_page_token=self._tokens.token(request, page.next_key))


def _tested_recipient(request: action_service_pb2.TestActionsRequest) -> Recipient:
    with checks.AllAtOnce() as each:
        each(checks.positive, link_id=request.link_id)
        each(checks.not_negative, mailing_id=request.mailing_id)
        recipient = each(wire.to_model, request.recipient, Recipient, "recipient")
    return recipient


def _tested(actions: Sequence[TestedAction]) -> action_service_pb2.TestActionsResponse:
    return action_service_pb2.TestActionsResponse(actions=[wire.to_message(each, action_service_pb2.TestedAction) for each in actions])


def _run(found: ActionRun, recipients: Mapping[int, Recipient]) -> action_service_pb2.ActionRun:
    message = wire.to_message(found, action_service_pb2.ActionRun)
    fill(message.recipient, recipients[found.recipient])
    return message


def _state(number: int) -> ActionState | None:
    try:
        return ActionState(number) if number else None
    except ValueError:
        raise invalid(Violation("state", f"must be a state of the contract, not {number}")) from None


def _click_id(text: str) -> bytes:
    click_id = uuid7_of(text)
    if click_id is None:
        raise invalid(Violation("click_id", f"must be a UUIDv7 in its usual spelling, not {text[:60]!r}"))
    return click_id
