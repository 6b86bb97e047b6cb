"""The server's rooms, put together: how they are wired, started, and stopped so that nothing is lost."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import random

from uuid_utils import uuid7

from redirect.token import Minter, Verifier
from server.action_runs import CARD_SECONDS, ActionRuns
from server.clickers import Clickers
from server.clicks.group_commit import GroupCommit
from server.clicks.preparing import Preparing
from server.clicks.sandbox import Sandbox
from server.clicks.warming import warm_up
from server.clicks.way import ClickWay
from server.condition import Condition
from server.crm.remote import parse_crm
from server.crm.subscriptions import EmbeddedSubscriptions
from server.crm_admin import EmbeddedCrm
from server.folders import Folders
from server.keyring import open_keys, open_mark
from server.links import Links
from server.mailings import Mailings
from server.model.crm import Person
from server.online import Viewing
from server.outbox.crm_channel import CrmChannel
from server.outbox.dispatcher import Dispatcher
from server.outbox.schedule import Schedule
from server.outbox.subscription_changes import SubscriptionChanges
from server.outbox.waiting import Waiting
from server.outbox.webhook_channel import WebhookChannel
from server.outbox.webhooks import WebhookSender
from server.rendering import Rendering
from server.rpc.action_servicer import ActionServicer
from server.rpc.click_servicer import ClickServicer
from server.rpc.crm_servicer import CrmServicer
from server.rpc.embedded_crm_servicer import EmbeddedCrmServicer
from server.rpc.folder_servicer import FolderServicer
from server.rpc.link_servicer import LinkServicer
from server.rpc.lists import PageTokens
from server.rpc.mailing_servicer import MailingServicer
from server.rpc.recipient_servicer import RecipientServicer
from server.rpc.remote_crm import RemoteCrm
from server.rpc.script_servicer import ScriptServicer
from server.rpc.serving import Service, Serving
from server.rpc.threads import Threads
from server.scripts import Scripts
from server.settings import Settings
from server.special_links import SpecialLinks, Validity
from server.store.action_run_list import ActionRunStore
from server.store.added_clickers import AddedClickerStore
from server.store.changes import ChangeStore
from server.store.clickers import ClickerStore
from server.store.crm import CrmStore
from server.store.crm_activities import ActivityStore
from server.store.crm_entries import EntryStore
from server.store.database import Database
from server.store.folders import FolderStore
from server.store.kept import KeptStore
from server.store.keys import KeyStore
from server.store.links import LinkStore
from server.store.mailings import MailingStore
from server.store.messages import MessageStore
from server.store.outbox import OutboxStore
from server.store.placements import PlacementStore
from server.store.recipients import RecipientStore
from server.store.resets import ResetStore
from server.store.scripts import ScriptStore
from server.store.special_placements import SpecialPlacementStore
from server.store.subscription_changes import SubscriptionChangeStore
from server.store.subscriptions import SubscriptionStore
from server.subscriptions import Subscriptions
from server.sweeping import Sweeping
from server.tracking import Tracking
from server.urls import Minting
from server.watching import Watching
from trackedlinks.v1 import (
    action_service_pb2_grpc,
    click_service_pb2_grpc,
    crm_service_pb2_grpc,
    embedded_crm_service_pb2_grpc,
    folder_service_pb2_grpc,
    link_service_pb2_grpc,
    mailing_service_pb2_grpc,
    recipient_service_pb2_grpc,
    script_service_pb2_grpc,
)


def now() -> datetime:
    """The time, UTC: the one clock of the server."""
    return datetime.now(UTC)


def new_click_id() -> bytes:
    """An id for a click that happens now. Left to itself uuid7 never goes back, and would stay ahead for as long as the clock once was."""
    return uuid7(nanoseconds=time.time_ns()).bytes


@dataclass(frozen=True, slots=True)
class House:
    """The server's rooms, put together."""

    serving: Serving
    sweeping: Sweeping
    dispatcher: Dispatcher
    sandbox: Sandbox
    remote: RemoteCrm | None
    subscription_changes: SubscriptionChanges
    watching: Watching
    commit: GroupCommit
    condition: Condition

    async def start(self) -> None:
        """Begins to serve."""
        asyncio.get_running_loop().set_default_executor(Threads())
        await self.sandbox.start()
        await warm_up(self.commit, new_click_id())
        await self.serving.start()
        self.condition.start()
        self.sweeping.start()
        self.dispatcher.start()
        self.subscription_changes.start()

    async def stop(self, drain_seconds: float, notice_seconds: float = 0) -> None:
        """Says NOT_SERVING for so long, takes no new calls, lets those under way finish for so long, and ends."""
        await self.serving.leave()
        await asyncio.sleep(notice_seconds)
        self.watching.end()
        await self.serving.stop(drain_seconds)
        await self.condition.stop()
        await self.watching.stop()
        await self.dispatcher.stop(drain_seconds)
        await self.sweeping.stop()
        await self.sandbox.stop()
        await self.subscription_changes.stop()
        if self.remote is not None:
            await self.remote.close()


def wire(settings: Settings, database: Database, now: Callable[[], datetime] = now) -> House:
    """Every room of the server, put together; `now` is its clock.

    Raises SystemExit, saying what to do, when it cannot listen or has no keys.
    """
    assert settings.key_file is not None
    assert settings.mark_file is not None
    keys = open_keys(settings.key_file, KeyStore(database))
    given_ids = open_mark(settings.mark_file, database)
    tokens = PageTokens(keys.derived("page tokens"))
    address = parse_crm(settings.crm)
    remote = RemoteCrm(address) if address else None
    crm = CrmStore(database)
    references = remote or crm
    mailings, messages, links, scripts = MailingStore(database), MessageStore(database), LinkStore(database), ScriptStore(database)
    kept = KeptStore(database)
    minting = Minting(Minter(keys), PlacementStore(database), mailings, messages, kept, given_ids, settings.public_url, now)

    sender = WebhookSender(settings.webhook_allow)
    outbox = OutboxStore(database)
    if database.is_sqlite:
        outbox.release()  # nobody else has the database: what a server before this one had under way is tried again at once
    dispatcher = _dispatcher(settings, outbox, sender, remote, now)
    waiting = Waiting(dispatcher, remote, settings.outside_wait)
    sandbox = Sandbox(settings.script_workers)
    preparing = Preparing(sandbox, waiting.card)

    commit = GroupCommit(database, settings.most_waiting_clicks, now, crm_is_remote=remote is not None)
    verifier = Verifier(keys)
    way = ClickWay(verifier, commit, preparing, waiting, now)
    recipients = RecipientStore(database)
    clickers = Clickers(ClickerStore(database), recipients, AddedClickerStore(database), remote)
    watching = Watching(ChangeStore(database), given_ids)
    click_servicer = ClickServicer(way, clickers, tokens, keys.summary(), watching)
    runs = ActionRuns(
        ActionRunStore(database, remote is not None), outbox, recipients, preparing, remote, new_click_id, waiting.left_something, now
    )
    mailing_servicer = MailingServicer(
        Mailings(mailings, references, now), Tracking(mailings, messages, now), Rendering(mailings, messages, minting), minting, tokens
    )
    special = SpecialLinks(verifier, SpecialPlacementStore(database))
    validity = Validity(keys.derived("renewed subscription links"), kept, timedelta(days=settings.subscription_link_days))
    subscription_crm = remote or EmbeddedSubscriptions(SubscriptionStore(database))
    changes = SubscriptionChanges(SubscriptionChangeStore(database), recipients, subscription_crm, now)
    recipient_servicer = RecipientServicer(
        Subscriptions(special, validity, changes, settings.public_url, now),
        Viewing(special, messages, kept, minting),
    )
    services: list[Service] = [
        (action_service_pb2_grpc.add_ActionServiceServicer_to_server, ActionServicer(runs, tokens), "trackedlinks.v1.ActionService"),
        (click_service_pb2_grpc.add_ClickServiceServicer_to_server, click_servicer, "trackedlinks.v1.ClickService"),
        (
            folder_service_pb2_grpc.add_FolderServiceServicer_to_server,
            FolderServicer(Folders(FolderStore(database), now), tokens),
            "trackedlinks.v1.FolderService",
        ),
        (
            link_service_pb2_grpc.add_LinkServiceServicer_to_server,
            LinkServicer(Links(links, references, scripts, settings.webhook_allow, now), tokens),
            "trackedlinks.v1.LinkService",
        ),
        (mailing_service_pb2_grpc.add_MailingServiceServicer_to_server, mailing_servicer, "trackedlinks.v1.MailingService"),
        (
            recipient_service_pb2_grpc.add_RecipientServiceServicer_to_server,
            recipient_servicer,
            "trackedlinks.v1.RecipientService",
        ),
        (
            script_service_pb2_grpc.add_ScriptServiceServicer_to_server,
            ScriptServicer(Scripts(scripts, links, mailings, _card(remote, crm), sandbox, now), tokens),
            "trackedlinks.v1.ScriptService",
        ),
    ]
    if remote is None:
        services += _embedded_crm(database, crm, tokens)
    try:
        serving = Serving(settings.listen, services)
    except RuntimeError as error:
        raise SystemExit(
            f"cannot listen on {settings.listen}: is another server running there? (TRACKEDLINKS_LISTEN sets another address)"
        ) from error
    condition = Condition(database, given_ids, serving.say_database)
    return House(serving, Sweeping(ResetStore(database), kept, now), dispatcher, sandbox, remote, changes, watching, commit, condition)


def _card(remote: RemoteCrm | None, embedded: CrmStore) -> Callable[[int], Awaitable[Person | None]]:
    async def card(person_id: int) -> Person | None:
        if remote is not None:
            return (await remote.persons([person_id], CARD_SECONDS))[0].get(person_id)
        found, _ = await asyncio.to_thread(embedded.persons, [person_id])
        return found[0] if found else None

    return card


def _dispatcher(
    settings: Settings, outbox: OutboxStore, sender: WebhookSender, remote: RemoteCrm | None, now: Callable[[], datetime]
) -> Dispatcher:
    schedule = Schedule(settings.retry_seconds)
    webhooks = WebhookChannel(sender, schedule, now, random)
    return Dispatcher(outbox, webhooks, CrmChannel(remote, schedule, now, random) if remote else None, now, schedule.patience)


def _embedded_crm(database: Database, crm: CrmStore, tokens: PageTokens) -> list[Service]:
    embedded = EmbeddedCrm(crm, EntryStore(database), ActivityStore(database), SubscriptionStore(database))
    return [
        (crm_service_pb2_grpc.add_CrmServiceServicer_to_server, CrmServicer(embedded), "trackedlinks.v1.CrmService"),
        (
            embedded_crm_service_pb2_grpc.add_EmbeddedCrmServiceServicer_to_server,
            EmbeddedCrmServicer(embedded, tokens),
            "trackedlinks.v1.EmbeddedCrmService",
        ),
    ]
