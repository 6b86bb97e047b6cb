"""Sends one event to another system: signed as Standard Webhooks has it, and only to where it may go."""

import asyncio
import os
import re
import socket
import ssl
from collections.abc import Collection, Iterable, Iterator
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import httpcore
import structlog
from ssrfguard import BlockedAddressError, BlockedURLError, Resolver
from standardwebhooks.webhooks import Webhook

from server.model.urls import location_of, problem_of
from server.model.webhooks import Address, address_of, problem_of_address, problem_of_pair, problem_of_secret
from server.outbox.connection import MAX_ANSWER, AnswerTooLong, connection_to, name_lookup

MAX_PROBLEM = 300
MAX_RETRY_AFTER = timedelta(hours=24)
"""How long a receiver may ask us to wait."""

_TARGET = re.compile(rb"[^:]+://[^/?#]*([^#]*)")

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Event:
    """What is to be sent. The id is the same at every attempt; each of the secrets signs, so that a receiver can change over."""

    id: str
    url: str = field(repr=False)
    secrets: tuple[str, ...] = field(repr=False)
    body: bytes = field(repr=False)
    """CloudEvents JSON."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """What became of one attempt to send an event."""

    delivered: bool
    problem: str = ""
    """In words an operator understands, at most 300 characters: nothing of the event, of the answer, or of the URL but its host."""
    retry_after: float | None = None
    """How many seconds the receiver wants to be left alone, 0 to 24 hours, when it says so with 429 or 503."""
    gone: bool = False
    """Whether the receiver wants no more events: 410."""
    permanent: bool = False
    """Whether another attempt makes no sense: the event cannot be sent to there, or not at all."""
    receiver_down: bool = False
    """Whether the problem is one of the receiver and not of this event."""


class WebhookSender:
    """Sends events. `allowed` are pairs like "localhost:8080" that may be private all the same, each meant as it is spelled."""

    def __init__(
        self, allowed: Collection[str] = (), seconds: float = 15.0, *, resolver: Resolver | None = None, tls: ssl.SSLContext | None = None
    ) -> None:
        """An attempt takes `seconds` at most, of which looking the name up takes a third, and each of its addresses another.

        `resolver` looks up names in place of the machine's name servers, and `tls` knows whose certificates to believe in place of
        certifi's list. Raises ValueError when a pair is not spelled as `pair` of an Address has it.
        """
        for pair in allowed:
            if problem := problem_of_pair(pair):
                raise ValueError(problem)
        self._allowed = frozenset(allowed)
        self._seconds = seconds
        self._part = seconds / 3
        # The hosts that an operator allows may be known to this machine's files only, and asking those cannot be given an end. Other
        # names, which anybody may choose, are asked for where it can.
        self._public_names = resolver or name_lookup(self._part)
        self._allowed_names = resolver or socket.getaddrinfo
        self._tls = tls or httpcore.default_ssl_context()

    async def send(self, event: Event, now: datetime) -> Attempt:
        """What became of one attempt; nothing is raised but CancelledError.

        The status decides. What comes after it is read, up to 64 KiB, only so that a receiver that is not done yet is not interrupted.
        """
        if problem := self._unsendable(event):
            return _failed(problem, permanent=True)
        address = address_of(event.url)
        answer: httpcore.Response | None = None
        try:
            async with asyncio.timeout(self._seconds), aclosing(self._connection(address)) as connection:
                target = httpcore.URL(scheme=address.scheme, host=address.host.strip("[]"), port=address.port, target=_target(event.url))
                headers = _headers(event, address, now)
                timeout = {"timeout": {"connect": self._part}}
                async with connection.stream("POST", target, headers=headers, content=event.body, extensions=timeout) as answer:
                    async for _ in answer.aiter_stream():
                        pass
        except Exception as error:  # whatever four libraries and a hostile receiver come up with: the next event is not to suffer for it
            if answer is None:
                return self._unanswered(error, address)
        assert answer is not None
        return _answered(answer, now)

    def _unsendable(self, event: Event) -> str:
        if problem_of(event.url):
            return "refused: its URL is not one that a request can be sent to"
        if problem := problem_of_address(event.url, self._allowed):
            return f"refused: its URL {problem}"
        if not event.secrets:
            return "cannot be signed: it has no secret"
        return next((f"cannot be signed: its secret {problem}" for problem in map(problem_of_secret, event.secrets) if problem), "")

    def _connection(self, address: Address) -> httpcore.AsyncHTTPConnection:
        allowed = address.pair in self._allowed
        return connection_to(address, allowed, self._allowed_names if allowed else self._public_names, self._tls)

    def _unanswered(self, error: Exception, address: Address) -> Attempt:
        """Says why there is no status. Messages of libraries are left out: they quote the answer, and that may quote the event."""
        match error:
            case BlockedAddressError() if error.address == address.host:
                return _failed(f"refused: {address.host} leads to several addresses, and not all of them are public", permanent=True)
            case BlockedAddressError():
                return _failed(f"refused: {address.host} leads to {error.address}: {error.reason}", permanent=True)
            case BlockedURLError():
                return _failed(f"refused: {error.reason}", permanent=True)
            case TimeoutError() | httpcore.ReadTimeout() | httpcore.WriteTimeout():
                return _failed(f"did not answer within {self._seconds:g} s", receiver_down=True)
            case httpcore.ConnectTimeout():
                return _failed(f"took no connection within {self._part:g} s", receiver_down=True)
            case AnswerTooLong():
                return _failed(f"answered more than {MAX_ANSWER // 1024} KiB without a status", receiver_down=True)
            case httpcore.ConnectError() | OSError():
                return _failed(_unconnected(error, address.host), receiver_down=True)
            case httpcore.NetworkError() | httpcore.RemoteProtocolError(__cause__=None):  # no cause: h11 had nothing to complain about
                return _failed("closed the connection before it had answered", receiver_down=True)
            case httpcore.RemoteProtocolError():
                return _failed("did not answer in HTTP", receiver_down=True)
            case _:
                log.error("webhook_defect", exc_info=error)
                return _failed(f"failed here: {type(error).__name__}")


def _failed(problem: str, *, permanent: bool = False, receiver_down: bool = False) -> Attempt:
    shortened = problem if len(problem) <= MAX_PROBLEM else f"{problem[: MAX_PROBLEM - 1]}…"
    return Attempt(False, shortened, permanent=permanent, receiver_down=receiver_down)


def _answered(answer: httpcore.Response, now: datetime) -> Attempt:
    status = answer.status
    if 200 <= status < 300:
        return Attempt(True)
    problem = f"answered {status}: redirects are not followed" if 300 <= status < 400 else f"answered {status}"
    wait = _retry_after(answer.headers, now) if status in (429, 503) else None
    return Attempt(False, problem, wait, gone=status == 410, receiver_down=status == 429 or status >= 500)


def _retry_after(headers: Iterable[tuple[bytes, bytes]], now: datetime) -> float | None:
    """The seconds that a Retry-After header asks for, in either of its forms, or None. Source: RFC 9110, 10.2.3."""
    text = next((value.decode("latin-1").strip() for name, value in headers if name.lower() == b"retry-after"), "")
    if len(text) > 40:
        return None
    longest = MAX_RETRY_AFTER.total_seconds()
    if text.isascii() and text.isdigit():
        return min(float(text), longest)
    try:
        time = parsedate_to_datetime(text)
        seconds = (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp() - now.timestamp()
    except (ValueError, OverflowError):
        return None
    return min(max(seconds, 0.0), longest)


def _target(url: str) -> bytes:
    found = _TARGET.match(location_of(url))
    assert found is not None
    return found[1] if found[1].startswith(b"/") else b"/" + found[1]


def _headers(event: Event, address: Address, now: datetime) -> list[tuple[str, str]]:
    moment, text = now.astimezone(UTC), event.body.decode("utf-8")
    standard_port = address.port == (443 if address.scheme == "https" else 80)
    return [
        ("host", address.host if standard_port else address.pair),
        ("user-agent", "trackedlinks"),
        ("accept-encoding", "identity"),
        ("content-type", "application/cloudevents+json"),
        ("webhook-id", event.id),
        ("webhook-timestamp", str(int(moment.timestamp()))),
        ("webhook-signature", " ".join(Webhook(secret).sign(event.id, moment, text) for secret in event.secrets)),
    ]


def _unconnected(error: Exception, host: str) -> str:
    for cause in _causes(error):
        match cause:
            case ssl.SSLCertVerificationError():
                return f"TLS failed: {cause.verify_message.rstrip('.')}"
            case ssl.SSLError():
                return f"TLS failed: {(cause.reason or 'no reason given').replace('_', ' ').lower()}"
            case socket.gaierror(errno=socket.EAI_NONAME):
                return f"has no address: {host} is no known name"
            case socket.gaierror():
                return f"has no address: no name server answered for {host}"
            case OSError(errno=int(number)):
                return f"took no connection: {os.strerror(number)}"
    return "took no connection"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__
