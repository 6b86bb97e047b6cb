"""What a form or a mail program posts: small bodies, soon, in one of the two encodings of RFC 8058."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from email.message import Message as Header
from urllib.parse import parse_qsl

from python_multipart.exceptions import FormParserError
from starlette.datastructures import Headers
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.types import Receive, Scope

from redirect.sending import header_of

logging.getLogger("python_multipart").setLevel(logging.CRITICAL)  # it logs a line for each body that is none

MOST_BYTES = 65_536
MOST_FIELDS = 2_100
"""Of the page for managing subscriptions: two for each of 1,000 mailing types, and the button."""

SECONDS = 6.0
"""How long a body may take to arrive."""


class NotAForm(Exception):
    """The body is no form, too large, or too slow; `status` is what HTTP calls that."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Form:
    """The fields of a form, names and values as they were posted."""

    def __init__(self, fields: Sequence[tuple[str, str]]) -> None:
        self._fields = fields

    def get(self, name: str) -> str:
        """The first value of a field, or empty."""
        return next(iter(self.get_all(name)), "")

    def get_all(self, name: str) -> list[str]:
        """Every value of a field, in order."""
        return [value for key, value in self._fields if key == name]


async def read_form(scope: Scope, receive: Receive) -> Form:
    """The posted form. Raises NotAForm."""
    try:
        async with asyncio.timeout(SECONDS):
            body = await _body(receive)
    except TimeoutError:
        raise NotAForm(408) from None
    content_type = Header()
    content_type["content-type"] = header_of(scope, b"content-type")
    match content_type.get_content_type():
        case "application/x-www-form-urlencoded":
            return Form(_urlencoded(body))
        case "multipart/form-data":
            return Form(await _multipart(scope, body))
        case _:
            raise NotAForm(415)


async def _body(receive: Receive) -> bytes:
    body = b""
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise NotAForm(400)
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > MOST_BYTES:
            raise NotAForm(413)
    return body


def _urlencoded(body: bytes) -> list[tuple[str, str]]:
    try:
        return parse_qsl(body.decode("latin-1"), keep_blank_values=True, max_num_fields=MOST_FIELDS)
    except ValueError:
        raise NotAForm(413) from None


async def _multipart(scope: Scope, body: bytes) -> list[tuple[str, str]]:
    async def stream() -> AsyncGenerator[bytes, None]:
        yield body

    try:
        parsed = await MultiPartParser(Headers(scope=scope), stream(), max_files=0, max_fields=MOST_FIELDS).parse()
    except (MultiPartException, FormParserError, KeyError, UnicodeError, ValueError):
        raise NotAForm(400) from None
    return [(name, value) for name, value in parsed.multi_items() if isinstance(value, str)]
