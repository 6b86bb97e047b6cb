"""How pages and other answers go out: as raw ASGI messages, since nothing may touch a location or a header."""

from starlette.types import Scope, Send

from redirect import languages, pages

Headers = list[tuple[bytes, bytes]]


async def send_page(send: Send, scope: Scope, status: int, page: bytes, headers: Headers, more: Headers | None = None) -> None:
    """Sends a page with these headers; a HEAD request gets them and no page."""
    length = (b"content-length", str(len(page)).encode())
    await send_answer(send, status, [*headers, length, *(more or [])], b"" if scope["method"] == "HEAD" else page)


async def send_not_found(send: Send, scope: Scope) -> None:
    """The same neutral page for every address that leads nowhere."""
    await send_page(send, scope, 404, pages.not_found(language_of(scope)), pages.HEADERS)


async def send_unavailable(send: Send, scope: Scope) -> None:
    """The page for what could not be done now: the recipient may try again in a few seconds."""
    await send_page(send, scope, 503, pages.unavailable(language_of(scope)), pages.HEADERS, [(b"retry-after", b"5")])


async def send_answer(send: Send, status: int, headers: Headers, body: bytes = b"") -> None:
    """Sends an answer as it is."""
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def language_of(scope: Scope, mailing_language: str = "") -> str:
    """The language of the pages for whoever asks, in a mailing of that language."""
    return languages.choose(header_of(scope, b"accept-language"), mailing_language)


def header_of(scope: Scope, name: bytes) -> str:
    """The value of a header, or empty."""
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == name), "")
