"""Wires the rooms of the server together, starts it, and stops it so that nothing is lost."""

import asyncio
import contextlib
import fcntl
import logging
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog
import uvloop
from uuid_utils import uuid7

from redirect.token import Minter, Verifier
from server.action_runs import ActionRuns
from server.clickers import Clickers
from server.clicks.group_commit import GroupCommit
from server.clicks.way import ClickWay
from server.crm_admin import EmbeddedCrm
from server.folders import Folders
from server.keyring import open_keys
from server.links import Links
from server.mailings import Mailings
from server.model.errors import DomainError
from server.rendering import Rendering
from server.rpc.action_servicer import ActionServicer
from server.rpc.click_servicer import ClickServicer
from server.rpc.crm_servicer import CrmServicer
from server.rpc.embedded_crm_servicer import EmbeddedCrmServicer
from server.rpc.folder_servicer import FolderServicer
from server.rpc.link_servicer import LinkServicer
from server.rpc.lists import PageTokens
from server.rpc.mailing_servicer import MailingServicer
from server.rpc.serving import Service, Serving
from server.settings import Settings
from server.store.action_run_list import ActionRunStore
from server.store.added_clickers import AddedClickerStore
from server.store.clickers import ClickerStore
from server.store.crm import CrmStore
from server.store.crm_activities import ActivityStore
from server.store.crm_entries import EntryStore
from server.store.database import Database, NotADatabase
from server.store.folders import FolderStore
from server.store.keys import KeyStore
from server.store.links import LinkStore
from server.store.mailings import MailingStore
from server.store.messages import MessageStore
from server.store.migrate import WrongVersion, check, migrate
from server.store.placements import PlacementStore
from server.store.recipients import RecipientStore
from server.store.resets import ResetStore
from server.sweeping import Sweeping
from server.tracking import Tracking
from server.urls import Minting
from trackedlinks.v1 import (
    action_service_pb2_grpc,
    click_service_pb2_grpc,
    crm_service_pb2_grpc,
    embedded_crm_service_pb2_grpc,
    folder_service_pb2_grpc,
    link_service_pb2_grpc,
    mailing_service_pb2_grpc,
)

log = structlog.get_logger()


def now() -> datetime:
    """The time, UTC: the one clock of the server."""
    return datetime.now(UTC)


def new_click_id() -> bytes:
    """An id for a click that happens now."""
    return uuid7().bytes


@dataclass(frozen=True, slots=True)
class House:
    """The server's rooms, put together."""

    serving: Serving
    sweeping: Sweeping
    clicks: ClickServicer

    async def start(self) -> None:
        """Begins to serve."""
        await self.serving.start()
        self.sweeping.start()

    async def stop(self, drain_seconds: float) -> None:
        """Takes no new calls, lets those under way finish for so long, and ends."""
        self.clicks.drain()
        await self.serving.stop(drain_seconds)
        await self.sweeping.stop()


async def serve(settings: Settings) -> None:
    """Serves until SIGTERM or SIGINT. Raises SystemExit, saying what to do, when it cannot start."""
    database = open_database(settings)
    try:
        house = wire(settings, database)
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await house.start()
        log.info("serving", address=f"{settings.listen.rpartition(':')[0]}:{house.serving.port}", database=database.dialect)
        await stop.wait()
        log.info("stopping")
        await house.stop(settings.drain_seconds)
    finally:
        database.close()
    log.info("stopped")


def open_database(settings: Settings) -> Database:
    """The database, in the state that this code expects: SQLite is migrated here, PostgreSQL by `python -m server migrate`."""
    database = Database(settings.database_url)
    try:
        if database.is_sqlite:
            migrate(database)
        else:
            check(database)
    except WrongVersion as error:
        database.close()
        raise SystemExit(str(error)) from error
    except (DomainError, NotADatabase) as error:
        database.close()
        raise SystemExit(f"{error} ({settings.database_url.partition('@')[2] or settings.database_url})") from error
    return database


def wire(settings: Settings, database: Database) -> House:
    """Every room of the server, put together. Raises SystemExit, saying what to do, when it cannot listen or has no keys."""
    assert settings.key_file is not None
    keys = open_keys(settings.key_file, KeyStore(database))
    tokens = PageTokens(keys.derived("page tokens"))
    crm = CrmStore(database)
    embedded_crm = EmbeddedCrm(crm, EntryStore(database), ActivityStore(database))
    mailings, messages = MailingStore(database), MessageStore(database)
    minting = Minting(Minter(keys), PlacementStore(database), mailings, messages, settings.public_url)

    way = ClickWay(Verifier(keys), GroupCommit(database, settings.most_waiting_clicks), now)
    click_servicer = ClickServicer(
        way, Clickers(ClickerStore(database), RecipientStore(database), AddedClickerStore(database)), tokens, keys.summary()
    )
    folder_servicer = FolderServicer(Folders(FolderStore(database), now), tokens)
    link_servicer = LinkServicer(Links(LinkStore(database), crm, now), tokens)
    mailing_servicer = MailingServicer(
        Mailings(mailings, crm, now), Tracking(mailings, messages, now), Rendering(mailings, messages, minting), minting, tokens
    )
    action_servicer = ActionServicer(ActionRuns(ActionRunStore(database), RecipientStore(database), new_click_id), tokens)
    services: list[Service] = [
        (action_service_pb2_grpc.add_ActionServiceServicer_to_server, action_servicer, "trackedlinks.v1.ActionService"),
        (click_service_pb2_grpc.add_ClickServiceServicer_to_server, click_servicer, "trackedlinks.v1.ClickService"),
        (crm_service_pb2_grpc.add_CrmServiceServicer_to_server, CrmServicer(embedded_crm), "trackedlinks.v1.CrmService"),
        (
            embedded_crm_service_pb2_grpc.add_EmbeddedCrmServiceServicer_to_server,
            EmbeddedCrmServicer(embedded_crm, tokens),
            "trackedlinks.v1.EmbeddedCrmService",
        ),
        (folder_service_pb2_grpc.add_FolderServiceServicer_to_server, folder_servicer, "trackedlinks.v1.FolderService"),
        (link_service_pb2_grpc.add_LinkServiceServicer_to_server, link_servicer, "trackedlinks.v1.LinkService"),
        (mailing_service_pb2_grpc.add_MailingServiceServicer_to_server, mailing_servicer, "trackedlinks.v1.MailingService"),
    ]
    try:
        return House(Serving(settings.listen, services), Sweeping(ResetStore(database)), click_servicer)
    except RuntimeError as error:
        raise SystemExit(
            f"cannot listen on {settings.listen}: is another server running there? (TRACKEDLINKS_LISTEN sets another address)"
        ) from error


def run(settings: Settings) -> None:
    """Serves with uvloop and structured logs on standard error."""
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    logging.getLogger("grpc._cython.cygrpc").setLevel(
        logging.CRITICAL
    )  # a traceback for each client that leaves; defects are logged in rpc/
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.format_exc_info,
            structlog.processors.KeyValueRenderer(key_order=["timestamp", "level", "event"]),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    with only_one(settings):
        uvloop.run(serve(settings))


@contextlib.contextmanager
def only_one(settings: Settings) -> Iterator[None]:
    """Holds the directory for this process if its database is the embedded one. Raises SystemExit, naming the process that has it."""
    try:
        settings.directory.mkdir(parents=True, exist_ok=True)
        lock_file = (settings.directory / "server.lock").open("a+")
    except OSError as error:
        raise SystemExit(f"{settings.directory} cannot be used: {error.strerror} (TRACKEDLINKS_DIRECTORY sets another)") from None
    if not settings.database_url.startswith("sqlite"):
        lock_file.close()
        yield
        return
    with lock_file as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.seek(0)
            raise SystemExit(f"{settings.directory} is in use by the server with process id {lock.read().strip() or 'unknown'}") from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield
