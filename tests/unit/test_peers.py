"""What counts as one peer, and how a connection is ended from here."""

import os
import socket

import pytest

from server.rpc.peers import cut, peer_of


@pytest.mark.parametrize(
    ("connection", "peer"),
    [
        ("ipv4:127.0.0.1:50000", "ipv4:127.0.0.1:50000"),
        ("ipv6:%5B::1%5D:50000", "ipv6:%5B::1%5D:50000"),
        ("unix:", "unix:"),
        ("", ""),
        ("ipv4:10.1.2.3:50000", "10.1.2.3"),
        ("ipv4:10.1.2.3:50001", "10.1.2.3"),
        ("ipv6:%5B2001:db8::7%5D:50000", "[2001:db8::7]"),
    ],
)
def test_a_peer_is_a_host_and_on_loopback_a_connection(connection: str, peer: str) -> None:
    assert peer_of(connection) == peer


@pytest.mark.parametrize("listen", ["127.0.0.1", "::1"])
def test_only_the_connection_from_that_address_is_cut_and_nothing_stays_open(listen: str) -> None:
    family = socket.AF_INET6 if ":" in listen else socket.AF_INET
    with socket.create_server((listen, 0), family=family) as server:
        clients = [socket.create_connection(server.getsockname()[:2]) for _ in range(2)]
        accepted = [server.accept()[0] for _ in clients]
        host, port = clients[0].getsockname()[:2]
        before = len(os.listdir("/dev/fd"))
        assert cut(f"ipv6:%5B{host}%5D:{port}" if ":" in host else f"ipv4:{host}:{port}")
        assert clients[0].recv(1) == b""
        accepted[1].send(b"x")
        assert clients[1].recv(1) == b"x"
        assert not cut("ipv4:127.0.0.1:1")
        assert not cut("unix:")
        assert len(os.listdir("/dev/fd")) == before
        for each in (*clients, *accepted):
            each.close()
