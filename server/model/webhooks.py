"""Where webhooks may go and what they are signed with: all that can be said without asking a name server."""

import base64
import re
from collections.abc import Collection
from dataclasses import dataclass
from ipaddress import ip_network

import can_ada
from ssrfguard import DEFAULT_DENIED, AddressTable, Block, BlockedURLError, Policy, Reach

from server.model.urls import location_of, problem_of

SECRET_PREFIX = "whsec_"
MIN_SECRET_BYTES = 24
MAX_SECRET_BYTES = 64
"""How much a secret holds. Source: Standard Webhooks, Signature scheme."""

_PORTS = {"http": 80, "https": 443}
_MIN_FREE_PORT = 1024
_PRIVATE_ENDINGS = ("localhost", "local", "internal")
"""How names end that lead nowhere public: RFC 6761, RFC 6762, ICANN resolution 2024.07.29.06. metadata.google.internal is one."""
_CLOUDS = {
    "168.63.129.16/32": ("Azure's host of a machine", "Azure, What is IP address 168.63.129.16"),
    "161.26.0.0/16": ("IBM Cloud's services for its machines", "IBM Cloud VPC, Service endpoints"),
    "166.8.0.0/14": ("IBM Cloud's private service endpoints", "IBM Cloud VPC, Service endpoints"),
}
"""Public by their number, and yet a cloud's own: from its machines they lead to what hands out their secrets, and from nowhere else
anywhere. Those of other clouds are link-local, shared or unique local addresses, which are refused as such."""

NOT_PUBLIC = AddressTable(
    (*DEFAULT_DENIED.blocks, *(Block(ip_network(cidr), name, source, Reach.DENIED) for cidr, (name, source) in _CLOUDS.items()))
)
"""Where no webhook goes, also inside IPv6 (mapped, NAT64, 6to4, Teredo)."""

_WRITTEN_HOST = re.compile(rb"[^:]+://(\[[^]]*\]|[^:/?#]*)")


@dataclass(frozen=True, slots=True)
class Address:
    """Where a URL leads, in browsers' spelling, so that the host that is checked is the host that is connected to."""

    scheme: str
    host: str
    """Lower case and ASCII; an IPv4 address as four decimal numbers, an IPv6 address in brackets."""
    port: int

    @property
    def pair(self) -> str:
        """The host and the port, as a list of allowed ones names them."""
        return f"{self.host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.pair}"


def address_of(url: str) -> Address:
    """Where a valid http or https URL leads; ValueError for another URL."""
    parsed = can_ada.parse(url)
    scheme = parsed.protocol.removesuffix(":")
    return Address(scheme, parsed.hostname, int(parsed.port or _PORTS[scheme]))


def destination_of(url: str) -> str:
    """Scheme, host and port of a valid http or https URL, as in "https://example.com:443": what limits and circuit breakers are kept by."""
    return str(address_of(url))


def problem_of_address(url: str, allowed: Collection[str] = ()) -> str:
    """Why no webhook may go to a valid http or https URL, as a phrase for a developer, or "". No name is looked up.

    `allowed` are pairs like "localhost:8080" that may be private all the same. A pair is meant as it is spelled: allowing localhost allows
    neither 127.0.0.1 nor another name that leads there.
    """
    address = address_of(url)
    if address.pair not in allowed and (problem := _problem_of_public(address)):
        return problem
    written = _WRITTEN_HOST.match(location_of(url))
    if written is None or written[1].decode("ascii").lower() != address.host:
        return f"must spell the host {_shortened(address.host)} as that"
    return ""


def problem_of_pair(pair: str) -> str:
    """Why something is no host and port as URLs spell them, or ""."""
    url = f"http://{pair}/"
    return f"must be a host and a port like localhost:8080, not {pair[:60]!r}" if problem_of(url) or address_of(url).pair != pair else ""


def problem_of_secret(secret: str) -> str:
    """Why a secret cannot sign, as a phrase that says nothing of the secret, or "". Source: Standard Webhooks."""
    if not secret.startswith(SECRET_PREFIX):
        return f"must start with {SECRET_PREFIX}"
    try:
        # The library skips what is no base64, and would sign with a key that the receiver does not have.
        size = len(base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True))
    except ValueError:
        return f"must be base64 after {SECRET_PREFIX}, with its padding"
    if not MIN_SECRET_BYTES <= size <= MAX_SECRET_BYTES:
        return f"must hold {MIN_SECRET_BYTES} to {MAX_SECRET_BYTES} bytes, not {size}"
    return ""


def _problem_of_public(address: Address) -> str:
    if address.port < _MIN_FREE_PORT and address.port not in _PORTS.values():
        # Other protocols' servers read a request as commands of theirs; browsers refuse such ports too (the Fetch standard, bad ports).
        return f"must have port 80, 443 or one from {_MIN_FREE_PORT} on, not {address.port}"
    ending = address.host.rstrip(".").rpartition(".")[2]
    if ending in _PRIVATE_ENDINGS:
        return f"must lead to a public address, not {_shortened(address.host)}: what ends in {ending} never does"
    try:
        Policy(denied_networks=NOT_PUBLIC, allowed_ports=frozenset({address.port})).check_url(str(address))
    except BlockedURLError as refused:
        return f"must lead to a public address, not {_shortened(address.host)}: {_shortened(refused.reason, 200)}"
    return ""


def _shortened(text: str, length: int = 60) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"
