"""The way out for webhooks: each click's events one after the other, with the address and the secret that its action has now."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

from server.actions.webhook import SendWebhook
from server.model.action import ActionState
from server.model.effects import SendEvent
from server.model.webhooks import destination_of
from server.outbox.dispatcher import Tried
from server.outbox.schedule import Schedule
from server.outbox.webhooks import Attempt, Event, WebhookSender
from server.store.outbox import Leased, Settlement
from server.store.outgoing import event_of


class WebhookChannel:
    """Sends events; at most eight of one destination at once."""

    most_under_way = 8
    together = False

    def __init__(self, sender: WebhookSender, schedule: Schedule, clock: Callable[[], datetime], chance: Callable[[], float]) -> None:
        """`chance` gives numbers from 0 to 1, for jitter."""
        self._sender = sender
        self._schedule = schedule
        self._clock = clock
        self._chance = chance

    async def deliver(self, rows: Sequence[Leased]) -> Sequence[Tried]:
        """Sends the events in order; one that fails does not keep the next from being sent."""
        return [await self._send(row) for row in rows]

    async def _send(self, row: Leased) -> Tried:
        event = _event_now(row, self._clock())
        attempt = await self._sender.send(Event(event.id, event.url, event.secrets, event.body.encode()), self._clock())
        return Tried(self._settlement(row, event, attempt), _speaks_for_receiver(attempt))

    def _settlement(self, row: Leased, event: SendEvent, attempt: Attempt) -> Settlement:
        if attempt.delivered:
            return Settlement(row, ActionState.done)
        if attempt.gone:
            return Settlement(row, ActionState.dead, attempt.problem, gone=event.url)
        if attempt.permanent:
            return Settlement(row, ActionState.dead, attempt.problem)
        next_time = self._schedule.next_time(row.schedule_step, self._clock(), self._chance(), attempt.retry_after or 0)
        return Settlement(row, ActionState.retrying if next_time else ActionState.dead, attempt.problem, next_time)


def _speaks_for_receiver(attempt: Attempt) -> bool | None:
    """Whether the attempt says that the receiver is well or down; None for what never reached it."""
    if attempt.receiver_down:
        return False
    return None if attempt.permanent and not attempt.gone else True


def _event_now(row: Leased, now: datetime) -> SendEvent:
    """The event as it was at the click; with the address and the secrets of the action as they are now, if it still sends there."""
    event = event_of(row.destination, row.payload)
    if isinstance(row.kind, SendWebhook) and destination_of(row.kind.url) == row.destination:
        return replace(event, url=row.kind.url, secrets=row.kind.secrets(now))
    return event
