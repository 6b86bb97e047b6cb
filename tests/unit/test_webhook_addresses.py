"""Where a webhook may not go: traps on this machine that no spelling of an address and no name leads to, unless they are allowed."""

import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.model.urls import problem_of
from server.model.webhooks import address_of, problem_of_address
from server.outbox.connection import name_lookup
from server.outbox.webhooks import Attempt, Event, WebhookSender
from tests.support.receivers import NameServer, Receiver, redirects

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
TLS = ssl.create_default_context()
Answer = tuple[int, int, int, str, tuple[object, ...]]

SPELLINGS = [
    # loopback
    "http://127.0.0.1:{port}/",
    "HTTP://127.0.0.1:{port}/",
    "https://127.0.0.1:{port}/",
    "http://127.0.0.2:{port}/",
    "http://127.255.255.254:{port}/",
    "http://127.0.0.1.:{port}/",
    "http://127.0.0.1..:{port}/",
    "http://2130706433:{port}/",
    "http://2130706433.:{port}/",
    "http://02130706433:{port}/",
    "http://017700000001:{port}/",
    "http://0x7f000001:{port}/",
    "http://0X7F000001:{port}/",
    "http://0x7F.0x0.0x0.0x1:{port}/",
    "http://0x7f.1:{port}/",
    "http://0177.0.0.1:{port}/",
    "http://0177.0.0.01:{port}/",
    "http://00000177.00.00.01:{port}/",
    "http://0177.0x0.0.1:{port}/",
    "http://0x7f.0.1:{port}/",
    "http://127.1:{port}/",
    "http://127.0.1:{port}/",
    "http://127.0x0.01:{port}/",
    "http://127.000.000.001:{port}/",
    "http://6425673729:{port}/",
    "http://①②⑦.⓪.⓪.①:{port}/",
    "http://①②⑦.0.0.1:{port}/",
    "http://１２７.０.０.１:{port}/",
    "http://127。0。0。1:{port}/",
    "http://127．0．0．1:{port}/",
    "http://127｡0｡0｡1:{port}/",
    "http://𝟏𝟐𝟕.𝟎.𝟎.𝟏:{port}/",
    "http://0𝐱7f.0.0.1:{port}/",
    "http://127.0.0.1%00.example.com:{port}/",
    "http://127%2e0%2e0%2e1:{port}/",
    "http://%31%32%37.0.0.1:{port}/",
    "http://%31%32%37%2E%30%2E%30%2E%31:{port}/",
    "http://[::1]:{port}/",
    "http://[0:0:0:0:0:0:0:1]:{port}/",
    "http://[0000:0000:0000:0000:0000:0000:0000:0001]:{port}/",
    "http://[::0.0.0.1]:{port}/",
    "http://[::1%25lo]:{port}/",
    "http://[::1%lo]:{port}/",
    "http://[::1%251]:{port}/",
    # IPv4 inside IPv6: mapped, compatible, translated, NAT64, 6to4, Teredo, ISATAP-like
    "http://[::ffff:127.0.0.1]:{port}/",
    "http://[::FFFF:7F00:1]:{port}/",
    "http://[0:0:0:0:0:ffff:127.0.0.1]:{port}/",
    "http://[::127.0.0.1]:{port}/",
    "http://[::7f00:1]:{port}/",
    "http://[::ffff:0:127.0.0.1]:{port}/",
    "http://[64:ff9b::127.0.0.1]:{port}/",
    "http://[64:ff9b::7f00:1]:{port}/",
    "http://[64:ff9b::a9fe:a9fe]:{port}/",
    "http://[64:ff9b:1::7f00:1]:{port}/",
    "http://[2002:7f00:1::]:{port}/",
    "http://[2002:7f00:0001::1]:{port}/",
    "http://[2002:0a00:0007::]:{port}/",
    "http://[2001:0:7f00:1::]:{port}/",
    "http://[2001:0:5db8:d822:0:0:80ff:fffe]:{port}/",
    # this machine by other addresses
    "http://0.0.0.0:{port}/",
    "http://0:{port}/",
    "http://0.0:{port}/",
    "http://0x0:{port}/",
    "http://00000:{port}/",
    "http://⓪:{port}/",
    "http://[::]:{port}/",
    "http://[::ffff:0.0.0.0]:{port}/",
    "http://0.1.2.3:{port}/",
    # names of this machine
    "http://localhost:{port}/",
    "http://LOCALHOST:{port}/",
    "http://LocalHost.:{port}/",
    "http://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ:{port}/",
    "http://ｌｏｃａｌｈｏｓｔ:{port}/",
    "http://loc\u00adalhost:{port}/",
    "http://%6c%6f%63alhost:{port}/",
    "http://anything.localhost:{port}/",
    "http://a.b.LOCALHOST.:{port}/",
    "http://printer.local:{port}/",
    # metadata
    "http://169.254.169.254/latest/meta-data/",
    "http://169.254.169.254:{port}/",
    "http://2852039166/",
    "http://0xa9fea9fe/",
    "http://0251.0376.0251.0376/",
    "http://169.254.43518/",
    "http://[::ffff:169.254.169.254]/",
    "http://[fd00:ec2::254]/",
    "http://169.254.170.2/",
    "http://100.100.100.200/",
    "http://192.0.0.192/",
    "http://metadata.google.internal/computeMetadata/v1/",
    "http://METADATA.GOOGLE.INTERNAL./",
    "http://instance-data.ec2.internal/",
    # a cloud's own services at public addresses, which lead there from its machines only
    "http://168.63.129.16/machine?comp=goalstate",
    "http://168.63.129.16:32526/vmSettings",
    "http://2822734096/",
    "http://0xa83f8110/",
    "http://0250.077.0201.020/",
    "http://[::ffff:168.63.129.16]/",
    "http://[64:ff9b::168.63.129.16]/",
    "http://[64:ff9b::a83f:8110]/",
    "http://[2002:a83f:8110::1]/",
    "http://161.26.0.7/",
    "http://166.9.250.203/",
    "http://[fd20:ce::254]/computeMetadata/v1/",
    "http://[fd00:c1::a9fe:a9fe]/opc/v2/",
    "http://[fd00:42::42]/",
    "http://[64:ff9b::100.100.100.200]/",
    "http://[64:ff9b::169.254.170.2]/",
    # private and special networks
    "http://10.0.0.7:{port}/",
    "http://10.0.7:{port}/",
    "http://012.0.0.7:{port}/",
    "http://172.16.0.1:{port}/",
    "http://172.31.255.254:{port}/",
    "http://192.168.0.1:{port}/",
    "http://0xc0a80001:{port}/",
    "http://100.64.0.1:{port}/",
    "http://169.254.1.1:{port}/",
    "http://192.0.0.1:{port}/",
    "http://192.0.2.1:{port}/",
    "http://192.88.99.1:{port}/",
    "http://198.18.0.1:{port}/",
    "http://198.51.100.1:{port}/",
    "http://203.0.113.1:{port}/",
    "http://224.0.0.1:{port}/",
    "http://239.255.255.250:{port}/",
    "http://240.0.0.1:{port}/",
    "http://255.255.255.255:{port}/",
    "http://4294967295:{port}/",
    "http://[fe80::1]:{port}/",
    "http://[fe80::1%25eth0]:{port}/",
    "http://[fec0::1]:{port}/",
    "http://[fc00::1]:{port}/",
    "http://[fd00::2]:{port}/",
    "http://[ff02::1]:{port}/",
    "http://[2001:db8::1]:{port}/",
    "http://[100::1]:{port}/",
    "http://[5f00::1]:{port}/",
    # tricks with what surrounds a host
    "http://good.example@127.0.0.1:{port}/",
    "http://good.example:80@127.0.0.1:{port}/",
    "http://127.0.0.1:{port}@good.example/",
    "http://good.example%40127.0.0.1:{port}/",
    "http://good.example\\@127.0.0.1:{port}/",
    "http://127.0.0.1:{port}\\@good.example/",
    "http:\\\\127.0.0.1:{port}/",
    "http:/\\127.0.0.1:{port}/",
    "http:///127.0.0.1:{port}/",
    "http:127.0.0.1:{port}/",
    "//127.0.0.1:{port}/",
    "127.0.0.1:{port}",
    " http://127.0.0.1:{port}/",
    "http://127.0.0.1:{port}/ ",
    "http://127.0.0.1\t:{port}/",
    "http://127.0.\n0.1:{port}/",
    "http://good.example#@127.0.0.1:{port}/\x00",
    "http://127.0.0.1:{port}\uff0f.good.example/",
    "ftp://127.0.0.1:{port}/",
    "gopher://127.0.0.1:{port}/_POST",
    "file:///etc/passwd",
    "unix:///var/run/docker.sock",
    "ws://127.0.0.1:{port}/",
    "",
    # ports that are not the web's
    "http://8.8.8.8:22/",
    "http://8.8.8.8:25/",
    "http://8.8.8.8:0/",
    "https://hooks.example.com:53/",
    # public, but in spellings that look-ups take otherwise than browsers do
    "http://134744072/",
    "http://0x08080808/",
    "http://010.8.8.8/",
    "http://8.8.2056/",
    "http://ex%61mple.com/",
    "http://sub_domain.example.com/",
    "http://-.example.com/",
    "http://*.example.com/",
    "http://a..example.com/",
    "https://" + "a." * 130 + "example/",
]

PRIVATE = [
    "127.0.0.1",
    "127.0.0.2",
    "127.255.255.255",
    "::1",
    "0.0.0.0",
    "0.0.0.1",
    "::",
    "10.0.0.7",
    "10.255.255.255",
    "100.64.0.1",
    "100.100.100.200",
    "169.254.169.254",
    "169.254.170.2",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.1",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.9",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.7",
    "::ffff:169.254.169.254",
    "::127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::a00:7",
    "64:ff9b:1::1",
    "2002:7f00:1::",
    "2002:a9fe:a9fe::1",
    "2001:0:7f00:1::",
    "2001:db8::1",
    "100::1",
    "168.63.129.16",
    "::ffff:168.63.129.16",
    "64:ff9b::a83f:8110",
    "2002:a83f:8110::1",
    "161.26.0.7",
    "166.9.250.203",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b::a9fe:aa02",
    "64:ff9b::6464:64c8",
    "fc00::1",
    "fd00:42::42",
    "fd00:c1::a9fe:a9fe",
    "fd00:ec2::254",
    "fd20:ce::254",
    "fe80::1",
    "fec0::1",
    "ff02::1",
    "5f00::1",
]


def leading_to(*addresses: str) -> Callable[..., Iterable[Answer]]:
    """A resolver that answers every name with these addresses."""

    def look_up(_host: str, port: int, *_: int) -> Iterable[Answer]:
        for address in addresses:
            if ip_address(address).version == 4:
                yield socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port)
            else:
                yield socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port, 0, 0)

    return look_up


@dataclass(frozen=True)
class Traps:
    """Listeners on the loopback addresses that this machine has, all on one port."""

    port: int
    listeners: Sequence[Receiver]

    async def are_untouched(self) -> bool:
        """Whether none has seen anything but the event that is sent to each now: a trap that is allowed is reached."""
        for listener in self.listeners:
            assert (await WebhookSender([listener.pair], tls=TLS).send(event_for(listener.url()), NOW)).delivered
        return all(listener.connections == 1 for listener in self.listeners)


@pytest.fixture
async def traps(anyio_backend: str) -> AsyncIterator[Traps]:
    async with contextlib.AsyncExitStack() as stack:
        listeners = [await stack.enter_async_context(Receiver())]
        with contextlib.suppress(OSError):  # no IPv6 here, or the port is taken there
            listeners.append(await stack.enter_async_context(Receiver(host="::1", port=listeners[0].port)))
        yield Traps(listeners[0].port, listeners)


async def send(url: str, allowed: Sequence[str] = (), resolver: Callable[..., Iterable[Answer]] | None = None) -> Attempt:
    sender = WebhookSender(allowed, resolver=resolver or leading_to("127.0.0.1"), tls=TLS)
    return await sender.send(event_for(url), NOW)


def event_for(url: str) -> Event:
    return Event("event-1", url, ("whsec_" + "c2VjcmV0" * 4,), b"{}")


def refused(attempt: Attempt) -> bool:
    return not attempt.delivered and attempt.permanent and not attempt.receiver_down and attempt.problem.startswith("refused: ")


@pytest.mark.parametrize("spelling", SPELLINGS)
async def test_no_spelling_leads_to_a_trap(traps: Traps, spelling: str) -> None:
    attempt = await send(spelling.format(port=traps.port))
    assert refused(attempt)
    assert await traps.are_untouched()


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_spelling_is_refused_before_any_name_is_looked_up(spelling: str) -> None:
    url = spelling.format(port=8080)
    assert problem_of(url) or problem_of_address(url).startswith("must ")


@pytest.mark.parametrize("address", PRIVATE)
async def test_no_name_leads_to_a_private_address(traps: Traps, address: str) -> None:
    attempt = await send(f"http://hooks.example.com:{traps.port}/?token=hush", resolver=leading_to(address))
    assert refused(attempt)
    assert attempt.problem.startswith(f"refused: hooks.example.com leads to {ip_address(address)}: ")
    assert await traps.are_untouched()


@pytest.mark.parametrize("address", PRIVATE)
async def test_a_name_with_a_public_and_a_private_address_is_refused_whole(traps: Traps, address: str) -> None:
    for addresses in (("8.8.8.8", address), (address, "8.8.8.8"), ("2606:4700::1111", "8.8.8.8", address)):
        attempt = await send(f"http://hooks.example.com:{traps.port}/", resolver=leading_to(*addresses))
        assert refused(attempt)
        assert attempt.problem == "refused: hooks.example.com leads to several addresses, and not all of them are public"
    assert await traps.are_untouched()


async def test_a_name_that_a_real_name_server_leads_to_a_trap_is_refused(traps: Traps) -> None:
    async with NameServer({"hooks.example.com": ["127.0.0.1", "::1"]}) as names:
        attempt = await send(f"http://hooks.example.com:{traps.port}/", resolver=names.resolver())
    assert refused(attempt)
    assert await traps.are_untouched()


async def test_a_name_is_looked_up_once_and_the_address_that_was_checked_is_connected_to() -> None:
    async with Receiver() as receiver, NameServer({"hooks.test": ["127.0.0.1"]}, later={"hooks.test": ["127.0.0.2"]}) as names:
        attempt = await send(receiver.url(host="hooks.test"), allowed=[f"hooks.test:{receiver.port}"], resolver=names.resolver())
        assert attempt.delivered
        assert names.questions == {("hooks.test", 1): 1, ("hooks.test", 28): 1}


async def test_a_name_that_moves_to_a_private_address_is_refused_at_the_next_event(traps: Traps) -> None:
    name = "hooks.example.com"
    async with NameServer({name: ["0.0.0.0"]}, later={name: ["127.0.0.1"]}) as names:
        attempts = [await send(f"http://{name}:{traps.port}/", resolver=names.resolver()) for _ in range(3)]
    assert all(refused(attempt) for attempt in attempts)
    assert [attempt.problem.split(": ")[1] for attempt in attempts] == [f"{name} leads to 0.0.0.0", *[f"{name} leads to 127.0.0.1"] * 2]
    assert await traps.are_untouched()


async def test_a_name_that_moves_to_a_clouds_address_is_refused_at_the_next_attempt() -> None:
    name = "hooks.example.com"
    async with NameServer({name: ["0.0.0.0"]}, later={name: ["168.63.129.16"]}) as names:
        attempts = [await send(f"http://{name}/", resolver=names.resolver()) for _ in range(2)]
    assert all(refused(attempt) for attempt in attempts)
    assert [attempt.problem.split(": ")[1] for attempt in attempts] == [f"{name} leads to 0.0.0.0", f"{name} leads to 168.63.129.16"]


@pytest.mark.parametrize("public", ["168.63.129.15", "168.63.129.17", "161.25.255.255", "166.12.0.1", "8.8.8.8"])
def test_the_neighbours_of_a_clouds_addresses_are_public(public: str) -> None:
    assert problem_of_address(f"https://{public}/") == ""


async def test_a_redirect_to_a_trap_is_not_followed(traps: Traps) -> None:
    async with Receiver(redirects(f"http://127.0.0.1:{traps.port}/")) as receiver:
        attempt = await send(receiver.url(), allowed=[receiver.pair])
    assert attempt == Attempt(False, "answered 302: redirects are not followed")
    assert await traps.are_untouched()


@pytest.mark.parametrize(
    "other",
    [
        "http://127.1:{port}/",
        "http://2130706433:{port}/",
        "http://127.0.0.1.:{port}/",
        "http://[::ffff:127.0.0.1]:{port}/",
        "http://127.0.0.2:{port}/",
        "http://localhost:{port}/",
        "http://hooks.example.com:{port}/",
        "http://127.0.0.1:{other}/",
        "http://127.0.0.1/",
    ],
)
async def test_what_is_allowed_is_one_host_and_port_as_they_are_spelled(traps: Traps, other: str) -> None:
    """A public-looking name that leads to an allowed address is refused too: whoever owns the name was not allowed anything."""
    async with Receiver() as receiver:
        attempt = await send(other.format(port=traps.port, other=receiver.port), allowed=[f"127.0.0.1:{traps.port}"])
        assert receiver.connections == 0
    assert refused(attempt)
    assert await traps.are_untouched()


@pytest.mark.parametrize("name", ["hooks.test", "localhost", "receiver", "my_receiver.internal"])
async def test_an_allowed_name_may_lead_to_a_private_address(name: str) -> None:
    async with Receiver() as receiver:
        assert (await send(receiver.url(host=name), allowed=[f"{name}:{receiver.port}"])).delivered
        assert (await send(receiver.url(host=name.upper()), allowed=[f"{name}:{receiver.port}"])).delivered
        assert refused(await send(receiver.url(host=f"other.{name}"), allowed=[f"{name}:{receiver.port}"]))
        assert receiver.connections == 2


async def test_an_allowed_name_is_one_that_this_machine_knows() -> None:
    async with Receiver() as receiver:
        sender = WebhookSender([f"localhost:{receiver.port}"], tls=TLS)
        assert (await sender.send(event_for(receiver.url(host="localhost")), NOW)).delivered


@pytest.mark.parametrize(
    "pair", ["", "localhost", ":80", "LOCALHOST:80", "127.1:80", "::1:80", "http://localhost:80", "localhost:80/", "a b:80"]
)
def test_an_allowed_pair_in_another_spelling_is_an_error_at_the_start(pair: str) -> None:
    with pytest.raises(ValueError, match="must be a host and a port like localhost:8080"):
        WebhookSender([pair], tls=TLS)


async def test_a_name_that_nobody_knows_is_the_receivers_problem() -> None:
    async with NameServer({}) as names:
        attempt = await send("https://hooks.example.com/", resolver=names.resolver())
    assert attempt == Attempt(False, "has no address: hooks.example.com is no known name", receiver_down=True)


async def test_a_name_server_that_never_answers_is_given_up_on() -> None:
    async with NameServer({"hooks.example.com": None}) as names:
        attempt = await send("https://hooks.example.com/", resolver=names.resolver(0.05))
    assert attempt == Attempt(False, "has no address: no name server answered for hooks.example.com", receiver_down=True)


@pytest.mark.parametrize("configuration", ["nameserver 127.0.0.1\n", "search example.com\n", "", None])
async def test_names_are_looked_up_where_the_machine_says(tmp_path: Path, configuration: str | None) -> None:
    if configuration is not None:
        (tmp_path / "resolv.conf").write_text(configuration)
    attempt = await send("https://nowhere.invalid/", resolver=name_lookup(1.0, tmp_path / "resolv.conf"))
    assert attempt.receiver_down
    assert attempt.problem.startswith("has no address: ")


@given(
    st.integers(0, 2**32 - 1), st.sampled_from(["{0}", "{0:#x}", "0{0:o}", "0x{1:x}.{2}.{3}.0{4:o}", "{1}.{5}", "[::ffff:{1}.{2}.{3}.{4}]"])
)
def test_an_address_is_judged_the_same_however_it_is_spelled(number: int, spelling: str) -> None:
    parts = number.to_bytes(4)
    url = f"http://{spelling.format(number, *parts, number & 0xFFFFFF)}/"
    plain = f"http://{ip_address(number)}/"
    assert problem_of_address(url) or address_of(url).host.startswith("[")
    if problem_of_address(plain):
        assert problem_of_address(url).startswith("must lead to a public address")
