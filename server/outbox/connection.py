"""One connection for one event: to an address that was checked, and with an end to what is read from it."""

import socket
import ssl
from collections.abc import Iterable
from ipaddress import ip_network
from pathlib import Path

import httpcore
from ssrfguard import Policy, Resolver
from ssrfguard.httpx import AsyncSafeBackend
from ssrfguard.resolvers import UdpResolver, nameservers_from_resolv_conf

from server.model.webhooks import NOT_PUBLIC, Address

MAX_ANSWER = 64 * 1024
"""How many bytes of an answer are read: status, headers, body and all that frames it."""

_PIECE = 4096
"""How many bytes are parsed at a time. 64 KiB of interim answers or of one-byte chunks hold up all else for 40 to 80 ms (measured)."""

_EVERYWHERE = (ip_network("0.0.0.0/0"), ip_network("::/0"))


class AnswerTooLong(Exception):
    """More than MAX_ANSWER bytes came."""


def connection_to(address: Address, may_be_private: bool, resolver: Resolver, tls: ssl.SSLContext) -> httpcore.AsyncHTTPConnection:
    """A connection to one host and port, not opened yet.

    The name is looked up once, every address of it is checked, and one of those is connected to: a name with one private address is
    refused whole, and a name that changes meanwhile is not asked again. Raises BlockedAddressError on opening. Certificates are checked
    against the name.
    """
    allowed = _EVERYWHERE if may_be_private else ()
    policy = Policy(denied_networks=NOT_PUBLIC, allowed_ports=frozenset({address.port}), allowed_networks=allowed)
    origin = httpcore.Origin(address.scheme.encode("ascii"), address.host.strip("[]").encode("ascii"), address.port)
    # A pool would save handshakes; but what an earlier answer left in a connection would be read as the answer to the next event, and a
    # receiver that closes idle connections would cost attempts. One look-up slot each, so that no slow name holds up another.
    return httpcore.AsyncHTTPConnection(origin, tls, network_backend=_Backend(policy=policy, resolver=resolver, resolver_slots=1))


def name_lookup(seconds: float, configuration: Path = Path("/etc/resolv.conf")) -> Resolver:
    """Looks names up at the name servers that this machine is configured for, and gives up after so many seconds.

    getaddrinfo cannot be given an end, and a thread waiting in it cannot be stopped. In exchange, /etc/hosts and search domains are not
    known here: no public name is in them.
    """

    def look_up(host: str, port: int, *wanted: int) -> Iterable[tuple[int, int, int, str, tuple[object, ...]]]:
        try:
            servers = nameservers_from_resolv_conf(configuration)
        except (OSError, ValueError):
            servers = ("127.0.0.1",)  # where one is then expected: resolv.conf(5)
        # IPv4 first: on a machine without IPv6, a name with four IPv6 addresses would use up all attempts to connect.
        return UdpResolver(servers, timeout=seconds, families=(socket.AF_INET, socket.AF_INET6))(host, port, *wanted)

    return look_up


class _Backend(AsyncSafeBackend):
    """Opens connections whose answers end."""

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        return _Metered(await super().connect_tcp(host, port, timeout, local_address, socket_options))


class _Metered(httpcore.AsyncNetworkStream):
    """A stream that is read in small pieces, and not beyond MAX_ANSWER."""

    def __init__(self, stream: httpcore.AsyncNetworkStream) -> None:
        self._stream = stream
        self._left = MAX_ANSWER

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        if self._left <= 0:
            raise AnswerTooLong
        piece = await self._stream.read(min(max_bytes, _PIECE, self._left), timeout)
        self._left -= len(piece)
        return piece

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        try:
            return _Metered(await self._stream.start_tls(ssl_context, server_hostname, timeout))
        except BaseException:
            await self.aclose()  # httpcore leaves the connection open when it is cancelled here
            raise

    def get_extra_info(self, info: str) -> object:
        return self._stream.get_extra_info(info)
