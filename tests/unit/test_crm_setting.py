"""The setting that says which CRM the service works with."""

import pytest

from server.crm.remote import parse_crm


@pytest.mark.parametrize(
    ("setting", "address"),
    [
        ("embedded", None),
        ("grpc://127.0.0.1:50061", "127.0.0.1:50061"),
        ("grpc://[::1]:50061", "[::1]:50061"),
        ("grpc://crm.example.com:1", "crm.example.com:1"),
        ("grpc://crm_2:65535", "crm_2:65535"),
    ],
)
def test_a_crm_is_the_embedded_one_or_one_at_an_address(setting: str, address: str | None) -> None:
    assert parse_crm(setting) == address


WRONG = ["", "Embedded", "embedded ", "crm:1", "http://crm:1", "GRPC://crm:1", "grpc://", "grpc://crm", "grpc://:1", "grpc://crm:0",
    "grpc://crm:65536", "grpc://crm:01", "grpc://crm:+1", "grpc://crm:x", "grpc://crm:1/", "grpc://crm:1?x", "grpc://u@crm:1",
    "grpc://crm :1", "grpc://crm:1\n", "grpc://::1:1", "grpc://[::1:1", "grpc://a,b:1", "grpc://crm:١"]  # fmt: skip


@pytest.mark.parametrize("setting", WRONG)
def test_anything_else_is_refused_with_what_it_must_be(setting: str) -> None:
    with pytest.raises(ValueError, match=r"^must be embedded or grpc://host:port, such as grpc://127\.0\.0\.1:50061, not "):
        parse_crm(setting)
