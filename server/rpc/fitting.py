"""Pages that clients can take: what is beyond their 4 MiB comes with the next page."""

from collections.abc import Callable
from typing import TypeVar

from google.protobuf.message import Message

from server.rpc.lists import ROOM
from server.store.pages import Key, Page

T = TypeVar("T")
P = TypeVar("P", bound=Message)


def fitting(page: Page[T], to_message: Callable[[T], P], key_of: Callable[[P], Key], room: int = ROOM) -> tuple[list[P], Key | None]:
    """The messages of a page that fit in an answer, one at least, and the key of the last of them when more follow."""
    messages: list[P] = []
    for item in page.items:
        message = to_message(item)
        room -= message.ByteSize() + 8
        if messages and room < 0:
            return messages, key_of(messages[-1])
        messages.append(message)
    return messages, page.next_key
