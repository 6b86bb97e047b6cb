"""The front door as a Starlette application: a tracked URL, the pages of special links, its health, and nothing else."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from typing import NoReturn
from urllib.parse import unquote_to_bytes

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Match, NoMatchFound, Route
from starlette.types import ASGIApp, Receive, Scope, Send
from uuid_utils import uuid7

from redirect import pages, token
from redirect.clicks import ClickStream
from redirect.journal import Journal
from redirect.keeping import Keeping
from redirect.recording import Recording
from redirect.replay import Replay
from redirect.retries import retried_click_id
from redirect.sending import language_of, send_answer, send_not_found, send_page, send_unavailable
from redirect.settings import Settings
from redirect.snapshot import Known, Snapshot
from redirect.special import SpecialPages
from redirect.watching import Watching
from trackedlinks.v1 import click_pb2, click_service_pb2

LEFT_BY_MAIL_PROGRAMS = b".,;:!?'\")]}>*_-"
"""What mail programs leave at the end of a URL that they find in text, plain or percent-encoded; no token ends in any of it."""

MOST_LEFT = 8
"""So many of them at most."""

Clock = Callable[[], int]
"""The time, in nanoseconds since 1970."""

METHODS = ("GET", "HEAD", "POST")

CONNECT_SECONDS = 1.0
"""How long a start waits for the server before clicks are taken without it."""

REDIRECT_HEADERS = [
    (b"content-length", b"0"),
    (b"cache-control", b"private, no-store"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-robots-tag", b"noindex, nofollow"),
]

_PREFETCH_HEADERS = {b"sec-purpose": b"prefetch", b"purpose": b"prefetch", b"x-purpose": b"preview", b"x-moz": b"prefetch"}
_MOST_USER_AGENT = 1024
"""Characters that are passed on, of the first three times as many bytes: so 1,000 clicks fit into a message, whatever they say."""


class TokenEndpoint:
    """`/{token}`: the way of a click through the front door, top to bottom. A plain ASGI application, since it is the hot path."""

    def __init__(self, verifier: token.Verifier, recording: Recording, special: SpecialPages, clock: Clock, trusts: bool) -> None:
        """`trusts` a proxy's name for a request: one that is sent again is the same click."""
        self._verifier = verifier
        self._recording = recording
        self._special = special
        self._clock = clock
        self._trusts = trusts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        method = scope["method"]
        if method not in METHODS:
            await send_answer(send, 405, [(b"allow", ", ".join(METHODS).encode()), (b"content-length", b"0")])
            return
        spelling = _token_of(scope)
        claims = self._verifier.verify(spelling)
        if claims is None:
            await send_not_found(send, scope)
            return
        if method == "POST":
            await self._special.act(spelling.decode("ascii"), "", scope, receive, send)
            return
        seen = _evidence(method, scope["headers"])
        if claims.do_not_track:
            seen.ClearField("user_agent")  # nor is it written into the journal
        request = click_service_pb2.RecordClickRequest(
            click_id=self._click_id(scope, spelling), token=spelling.decode("ascii"), evidence=seen
        )
        answer = await self._recording.record(request, claims.placement_id)
        if answer is None:
            await send_unavailable(send, scope)
            return
        match answer.WhichOneof("result"):
            case "location":
                # As it is: Starlette's RedirectResponse quotes URLs again and makes a wrong host of a non-ASCII one (tried).
                await send_answer(send, 302, [(b"location", answer.location.encode("ascii")), *REDIRECT_HEADERS])
            case "page":
                page = answer.page
                await send_page(send, scope, 200, pages.text_page(page.html, page.language, page.title), pages.HEADERS)
            case "special_link":
                await self._special.show(answer.special_link.kind, request.token, scope, send)
            case _:  # the token verifies and the server knows no such placement: TOKEN_INVALID
                await send_not_found(send, scope)

    def _click_id(self, scope: Scope, spelling: bytes) -> str:
        now = self._clock()
        retried = retried_click_id(scope["headers"], spelling, now) if self._trusts else None
        return retried or str(uuid7(nanoseconds=now))  # left to itself uuid7 never goes back, as clocks do that were ahead


class TokenRoute(BaseRoute):
    """Leads to `/{token}`. Asked first and with no pattern: Starlette's patterns cost a tenth of a click (measured)."""

    def __init__(self, endpoint: ASGIApp) -> None:
        self._endpoint = endpoint

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        path = scope["path"]
        return (Match.FULL if len(path) > token.SHORTEST and "/" not in path[1:] else Match.NONE), {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._endpoint(scope, receive, send)

    def url_path_for(self, name: str, /, **path_params: object) -> NoReturn:
        raise NoMatchFound(name, dict(path_params))


class RenewedEndpoint:
    """`/{token}/{renewal}`: a link to manage subscriptions that was renewed."""

    def __init__(self, verifier: token.Verifier, special: SpecialPages) -> None:
        self._verifier = verifier
        self._special = special

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] not in METHODS:
            await send_answer(send, 405, [(b"allow", ", ".join(METHODS).encode()), (b"content-length", b"0")])
            return
        spelling, renewal = scope["path_params"]["token"], scope["path_params"]["renewal"]
        if self._verifier.verify(spelling.encode("utf-8", "surrogateescape")) is None:
            await send_not_found(send, scope)
        elif scope["method"] == "POST":
            await self._special.act(spelling, renewal, scope, receive, send)
        else:
            await self._special.show_renewed(spelling, renewal, scope, send)


def create(settings: Settings | None = None, clock: Clock = time.time_ns) -> Starlette:
    """The application. `clock` says when clicks are. Raises OSError and ValueError when the key file cannot be used."""
    settings = settings or Settings()
    assert settings.key_file is not None
    keys = token.load(settings.key_file)
    verifier = token.Verifier(keys)
    own = settings.directory / "front"
    stream = ClickStream(settings.server, settings.commit_seconds, keys)
    journal = Journal(own / "journal", settings.journal_mebibytes << 20)
    snapshot = Snapshot(own / "snapshot.db")

    async def known(spelling: str) -> Known | None:
        """Where a token leads that was minted with our keys for a placement that there is or was, whatever the server says of it."""
        claims = verifier.verify(spelling.encode("utf-8", "surrogateescape"))
        return await snapshot.answer(claims.placement_id) if claims else None

    async def is_special(spelling: str) -> bool:
        return (found := await known(spelling)) is not None and found.answer.HasField("special_link")

    async def is_click(spelling: str) -> bool:
        return (found := await known(spelling)) is not None and not found.answer.HasField("special_link")

    replay, watching = Replay(journal, stream, is_click), Watching(settings.server, own / "snapshot.db", keys)
    special = SpecialPages(settings.server, is_special)

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        special.start()
        await journal.open()
        stream.start()
        background = [asyncio.create_task(each.run()) for each in (replay, watching)]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CONNECT_SECONDS):
                await stream.connection()
        try:
            yield
        finally:
            await stream.stop()
            for task in background:
                task.cancel()
            await asyncio.gather(*background, return_exceptions=True)
            await journal.close()
            await snapshot.close()
            await special.stop()

    def keys_differ(before: str) -> bool:
        """Whether these are not those with the summary `before`, nor the server's; or, while it cannot be asked, more than those before."""
        if keys.summary() == before or stream.connected:
            return False
        return stream.has_other_keys or not keys.agrees_with(before)

    async def readiness(_: Request) -> Response:
        if stream.connected:
            return PlainTextResponse("ready\n")
        if await snapshot.complete():
            return PlainTextResponse("ready: the server is not connected, clicks go to the journal\n")
        return PlainTextResponse("the server is not connected, and where links lead is not known yet\n", 503)

    async def missing(request: Request, _: Exception) -> Response:
        page = pages.not_found(language_of(request.scope))
        response = Response(b"" if request.method == "HEAD" else page, 404)
        response.raw_headers = [*pages.HEADERS, (b"content-length", str(len(page)).encode())]
        return response

    routes: list[BaseRoute] = [
        TokenRoute(TokenEndpoint(verifier, Recording(stream, journal, snapshot, Keeping(keys)), special, clock, settings.trust_request_id)),
        Route("/healthz", _health),
        Route("/readyz", readiness),
        Route("/robots.txt", _robots),
        Route("/{token}/{renewal}", RenewedEndpoint(verifier, special)),
    ]
    app = Starlette(routes=routes, lifespan=lifespan, exception_handlers={404: missing})
    app.state.keys_differ = keys_differ
    app.router.redirect_slashes = False  # it would redirect to whatever host a request names
    return app


async def _health(_: Request) -> Response:
    return PlainTextResponse("ok\n")


async def _robots(_: Request) -> Response:
    return PlainTextResponse("User-agent: *\nDisallow: /\n")


def _token_of(scope: Scope) -> bytes:
    raw: bytes = scope.get("raw_path") or scope["path"].encode("utf-8", "surrogateescape")
    spelling, encoded, rest = raw.partition(b"?")[0][1:].partition(b"%")
    if encoded and unquote_to_bytes(encoded + rest).strip(LEFT_BY_MAIL_PROGRAMS):
        return b""  # a token has one spelling, and percent signs are not in it
    kept = len(spelling) - MOST_LEFT
    return spelling[:kept] + spelling[kept:].rstrip(LEFT_BY_MAIL_PROGRAMS) if kept > 0 else spelling.rstrip(LEFT_BY_MAIL_PROGRAMS)


def _evidence(method: str, headers: list[tuple[bytes, bytes]]) -> click_pb2.Evidence:
    evidence = click_pb2.Evidence(method=method)
    for name, value in headers:
        if name == b"user-agent":
            evidence.user_agent = value[: 3 * _MOST_USER_AGENT].decode("utf-8", "replace")[:_MOST_USER_AGENT]
        elif name in _PREFETCH_HEADERS and _PREFETCH_HEADERS[name] in value.lower():
            evidence.prefetch = True
    return evidence
