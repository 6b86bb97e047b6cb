"""Clicks as the server tells them at the end of the mixed load, and the figures that follow from them."""

import sys
from collections.abc import AsyncIterator, Sequence
from typing import Any, NamedTuple

from trackedlinks.v1 import click_pb2, link_pb2, mailing_pb2

HUMAN = "HUMAN"


class Stored(NamedTuple):
    """What a comparison needs of a stored click: an hour has hundreds of thousands."""

    id: str
    placement_id: int
    link_id: int
    mailing_id: int
    identity: str
    verdict: str
    test: bool

    @property
    def counts(self) -> bool:
        """Whether it is in the figures as a click."""
        return self.verdict == HUMAN and not self.test

    @property
    def has_clicker(self) -> bool:
        """Whether somebody is one click further by it."""
        return self.counts and bool(self.identity)


def stored(click: click_pb2.Click) -> Stored:
    """The same click without what nobody compares."""
    who, verdict = sys.intern(identity(click.recipient)), click_pb2.Verdict.Name(click.verdict).removeprefix("VERDICT_")
    return Stored(click.id, click.placement_id, click.link_id, click.mailing_id, who, verdict, click.test)


def identity(recipient: mailing_pb2.Recipient) -> str:
    """Who it is, as `Person.identity` spells it."""
    return f"person {recipient.person_id}" if recipient.person_id else recipient.email


def figures(clicks: Sequence[Stored]) -> tuple[int, int, int]:
    """Clicks, clickers and suspected of some clicks."""
    human = sum(click.counts for click in clicks)
    return human, len({click.identity for click in clicks if click.has_clicker}), sum(not click.test for click in clicks) - human


def told_figures(counts: link_pb2.ClickCounts) -> tuple[int, int, int]:
    """The same as the server tells them."""
    return counts.clicks, counts.clickers, counts.suspected


async def pages(call: Any, request: Any, field: str) -> AsyncIterator[Any]:
    """Everything that a list has, page after page."""
    request.page_size = 1000
    while True:
        page = await call(request)
        for each in getattr(page, field):
            yield each
        request.page_token = page.next_page_token
        if not page.next_page_token:
            return
