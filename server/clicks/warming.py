"""What a start does before it serves, so that the first recipients do not wait for what is loaded and prepared once."""

import asyncio

import structlog

from server.clicks.answer import text_page
from server.clicks.group_commit import GroupCommit
from server.model.action import text_fields
from server.model.click import Evidence, SeenClick, click_time
from server.model.ids import person_recipient
from server.store.database import without_data

log = structlog.get_logger()


async def warm_up(commit: GroupCommit, click_id: bytes) -> None:
    """Has clicks go all the way but for the commit; nothing of them stays. `click_id` is that of a click now.

    A first click takes tens of milliseconds otherwise, and one in each of the newest mailing's links reads that link. Never raises: of
    what is wrong with a database, clicks tell.
    """
    click = SeenClick(click_id, 0, person_recipient(1), False, False, Evidence("GET", False, "").cleaned())
    try:
        await asyncio.wrap_future(commit.warm_up(click))
    except Exception as error:
        log.warning("not_warmed_up", cause=type(error).__name__, exc_info=without_data(error))
    text_page("<p>{{recipient.name}}</p>", text_fields("Kari", "", "", click_time(click_id)), "", "")
