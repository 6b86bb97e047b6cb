"""Sending one event: what the receiver gets, what becomes of an attempt, and what receivers cannot do to us."""

import asyncio
import base64
import gc
import gzip
import json
import ssl
import threading
import tracemalloc
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook, WebhookVerificationError
from structlog.testing import capture_logs

from server.model.urls import problem_of
from server.model.webhooks import destination_of, problem_of_address, problem_of_secret
from server.outbox.connection import MAX_ANSWER
from server.outbox.webhooks import Attempt, Event, WebhookSender
from tests.support.receivers import (
    Behaviour,
    NameServer,
    Received,
    Receiver,
    answers,
    closes,
    garbage,
    goes_on,
    hangs,
    long_body,
    ok,
    redirects,
    resets,
    says,
    tls_of_hooks_test,
    trickles,
    trickling_body,
    trickling_head,
)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECRET = "whsec_" + base64.b64encode(b"first secret, of 24 bytes").decode()
OTHER_SECRET = "whsec_" + base64.b64encode(bytes(range(64))).decode()
BODY = b'{"specversion":"1.0","data":{"email":"k\xc3\xa5ri@hush.example"}}'
TLS = ssl.create_default_context()
HEAD = b"HTTP/1.1 200 OK\r\n"
TOO_EARLY = "closed the connection before it had answered"
NO_HTTP = "did not answer in HTTP"
TOO_LONG = "answered more than 64 KiB without a status"
TOO_LATE = "did not answer within 0.5 s"


def event_to(url: str, *secrets: str, event_id: str = "0199-1_7") -> Event:
    return Event(event_id, url, secrets or (SECRET,), BODY)


async def send(receiver: Receiver, target: str = "/hook?token=hush", seconds: float = 15.0, now: datetime = NOW) -> Attempt:
    return await WebhookSender([receiver.pair], seconds, tls=TLS).send(event_to(receiver.url(target)), now)


async def attempt_at(behaviour: Behaviour, seconds: float = 3600.0, now: datetime = NOW) -> Attempt:
    """An attempt at a receiver that behaves so; what goes on for ever is not to be ended by time, unless a test says so."""
    async with Receiver(behaviour) as receiver:
        attempt = await send(receiver, seconds=seconds, now=now)
        assert receiver.connections == 1
    assert len(attempt.problem) <= 300
    for secret in (SECRET, SECRET.removeprefix("whsec_"), "hush", "hook", "email", "specversion"):
        assert secret not in attempt.problem
    return attempt


async def test_the_receiver_gets_a_signed_event_and_nothing_else() -> None:
    async with Receiver() as receiver:
        assert await send(receiver, now=NOW + timedelta(seconds=0.9)) == Attempt(True)
        (request,) = await receiver.received(1)
    signature = Webhook(SECRET).sign("0199-1_7", NOW, BODY.decode())
    headers = {
        "host": receiver.pair,
        "user-agent": "trackedlinks",
        "accept-encoding": "identity",
        "content-type": "application/cloudevents+json",
        "content-length": str(len(BODY)),
        "webhook-id": "0199-1_7",
        "webhook-timestamp": str(int(NOW.timestamp())),
        "webhook-signature": signature,
    }
    assert request == Received("POST", "/hook?token=hush", headers, BODY)


async def test_each_of_two_secrets_verifies_the_event_and_no_other_does() -> None:
    now = datetime.now(UTC)  # the library looks at the clock
    async with Receiver() as receiver:
        sender = WebhookSender([receiver.pair], tls=TLS)
        await sender.send(event_to(receiver.url(), SECRET, OTHER_SECRET), now.astimezone())
        (request,) = await receiver.received(1)
    headers = dict(request.headers)
    assert Webhook(SECRET).verify(request.body, headers) == json.loads(BODY)
    assert Webhook(OTHER_SECRET).verify(request.body, headers) == json.loads(BODY)
    with pytest.raises(WebhookVerificationError):
        Webhook("whsec_" + base64.b64encode(b"x" * 24).decode()).verify(request.body, headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(request.body + b" ", headers)


async def test_an_event_keeps_its_id_and_takes_the_time_of_the_attempt() -> None:
    async with Receiver(answers(500), ok) as receiver:
        event = event_to(receiver.url())
        sender = WebhookSender([receiver.pair], tls=TLS)
        assert await sender.send(event, NOW) == Attempt(False, "answered 500", receiver_down=True)
        assert await sender.send(event, NOW + timedelta(hours=1)) == Attempt(True)
        first, second = await receiver.received(2)
    assert first.headers["webhook-id"] == second.headers["webhook-id"] == "0199-1_7"
    assert int(second.headers["webhook-timestamp"]) - int(first.headers["webhook-timestamp"]) == 3600
    assert first.body == second.body


@pytest.mark.parametrize(
    ("target", "sent"),
    [
        ("", "/"),
        ("?a=1", "/?a=1"),
        ("#part", "/"),
        ("/a//b/../c;d?", "/a//b/../c;d?"),
        ("/100%25%2f%zz|\"'{}[]^`?q=[1]&x=a+b#part?no", "/100%25%2f%zz|\"'{}[]^`?q=[1]&x=a+b"),
        ("/a b?å=ø", "/a%20b?%C3%A5=%C3%B8"),
        ("/http://other.example/@x", "/http://other.example/@x"),
    ],
)
async def test_the_url_goes_out_as_it_is_stored(target: str, sent: str) -> None:
    async with Receiver() as receiver:
        assert (await send(receiver, target)).delivered
        assert [request.target for request in await receiver.received(1)] == [sent]


async def test_the_environment_has_no_say(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Receiver(closes) as proxy, Receiver() as receiver:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url())
        assert (await send(receiver)).delivered
        assert proxy.connections == 0


async def test_a_cookie_is_not_kept() -> None:
    async with Receiver(answers(200, set_cookie="session=1; Path=/")) as receiver:
        sender = WebhookSender([receiver.pair], tls=TLS)
        for _ in range(2):
            await sender.send(event_to(receiver.url()), NOW)
        assert not any("cookie" in request.headers for request in await receiver.received(2))


@pytest.mark.parametrize("status", [200, 201, 202, 204, 205, 299])
async def test_every_2xx_is_a_delivery(status: int) -> None:
    assert await attempt_at(answers(status)) == Attempt(True)


@pytest.mark.parametrize(
    ("status", "attempt"),
    [
        *[(status, Attempt(False, f"answered {status}: redirects are not followed")) for status in (300, 301, 302, 303, 304, 307, 308)],
        *[(status, Attempt(False, f"answered {status}")) for status in (400, 401, 403, 404, 405, 408, 413, 422, 451)],
        (410, Attempt(False, "answered 410", gone=True)),
        *[(status, Attempt(False, f"answered {status}", receiver_down=True)) for status in (429, 500, 502, 503, 504, 530, 999)],
    ],
)
async def test_every_other_status_is_a_failure_that_says_whose(status: int, attempt: Attempt) -> None:
    assert await attempt_at(answers(status, b"the body says hush")) == attempt


@pytest.mark.parametrize("to", ["https://elsewhere.example/", "/", "//[bad", "http://127.0.0.1:1/", "\x01", ""])
async def test_a_redirect_is_not_followed_wherever_it_leads(to: str) -> None:
    assert await attempt_at(redirects(to)) == Attempt(False, "answered 302: redirects are not followed")


@pytest.mark.parametrize(
    ("behaviour", "problem"),
    [
        (closes, TOO_EARLY),
        (resets, TOO_EARLY),
        (garbage, TOO_EARLY),
        (says(b"hello"), TOO_EARLY),
        (says(HEAD), TOO_EARLY),
        (says(b"HTTP/1.1 100 Continue\r\n\r\n"), TOO_EARLY),
        (says(b"hello\r\n\r\n"), NO_HTTP),
        (says(b"POST /hook?token=hush HTTP/1.1\r\n\r\n" + BODY), NO_HTTP),
        (says(b"\r\n\r\n"), NO_HTTP),
        (says(b"\x16\x03\x01\x00\x05"), NO_HTTP),
        (says(b"HTTP/2 200\r\n\r\n"), NO_HTTP),
        (says(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), NO_HTTP),
        (says(b"HTTP/1.1 99 OK\r\n\r\n"), NO_HTTP),
        (says(b"HTTP/1.1 099 OK\r\n\r\n"), NO_HTTP),
        (says(b"HTTP/1.1 2000 OK\r\n\r\n"), NO_HTTP),
        (says(HEAD + b"no colon\r\n\r\n"), NO_HTTP),
        (says(HEAD + b" folded\r\n\r\n"), NO_HTTP),
        (says(HEAD + b"x: \x00\r\n\r\n"), NO_HTTP),
        (says(HEAD + b"content-length: -1\r\n\r\n"), NO_HTTP),
        (says(HEAD + b"content-length: 1\r\ncontent-length: 2\r\n\r\n"), NO_HTTP),
        (says(HEAD + b"content-length: " + b"9" * 5000 + b"\r\n\r\n"), NO_HTTP),
        (says(HEAD + b"transfer-encoding: gzip, chunked\r\n\r\n"), NO_HTTP),
        (says(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n"), NO_HTTP),
        (goes_on(b"", b"\r\n"), NO_HTTP),
        (goes_on(b"", b"\x00"), NO_HTTP),
        (goes_on(b"HTTP/1.1 200 ", b"OK "), TOO_LONG),
        (goes_on(HEAD, b"x: " + b"y" * 100 + b"\r\n"), TOO_LONG),
        (goes_on(HEAD + b"x: ", b"y"), TOO_LONG),
        (goes_on(HEAD + b"x: y\r\n", b" folded\r\n"), TOO_LONG),
        (goes_on(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), TOO_LONG),
        (goes_on(b"", b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n"), TOO_LONG),
    ],
)
async def test_a_receiver_that_does_not_answer_properly_is_down(behaviour: Behaviour, problem: str) -> None:
    assert await attempt_at(behaviour) == Attempt(False, problem, receiver_down=True)


@pytest.mark.parametrize(
    "behaviour", [hangs, trickling_head, trickles(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), trickles(HEAD + b"x: ", b"y")]
)
async def test_a_receiver_that_never_gets_to_a_status_is_given_up_on(behaviour: Behaviour) -> None:
    """They go on for ever, so a limit for each read instead of all together would never end this."""
    assert await attempt_at(behaviour, seconds=0.5) == Attempt(False, TOO_LATE, receiver_down=True)


@pytest.mark.parametrize(
    "behaviour",
    [
        long_body(),
        says(HEAD + b"content-length: 9\r\n\r\nhalf"),
        says(HEAD + b"transfer-encoding: chunked\r\n\r\nnot a length\r\n"),
        says(HEAD + b"content-encoding: gzip\r\n\r\n" + gzip.compress(b"x" * 10_000_000)),
        goes_on(HEAD + b"transfer-encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
        goes_on(HEAD + b"transfer-encoding: chunked\r\n\r\n0\r\n", b"x: y\r\n"),
        goes_on(HEAD + b"\r\n", b"x"),
        says(HEAD + b"\r\n" + b"HTTP/1.1 500 Later\r\n\r\n"),
        says(b"HTTP/1.1 204 None\r\ncontent-length: 5\r\n\r\nhello"),
        says(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 3 + HEAD + b"\r\n"),
        says(b"HTTP/1.0 200 OK\r\n\r\nhello"),
        says(b"HTTP/1.1 200\r\n\r\n"),
    ],
)
async def test_the_status_decides_whatever_comes_after_it(behaviour: Behaviour) -> None:
    assert await attempt_at(behaviour) == Attempt(True)


async def test_the_status_decides_when_time_runs_out_after_it() -> None:
    assert await attempt_at(trickling_body, seconds=0.5) == Attempt(True)


async def test_the_status_decides_of_a_failure_too() -> None:
    assert await attempt_at(long_body(500)) == Attempt(False, "answered 500", receiver_down=True)
    assert await attempt_at(says(b"HTTP/1.1 410 Gone\r\ncontent-length: 9\r\n\r\n")) == Attempt(False, "answered 410", gone=True)


@pytest.mark.parametrize(
    "behaviour",
    [
        long_body(size=50_000_000),
        goes_on(HEAD + b"x: ", b"y"),
        goes_on(HEAD + b"content-encoding: gzip\r\n\r\n", gzip.compress(b"x" * 1_000_000)),
    ],
)
async def test_a_receiver_that_never_ends_costs_no_memory(behaviour: Behaviour) -> None:
    async with Receiver(behaviour) as receiver:
        await send(receiver)
        gc.collect()
        tracemalloc.start()
        try:
            await send(receiver)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak < 16 * MAX_ANSWER


async def test_a_connection_is_closed_when_its_event_is_done_with() -> None:
    async with Receiver(ok, answers(500), long_body(), trickling_head, garbage, resets) as receiver:
        for _ in range(6):
            await send(receiver, seconds=0.2)
        await receiver.quiet()
        assert receiver.connections == 6


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("0", 0.0),
        ("7", 7.0),
        ("007", 7.0),
        (" 120 ", 120.0),
        ("86400", 86400.0),
        ("86401", 86400.0),
        ("9" * 30, 86400.0),
        ("Sun, 01 Mar 2026 12:00:30 GMT", 30.0),
        ("Sunday, 01-Mar-26 12:00:30 GMT", 30.0),
        ("Sun Mar  1 12:00:30 2026", 30.0),
        ("Sun, 01 Mar 2026 13:00:30 +0100", 30.0),
        ("Sun, 01 Mar 2026 12:00:00 GMT", 0.0),
        ("Sun, 01 Mar 2020 12:00:00 GMT", 0.0),
        ("Sun, 01 Mar 2126 12:00:00 GMT", 86400.0),
        ("Sun, 01 Mar 0001 12:00:00 +2359", 0.0),
        ("Sun, 01 Mar 2026 12:00:00 +99999999999999", None),
        ("-5", None),
        ("+5", None),
        ("1.5", None),
        ("1e3", None),
        ("²", None),
        ("soon", None),
        ("", None),
        ("9" * 5000, None),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
async def test_a_receiver_may_ask_to_be_left_alone_for_a_while(status: int, header: str, seconds: float | None) -> None:
    assert await attempt_at(answers(status, retry_after=header)) == Attempt(False, f"answered {status}", seconds, receiver_down=True)


@pytest.mark.parametrize("status", [200, 302, 404, 410, 500])
async def test_with_another_status_it_may_not(status: int) -> None:
    assert (await attempt_at(answers(status, retry_after="7"))).retry_after is None


async def test_a_receiver_that_does_not_listen_is_down() -> None:
    async with Receiver() as receiver:
        pass
    assert await send(receiver) == Attempt(False, "took no connection: Connection refused", receiver_down=True)


async def test_over_tls_the_certificate_must_be_of_the_name_and_from_somebody_trusted() -> None:
    of_hooks_test, trusting = tls_of_hooks_test()
    async with Receiver(tls=of_hooks_test) as receiver, NameServer({"hooks.test": ["127.0.0.1"], "other.test": ["127.0.0.1"]}) as names:
        allowed = [f"{name}:{receiver.port}" for name in ("hooks.test", "other.test", "127.0.0.1")]

        async def attempt(host: str, tls: ssl.SSLContext) -> Attempt:
            sender = WebhookSender(allowed, resolver=names.resolver(), tls=tls)
            return await sender.send(event_to(receiver.url("/hook?token=hush", host)), NOW)

        assert await attempt("hooks.test", trusting) == Attempt(True)
        assert await attempt("hooks.test", TLS) == Attempt(False, "TLS failed: self-signed certificate", receiver_down=True)
        for host in ("other.test", "127.0.0.1"):
            wrong = await attempt(host, trusting)
            assert wrong.receiver_down
            assert wrong.problem.startswith("TLS failed: ")
            assert wrong.problem.endswith(f"certificate is not valid for '{host}'")
        assert len(receiver.requests) == 1


async def test_a_receiver_whose_tls_is_none_is_down() -> None:
    async def tls_at(behaviour: Behaviour, seconds: float) -> Attempt:
        async def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(1)
            await behaviour(writer)
            writer.close()
            await writer.wait_closed()

        server = await asyncio.start_server(begin, "127.0.0.1", 0)
        async with server:
            pair = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
            return await WebhookSender([pair], seconds, tls=TLS).send(event_to(f"https://{pair}/"), NOW)

    async def hang_up_late(_: asyncio.StreamWriter) -> None:
        await late.wait()

    late = asyncio.Event()
    assert (await tls_at(says(b"HTTP/1.1 400 Plain\r\n\r\n"), 15)) == Attempt(False, "TLS failed: wrong version number", receiver_down=True)
    assert (await tls_at(closes, 15)) == Attempt(False, "took no connection", receiver_down=True)
    assert (await tls_at(hang_up_late, 0.3)) == Attempt(False, "took no connection within 0.1 s", receiver_down=True)
    late.set()


async def test_64_events_are_under_way_at_once() -> None:
    together = asyncio.Barrier(64)

    async def answers_all_together(writer: asyncio.StreamWriter) -> None:
        await together.wait()
        await ok(writer)

    async with Receiver(answers_all_together) as receiver:
        sender = WebhookSender([receiver.pair], tls=TLS)
        attempts = await asyncio.gather(*[sender.send(event_to(receiver.url(), event_id=f"event-{number}"), NOW) for number in range(64)])
        assert attempts == [Attempt(True)] * 64
        assert {request.headers["webhook-id"] for request in receiver.requests} == {f"event-{number}" for number in range(64)}


async def test_names_whose_look_up_hangs_do_not_hold_up_others() -> None:
    found = threading.Event()

    def hanging(_host: str, _port: int, *_: int) -> Sequence[tuple[int, int, int, str, tuple[object, ...]]]:
        found.wait(60)
        return [(2, 1, 6, "", ("10.0.0.7", 80))]

    async with Receiver() as receiver, NameServer({"hooks.test": ["127.0.0.1"]}) as names:
        quick = names.resolver()
        sender = WebhookSender(
            [f"hooks.test:{receiver.port}"],
            resolver=lambda host, *wanted: (hanging if host.startswith("slow") else quick)(host, *wanted),
            tls=TLS,
        )
        slow = [asyncio.create_task(sender.send(event_to(f"https://slow-{number}.example/"), NOW)) for number in range(64)]
        try:
            assert await sender.send(event_to(receiver.url(host="hooks.test")), NOW) == Attempt(True)
            assert not any(task.done() for task in slow)
        finally:
            found.set()
        assert all(attempt.permanent for attempt in await asyncio.gather(*slow))


async def test_a_sender_that_is_cancelled_closes_its_connection() -> None:
    async with Receiver(trickling_head) as receiver:
        task = asyncio.create_task(send(receiver))
        await receiver.received(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await receiver.quiet()


@pytest.mark.parametrize(
    ("event", "problem"),
    [
        (Event("1", "https://example.com/?token=hush", (), BODY), "cannot be signed: it has no secret"),
        (Event("1", "https://example.com/?token=hush", ("hush",), BODY), "cannot be signed: its secret must start with whsec_"),
        (
            Event("1", "https://example.com/?token=hush", (SECRET, "whsec_hush"), BODY),
            "cannot be signed: its secret must hold 24 to 64 bytes, not 3",
        ),
        (Event("1", "https://user:hush@example.com/", (SECRET,), BODY), "refused: its URL is not one that a request can be sent to"),
        (Event("1", "hush", (SECRET,), BODY), "refused: its URL is not one that a request can be sent to"),
        (Event("1", "", (SECRET,), BODY), "refused: its URL is not one that a request can be sent to"),
        (Event("1", "https://\ud800/", (SECRET,), BODY), "refused: its URL is not one that a request can be sent to"),
        (
            Event("1", "http://10.0.0.7/hook?token=hush", (SECRET,), BODY),
            "refused: its URL must lead to a public address, not 10.0.0.7: 10.0.0.0/8 is Private-Use (RFC1918)",
        ),
    ],
)
async def test_an_event_that_cannot_be_sent_is_not_tried_again(event: Event, problem: str) -> None:
    assert await WebhookSender(tls=TLS).send(event, NOW) == Attempt(False, problem, permanent=True)


@pytest.mark.parametrize("event", [Event("1\r\nx: y", "", (SECRET,), BODY), Event("1", "", (SECRET,), b"\xff")])
async def test_a_defect_of_ours_is_an_attempt_that_failed(event: Event) -> None:
    async with Receiver() as receiver:
        with capture_logs() as lines:
            attempt = await WebhookSender([receiver.pair], tls=TLS).send(Event(event.id, receiver.url(), event.secrets, event.body), NOW)
        assert attempt.problem in ("failed here: LocalProtocolError", "failed here: UnicodeDecodeError")
        assert attempt == Attempt(False, attempt.problem)
        assert [line["event"] for line in lines] == ["webhook_defect"]
        assert not receiver.requests


async def test_a_defect_of_a_resolver_is_an_attempt_that_failed() -> None:
    def defective(*_: object) -> Sequence[tuple[int, int, int, str, tuple[object, ...]]]:
        raise RuntimeError("hush")

    sender = WebhookSender(resolver=defective, tls=TLS)
    with capture_logs() as lines:
        assert await sender.send(event_to("https://example.com/"), NOW) == Attempt(False, "failed here: RuntimeError")
    assert [line["event"] for line in lines] == ["webhook_defect"]


STATUS_LINES = [HEAD, b"HTTP/1.1 ", b"HTTP/1.0 500 No\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", b"200", b"101 ", b"429 ", b"204 "]
FIELDS = [
    b"x: y\r\n",
    b"content-length: 5\r\n",
    b"content-length: ",
    b"transfer-encoding: chunked\r\n",
    b"retry-after: 7\r\n",
    b"upgrade: x\r\n",
]
REST = [b"\r\n", b"\r\n\r\n", b"\n", b"\r", b" ", b"\t", b":", b"5\r\nhello\r\n", b"0\r\n\r\n", b"hello", b"\x00", b"\xff"]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(STATUS_LINES + FIELDS + REST) | st.binary(max_size=8), max_size=12))
@example([HEAD, b"\r\n", b"\r\n"])
async def test_whatever_a_receiver_says_the_attempt_is_one(pieces: list[bytes]) -> None:
    attempt = await attempt_at(says(b"".join(pieces)))
    assert attempt.delivered == (not attempt.problem)
    assert not attempt.problem.startswith("failed here")


@pytest.mark.parametrize(
    ("secret", "problem"),
    [
        (SECRET, ""),
        (OTHER_SECRET, ""),
        ("whsec_" + "QUJD" * 8, ""),
        ("", "must start with whsec_"),
        ("QUJD" * 8, "must start with whsec_"),
        ("WHSEC_" + "QUJD" * 8, "must start with whsec_"),
        ("whsec_", "must hold 24 to 64 bytes, not 0"),
        ("whsec_" + base64.b64encode(b"x" * 23).decode(), "must hold 24 to 64 bytes, not 23"),
        ("whsec_" + base64.b64encode(b"x" * 65).decode(), "must hold 24 to 64 bytes, not 65"),
        (SECRET.rstrip("=") + "A", "must be base64 after whsec_, with its padding"),
        (OTHER_SECRET.rstrip("="), "must be base64 after whsec_, with its padding"),
        ("whsec_" + "QUJD" * 7 + "QU-_", "must be base64 after whsec_, with its padding"),
        ("whsec_" + "QUJD" * 8 + "\n", "must be base64 after whsec_, with its padding"),
        ("whsec_" + "QUJD" * 4 + " " + "QUJD" * 4, "must be base64 after whsec_, with its padding"),
        ("whsec_" + "ÅÅÅÅ" * 8, "must be base64 after whsec_, with its padding"),
        ("whsec_\ud800", "must be base64 after whsec_, with its padding"),
    ],
)
def test_a_secret_is_24_to_64_bytes_in_base64(secret: str, problem: str) -> None:
    assert problem_of_secret(secret) == problem


@given(st.text() | st.binary(max_size=80).map(lambda key: "whsec_" + base64.b64encode(key).decode()))
def test_what_is_said_of_a_secret_says_nothing_of_it(secret: str) -> None:
    problem = problem_of_secret(secret)
    assert problem in ("", "must start with whsec_", "must be base64 after whsec_, with its padding") or problem.startswith(
        "must hold 24 to 64"
    )
    assert problem or Webhook(secret).sign("1", NOW, "{}").startswith("v1,")


def test_an_event_does_not_show_its_secrets() -> None:
    assert repr(event_to("https://example.com/?token=hush")) == "Event(id='0199-1_7')"


@pytest.mark.parametrize(
    ("url", "destination"),
    [
        ("https://example.com", "https://example.com:443"),
        ("http://example.com", "http://example.com:80"),
        ("HTTPS://EXAMPLE.com:443/a?b#c", "https://example.com:443"),
        ("http://example.com:443/", "http://example.com:443"),
        ("https://example.com:8443/@x:1", "https://example.com:8443"),
        ("https://example.com:/", "https://example.com:443"),
        ("https://ø.no/å", "https://xn--pda.no:443"),
        ("http://[2001:DB8:0::1]:8080/", "http://[2001:db8::1]:8080"),
        ("http://127.1/", "http://127.0.0.1:80"),
        ("https://example.com.", "https://example.com.:443"),
    ],
)
def test_a_destination_is_scheme_host_and_port(url: str, destination: str) -> None:
    assert destination_of(url) == destination
    assert destination_of(destination) == destination


@given(st.text(alphabet="htps:/@\\?#[]. 0x17f%å①\u200d\u3002").map("http://".__add__))
@example("http://①②⑦.1/?hush")
def test_judging_an_address_never_raises_and_messages_are_phrases(url: str) -> None:
    if problem_of(url) is None:
        problem = problem_of_address(f"{url}?hush" if "?" not in url else url)
        assert not problem or (
            problem.startswith("must ") and not problem.endswith(".") and problem.isprintable() and "hush" not in problem
        )
