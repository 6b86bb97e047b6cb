"""Who calls: what counts as one peer, and how a connection is ended that takes no answers."""

import contextlib
import ipaddress
import os
import socket
import stat
from urllib.parse import unquote


def peer_of(connection: str) -> str:
    """The peer of a connection as grpc names it (`ipv4:10.0.0.1:50000`): its host, or on loopback the connection itself.

    Beyond loopback a host is one machine, however many connections it opens. On loopback all are of one host: there a program is told from
    another by its connection, of which gRPC keeps one.
    """
    host = unquote(connection).partition(":")[2].rpartition(":")[0]
    with contextlib.suppress(ValueError):
        if not ipaddress.ip_address(host.strip("[]").partition("%")[0]).is_loopback:
            return host
    return connection


def cut(connection: str) -> bool:
    """Ends a connection of this process, and with it every call on it; whether there was one.

    Blocks for as long as it takes to look at every open file. grpc.aio cannot end a call whose answer is not taken: it keeps the bytes
    until the other side has them, or goes.
    """
    host, _, port = unquote(connection).partition(":")[2].rpartition(":")
    address = host.strip("[]"), port
    try:
        numbers = [int(name) for name in os.listdir("/dev/fd")]
    except OSError:  # no more files can be opened
        return False
    return any(_ends(number, address) for number in numbers)


def _ends(number: int, address: tuple[str, str]) -> bool:
    """Ends the connection that an open file is, if it is the one from this address."""
    with contextlib.suppress(OSError):  # it is closed meanwhile, or is connected to nobody
        copy = os.dup(number)
        if not stat.S_ISSOCK(os.fstat(copy).st_mode):
            os.close(copy)
            return False
        with socket.socket(fileno=copy) as found:
            if _address_of(found) == address:
                found.shutdown(socket.SHUT_RDWR)
                return True
    return False


def _address_of(found: socket.socket) -> tuple[str, str] | None:
    if found.family not in (socket.AF_INET, socket.AF_INET6):
        return None
    host, port = found.getpeername()[:2]
    return host.removeprefix("::ffff:"), str(port)  # grpc's sockets are of IPv6, and those of IPv4 mapped into it
