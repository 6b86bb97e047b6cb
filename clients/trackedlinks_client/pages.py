"""Lists, page after page."""

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from google.protobuf.message import Message

Q = TypeVar("Q", bound=Message)

MOST = 1000
"""Entries of a page; the service gives no more."""


def every(list_page: Callable[[Q], Any], request: Q, field: str) -> Iterator[Any]:
    """Every entry of a list RPC: what stands in `field` of each page. The next page is asked for when it is needed."""
    asked: Any = type(request)()
    asked.CopyFrom(request)
    asked.page_size = MOST
    while True:
        page = list_page(asked)
        yield from getattr(page, field)
        if not page.next_page_token:
            return
        asked.page_token = page.next_page_token
