"""Those who work while recipients click: they list, send, edit, move, delete, reset and add clickers, each at a pace of their own."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from uuid import uuid4

from google.protobuf import field_mask_pb2

from tests.soak.subjects import Subject
from tests.soak.world import World
from trackedlinks.v1 import (
    action_service_pb2,
    click_service_pb2,
    folder_pb2,
    folder_service_pb2,
    link_pb2,
    link_service_pb2,
    mailing_pb2,
    mailing_service_pb2,
)

SENT_TO = 150
"""Recipients of each mailing."""


class Marketers:
    """All of them; `hurry` shortens their pauses for a run of seconds."""

    def __init__(self, world: World, hurry: float = 1.0) -> None:
        self._world = world
        self._hurry = hurry
        self._stubs = world.campaign.stubs
        self._folders: list[int] = []

    async def work(self, until: float) -> None:
        """Works until that time."""
        paces: list[tuple[Callable[[], Awaitable[None]], float]] = [
            (self._list_clicks, 0.5),
            (self._list_clickers, 0.5),
            (self._list_links, 0.5),
            (self._list_mailings, 0.5),
            (self._send, 20),
            (self._track_much, 45),
            (self._edit, 2),
            (self._move, 3),
            (self._delete_and_undelete, 7),
            (self._reset, 15),
            (self._add_clickers, 30),
            (self._try_actions, 5),
        ]
        async with asyncio.TaskGroup() as tasks:
            for what, seconds in paces:
                tasks.create_task(self._again_and_again(what, seconds / self._hurry, until))

    async def _again_and_again(self, what: Callable[[], Awaitable[None]], seconds: float, until: float) -> None:
        while (left := until - time.time()) > 0:
            await asyncio.sleep(min(left, self._world.chance.uniform(0, 2 * seconds)))
            await what()

    def _plain(self) -> Subject:
        return self._world.chance.choice([subject for subject in self._world.subjects if subject.kind == "plain"])

    def _any(self) -> Subject:
        return self._world.chance.choice(self._world.subjects)

    async def _list_clicks(self) -> None:
        request = click_service_pb2.ListClicksRequest(link_id=self._any().link_id, page_size=1000)
        await self._world.call(lambda: self._stubs.clicks.ListClicks(request))

    async def _list_clickers(self) -> None:
        request = click_service_pb2.ListClickersRequest(mailing_id=self._world.chance.choice(self._world.mailings), page_size=1000)
        await self._world.call(lambda: self._stubs.clicks.ListClickers(request))
        runs = action_service_pb2.ListActionRunsRequest(link_id=self._any().link_id, page_size=1000)
        await self._world.call(lambda: self._stubs.actions.ListActionRuns(runs))

    async def _list_links(self) -> None:
        request = link_service_pb2.ListLinksRequest(query=self._any().kind, page_size=1000, order_by="update_time desc")
        await self._world.call(lambda: self._stubs.links.ListLinks(request))
        await self._world.call(lambda: self._stubs.folders.ListFolders(folder_service_pb2.ListFoldersRequest(page_size=1000)))

    async def _list_mailings(self) -> None:
        await self._world.call(lambda: self._stubs.mailings.ListMailings(mailing_service_pb2.ListMailingsRequest(page_size=1000)))
        request = mailing_service_pb2.ListMailingLinksRequest(mailing_id=self._world.chance.choice(self._world.mailings), page_size=1000)
        await self._world.call(lambda: self._stubs.mailings.ListMailingLinks(request))

    async def _send(self) -> None:
        """Not when a restart is near: a front door has to hear of new mailings before it can do without the server."""
        await self._world.calm.wait()
        await self._world.send(SENT_TO)

    async def _track_much(self) -> None:
        """A catalogue of 500 links that is never sent."""
        name = str(uuid4())
        create = mailing_service_pb2.CreateMailingRequest(mailing=mailing_pb2.Mailing(name=name, track_all_links=True), request_id=name)
        mailing = await self._world.call(lambda: self._stubs.mailings.CreateMailing(create))
        html = "".join(f'<a href="https://example.com/{name}/{number}">x</a>' for number in range(500))
        track = mailing_service_pb2.TrackMessageRequest(mailing_id=mailing.id, html=html.encode())
        await self._world.call(lambda: self._stubs.mailings.TrackMessage(track))

    async def _edit(self) -> None:
        """Not when a restart is near, for the same reason."""
        await self._world.calm.wait()
        subject = self._any()
        number = subject.begin_edit(time.time())
        field = "custom_text" if subject.kind == "text" else "form" if subject.kind == "form" else "redirect"
        link = link_pb2.Link(id=subject.link_id, **subject.response(number))
        request = link_service_pb2.UpdateLinkRequest(link=link, update_mask=field_mask_pb2.FieldMask(paths=[field]))
        await self._world.call(lambda: self._stubs.links.UpdateLink(request))
        subject.end_edit(time.time())

    async def _move(self) -> None:
        name = str(uuid4())
        if len(self._folders) > 5:
            gone = self._folders.pop(0)
            delete = folder_service_pb2.DeleteFolderRequest(id=gone, force=True)
            await self._world.call(lambda: self._unless_gone(delete))
        draft = folder_pb2.Folder(name=name, parent_id=self._folders[-1] if self._folders else 0)
        create = folder_service_pb2.CreateFolderRequest(folder=draft, request_id=name)
        folder = await self._world.call(lambda: self._stubs.folders.CreateFolder(create))
        self._folders.append(folder.id)
        request = link_service_pb2.MoveLinksRequest(ids=[self._plain().link_id], folder_id=folder.id)
        await self._world.call(lambda: self._stubs.links.MoveLinks(request))

    async def _unless_gone(self, request: folder_service_pb2.DeleteFolderRequest) -> None:
        """Asked a second time, it may have been done the first time."""
        folders = await self._stubs.folders.ListFolders(folder_service_pb2.ListFoldersRequest(page_size=1000))
        if request.id in {folder.id for folder in folders.folders}:
            await self._stubs.folders.DeleteFolder(request)

    async def _delete_and_undelete(self) -> None:
        subject = self._plain()
        delete, undelete = link_service_pb2.DeleteLinkRequest(id=subject.link_id), link_service_pb2.UndeleteLinkRequest(id=subject.link_id)
        async with self._world.shown:
            await self._world.call(lambda: self._stubs.links.DeleteLink(delete))
            await asyncio.sleep(self._world.chance.uniform(0, 2))
            await self._world.call(lambda: self._stubs.links.UndeleteLink(undelete))

    async def _reset(self) -> None:
        subject = self._plain()
        request = link_service_pb2.ResetLinkRequest(id=subject.link_id, request_id=str(uuid4()))
        self._world.ledger.begin_reset(subject.link_id, time.time())
        await self._world.call(lambda: self._stubs.links.ResetLink(request))
        self._world.ledger.end_reset(subject.link_id, time.time())

    async def _add_clickers(self) -> None:
        name = str(uuid4())
        request = click_service_pb2.AddClickersRequest(link_id=self._any().link_id, new_selection=name, request_id=name)
        await self._world.call(lambda: self._stubs.clicks.AddClickers(request))

    async def _try_actions(self) -> None:
        recipient = mailing_pb2.Recipient(person_id=self._world.people[0].person_id)
        request = action_service_pb2.TestActionsRequest(link_id=self._any().link_id, recipient=recipient)
        await self._world.call(lambda: self._stubs.actions.TestActions(request))
