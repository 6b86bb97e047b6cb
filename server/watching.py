"""Where placements lead, for front doors that must send recipients on while this server or its database is away."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote

import structlog

from server.clicks.answer import Page, text_page
from server.model.action import fill_text, text_fields
from server.model.click import SpecialLink
from server.model.link import CustomText, Form, Link, Redirect, form_fields
from server.model.mailing import Mailing
from server.model.url_fields import fill_url, url_fields
from server.store.changes import ChangeStore, Lead, Position
from server.store.destinations import NO_MAILING, answer_of, location
from server.store.given_ids import REMEDY, GivenIds

log = structlog.get_logger()

LOOK_SECONDS = 1.0
MOST = 250
"""Placements that are told at once: with pages of 64 KB each 16 MB."""

Turn = Callable[[], AbstractAsyncContextManager[None]]
"""Waits until the memory of what is told may be used, and has it in its block."""

_KNOWN_TO_ALL = {"link.name", "mailing.name"}
_NEVER = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Standing:
    """What whoever clicks gets, whoever it is: a location, a page, or a special link."""

    answer: str | Page | SpecialLink
    lets_leave: bool = False
    """A click removes its recipient from something, which it does for one who is not to be tracked, too."""
    depends_on_click: bool = False
    """What a click gets has more in it, of who clicks or when, or is chosen by a script."""


@dataclass(frozen=True, slots=True)
class Told:
    """What placements lead to, and how far this comes; without placements, that it is all for now."""

    answers: dict[Standing, list[int]]
    position: Position


class Watching:
    """Tells callers of changes until the server stops."""

    def __init__(self, changes: ChangeStore, given_ids: GivenIds) -> None:
        self._changes = changes
        self._given_ids = given_ids
        self._stopping = asyncio.Event()
        self._reading: set[asyncio.Task[Told]] = set()

    def end(self) -> None:
        """Ends every watch."""
        self._stopping.set()

    async def stop(self) -> None:
        """Returns when none reads the database any more, also of those whose callers have gone."""
        self.end()
        if self._reading:
            await asyncio.wait(self._reading)

    async def since(self, position: Position, turn: Turn, highest_placement_id: int = 0) -> AsyncGenerator[Told, None]:
        """What has changed since then, and whatever changes from now on, each in its turn. Raises STORE_UNAVAILABLE.

        A caller who knows of a placement that this database has not come to yet proves that it was put back.
        """
        if highest_placement_id:
            await asyncio.to_thread(self._compare, highest_placement_id)
        complete = False
        while not self._stopping.is_set():
            async with turn():
                told = await self._told(position)
                position = told.position
                complete, was_complete = not told.answers, complete
                if not (complete and was_complete):
                    yield told
                del told
            if complete:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_SECONDS):
                        await self._stopping.wait()

    async def _told(self, position: Position) -> Told:
        reading = asyncio.create_task(asyncio.to_thread(self._tell, position))
        self._reading.add(reading)
        reading.add_done_callback(self._reading.discard)
        return await asyncio.shield(reading)

    def _tell(self, position: Position) -> Told:
        leads, position = self._changes.after(position, MOST)
        answers: dict[Standing, list[int]] = {}
        for lead in leads:
            answers.setdefault(standing(lead), []).append(lead.placement_id)
        return Told(answers, position)

    def _compare(self, placement_id: int) -> None:
        given = self._given_ids
        if not given.has_given_placement(placement_id) and not given.is_put_back():
            given.say_put_back()
            log.error("database_put_back", known_placement=placement_id, remedy=REMEDY)


def standing(lead: Lead) -> Standing:
    """What anyone who clicks there gets: no script is run, and what is said of the recipient is empty."""
    if isinstance(lead.to, SpecialLink):
        return Standing(lead.to)
    link, mailing = lead.to[0], lead.to[1] or NO_MAILING
    lets_leave = any(action.kind.only_removals() is not None for action in link.actions)
    return Standing(_answer(link, mailing), lets_leave, _depends_on_click(link))


def _depends_on_click(link: Link) -> bool:
    match link.response:
        case Form(url=url):
            fields = {*form_fields(url)}
        case Redirect(url=url):
            fields = {*url_fields(url)}
        case CustomText(html=html):
            fields = {*form_fields(html)} & text_fields("", "", "", _NEVER).keys()
    return bool(fields - _KNOWN_TO_ALL) or any(action.kind.script() for action in link.actions)


def _answer(link: Link, mailing: Mailing) -> str | Page:
    answer = answer_of(link, mailing)
    if answer.text:
        nothing_known = dict.fromkeys(text_fields("", "", "", _NEVER), "")
        return text_page(answer.text, nothing_known | {"link.name": link.name, "mailing.name": mailing.name}, mailing.language, link.name)
    return location(_filled(link, mailing), mailing).location if answer.form else answer.location


def _filled(link: Link, mailing: Mailing) -> str:
    names = {"link.name": link.name, "mailing.name": mailing.name}
    match link.response:
        case Form(url=url):
            return fill_text(url, {name: quote(names.get(name, ""), safe="") for name in form_fields(url)})
        case Redirect(url=url):
            return fill_url(url, names)
        case CustomText():
            raise AssertionError("unreachable: a text has no URL")
