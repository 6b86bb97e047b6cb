"""What a sender makes of a template on its own machine: one recipient's message, and a mail of it."""

import email
import quopri
import re
from dataclasses import replace
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from typing import cast

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from trackedlinks.v1 import mailing_pb2
from trackedlinks_client import output
from trackedlinks_client.eml import Envelope, address, eml, quoted_printable
from trackedlinks_client.messages import MissingFields, Rendered, Renderer, fields_of

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ENVELOPE = Envelope(Address("Fjordhagen", "hei", "fjordhagen.example"), "Vår på øya", NOON, "<1@fjordhagen.example>")

MAIL_BYTES = st.one_of(
    st.binary(max_size=300),
    st.text(max_size=300).map(lambda text: text.encode("utf-8", "replace")),
    st.lists(st.sampled_from([b"\r\n", b"\n", b"\r", b" ", b"\t", b"=", b".", b"From ", b"=0A", b"--", b"\xc3\xa5", b"x" * 80])).map(
        b"".join
    ),
)
"""Bytes as they come, text, and what transfer encodings and mail servers trip over."""


def template(*html: object, text: tuple[object, ...] = (), charset: str = "utf-8") -> mailing_pb2.MessageTemplate:
    """A template of literals (bytes), placements (int) and merge fields (str)."""
    return mailing_pb2.MessageTemplate(html=map(segment, html), text=map(segment, text), charset=charset)


def segment(content: object) -> mailing_pb2.Segment:
    match content:
        case bytes():
            return mailing_pb2.Segment(literal=content)
        case int():
            return mailing_pb2.Segment(placement_id=content)
        case _:
            return mailing_pb2.Segment(merge_field=str(content))


def parsed(mail: bytes) -> EmailMessage:
    return email.message_from_bytes(mail, policy=SMTP)


def decoded(part: EmailMessage) -> bytes:
    return cast(bytes, part.get_payload(decode=True))


def test_urls_and_values_go_where_the_template_says() -> None:
    made = Renderer(template(b'<a href="', 3, b'">', "name", b"</a>", text=("name", b": ", 4)))
    rendered = made.render({3: "https://t.example/a", 4: "https://t.example/b"}, {"name": "Ola"})
    assert rendered == Rendered(b'<a href="https://t.example/a">Ola</a>', b"Ola: https://t.example/b")


def test_values_are_escaped_in_html_and_go_in_as_they_are_in_text() -> None:
    rendered = Renderer(template("x", text=("x",))).render({}, {"x": "<b>\"'&"})
    assert rendered == Rendered(b"&lt;b&gt;&quot;&#x27;&amp;", b"<b>\"'&")


def test_a_value_is_escaped_as_its_segment_says() -> None:
    component = mailing_pb2.Segment(merge_field="x", escaping=mailing_pb2.MERGE_FIELD_ESCAPING_URL_COMPONENT)
    plain = mailing_pb2.Segment(merge_field="x")
    rendered = Renderer(mailing_pb2.MessageTemplate(html=[component, plain, component], text=[plain, component])).render({}, {"x": "a&b"})
    assert rendered == Rendered(b"a%26ba&amp;ba%26b", b"a&ba%26b")


def test_what_the_charset_lacks_becomes_a_reference_in_html_and_a_question_mark_in_text() -> None:
    rendered = Renderer(template("x", text=("x",), charset="iso-8859-1")).render({}, {"x": "Åse Żak"})
    assert rendered == Rendered(b"\xc5se &#379;ak", b"\xc5se ?ak")


def test_all_missing_fields_of_both_parts_are_named_at_once_and_each_once() -> None:
    made = Renderer(template("a", "b", "a", text=("c", "a")))
    with pytest.raises(MissingFields, match="a, c") as caught:
        made.render({}, {"b": "x", "unused": "y"})
    assert caught.value.names == ("a", "c")


def test_an_empty_value_is_a_value() -> None:
    assert Renderer(template(b"[", "a", b"]")).render({}, {"a": ""}).html == b"[]"


def test_a_value_that_looks_like_a_field_is_not_filled_again() -> None:
    assert Renderer(template("a", "b")).render({}, {"a": "{{b}}", "b": "x"}).html == b"{{b}}x"


def test_a_placement_without_url_is_a_defect_of_the_caller() -> None:
    with pytest.raises(KeyError):
        Renderer(template(3)).render({}, {})


def test_a_recipient_brings_its_name_and_address_and_its_merge_fields_come_first() -> None:
    recipient = mailing_pb2.Recipient(email="ola@example.com", name="Ola", merge_fields={"recipient.name": "Ole", "x": "y"})
    expected = {"mailing.name": "Spring", "recipient.name": "Ole", "recipient.email": "ola@example.com", "x": "y"}
    assert fields_of(recipient, "Spring") == expected


@given(html=MAIL_BYTES, text=MAIL_BYTES)
@example(html=b"<p>\r\n</p>\r\n", text=b"x\r\n")
@example(html=b"a\nb\n", text=b"\n")
@example(html=b"x" * 998, text=b"x" * 999)
@example(html=b"trailing \r\n\tblank\t", text=b"From here\r\n.\r\n")
def test_both_parts_of_a_mail_decode_to_the_bytes_given(html: bytes, text: bytes) -> None:
    mail = parsed(eml(ENVELOPE, Rendered(html, text)))
    parts = [cast(EmailMessage, part) for part in mail.iter_parts()] if mail.is_multipart() else [mail]
    found = [(part.get_content_type(), decoded(part)) for part in parts]
    expected = [(kind, content) for kind, content in (("text/plain", text), ("text/html", html)) if content]
    assert found == (expected or [("text/plain", b"")])
    assert not mail.defects


@given(html=MAIL_BYTES, text=MAIL_BYTES)
def test_a_mail_is_what_every_server_carries_unchanged(html: bytes, text: bytes) -> None:
    mail = eml(ENVELOPE, Rendered(html, text))
    lines = mail.split(b"\r\n")
    assert max(map(len, lines)) <= 998
    assert not re.search(rb"[\r\n\0]", b"".join(lines))
    assert not any(line.startswith(b"From ") for line in lines)


@given(content=MAIL_BYTES)
def test_quoted_printable_has_short_ascii_lines_without_blanks_at_their_ends(content: bytes) -> None:
    encoded = quoted_printable(content)
    assert quopri.decodestring(encoded) == content
    for line in encoded.split(b"\r\n"):
        assert len(line) <= 76
        assert re.fullmatch(rb"[\t -~]*", line)
        assert not line.endswith((b" ", b"\t"))


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        (b"plain\r\n", "7bit"),
        ("blåbær\r\n".encode(), "8bit"),
        (b"a lone\nLF", "quoted-printable"),
        (b"x" * 999, "quoted-printable"),
        (b"x\r\nFrom y\r\n", "quoted-printable"),
    ],
)
def test_a_part_is_encoded_only_when_a_server_would_change_it(content: bytes, encoding: str) -> None:
    assert parsed(eml(ENVELOPE, Rendered(content, b"")))["Content-Transfer-Encoding"] == encoding


def test_the_header_says_who_when_and_what_in_ascii() -> None:
    envelope = Envelope(ENVELOPE.sender, "Vår på øya 🌷", NOON, "<1@fjordhagen.example>", address("ase@blåbær.example", "Åse, på øya"))
    raw = eml(envelope, Rendered(b"<p>hei</p>", b"hei"), "iso-8859-1")
    header = raw.partition(b"\r\n\r\n")[0]
    assert header.isascii()
    mail = parsed(raw)
    assert (mail["Subject"], mail["Message-ID"]) == ("Vår på øya 🌷", "<1@fjordhagen.example>")
    assert mail["Date"].datetime == NOON
    assert mail["From"].addresses == (ENVELOPE.sender,)
    assert mail["To"].addresses == (Address("Åse, på øya", "ase", "xn--blbr-roah.example"),)
    assert mail.get_content_type() == "multipart/alternative"
    assert [part.get_content_charset() for part in mail.iter_parts()] == ["iso-8859-1", "iso-8859-1"]


def test_a_mailbox_that_is_not_ascii_gets_a_header_in_utf_8() -> None:
    envelope = Envelope(ENVELOPE.sender, "Vår", NOON, "<1@fjordhagen.example>", address("åse@example.com"))
    assert "To: åse@example.com\r\nSubject: Vår\r\n".encode() in eml(envelope, Rendered(b"x", b""))


NO_ADDRESSES = [
    "",
    "ola",
    "@x.no",
    "ola@",
    "ola@exa mple.com",
    "ola@a..b",
    "o la@x.no",
    "a@b@x.no",
    "<ola@x.no",
    "ola@x.no>",
    "a@x.no, b@x.no",
]


@pytest.mark.parametrize("spelling", [*NO_ADDRESSES, "ola\r\nBcc: x@y.no", "ola@x.no\nBcc:x@y.no", "Ola\n <ola@x.no>", "ola@\u00ad.no"])
def test_what_is_no_address_is_refused(spelling: str) -> None:
    with pytest.raises(ValueError, match="is no e-mail address"):
        address(spelling)


@pytest.mark.parametrize(
    ("spelling", "expected"),
    [
        ("ola@example.com", Address("", "ola", "example.com")),
        (" Ola <ola@example.com> ", Address("Ola", "ola", "example.com")),
        ('"Nordmann, Ola" <ola.n+x@[127.0.0.1]>', Address("Nordmann, Ola", "ola.n+x", "[127.0.0.1]")),
        ("<ola@stra\u00dfe.example>", Address("", "ola", "xn--strae-oqa.example")),
    ],
)
def test_an_address_is_read_with_or_without_a_name(spelling: str, expected: Address) -> None:
    assert address(spelling) == expected


@pytest.mark.parametrize("name", ["Ola\r\nBcc: x@y.no", "Ola\nNordmann"])
def test_no_name_and_no_subject_can_add_a_header(name: str) -> None:
    with pytest.raises(ValueError, match=r"CR or LF|linefeed"):
        address("ola@example.com", name)
    with pytest.raises(ValueError, match="linefeed"):
        eml(Envelope(ENVELOPE.sender, name, NOON, "<1@x>"), Rendered(b"x", b""))


def test_what_others_have_stored_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    output.table(("A", "B#"), [("\x1b[31mred\n[bold]", 1), ("\x9b2J", 22)], "")
    output.complain("one\x07\ntwo")
    printed = capsys.readouterr()
    assert printed.out == "A                 B\n\ufffd[31mred [bold]   1\n\ufffd2J              22\n"
    assert printed.err == "one\ufffd\ntwo\n"


def test_a_long_address_to_unsubscribe_at_stands_in_one_line() -> None:
    url = "https://" + "a" * 180 + ".example/AQIAZidgZVYZfX-pAgA"
    envelope = Envelope(address("a@example.com"), "S", datetime(2026, 1, 1, tzinfo=UTC), "<a@example.com>", unsubscribe_url=url)
    mail = eml(envelope, Rendered(b"<p>", b""))
    assert f"List-Unsubscribe: <{url}>\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n".encode() in mail
    assert b"List-Unsubscribe" not in eml(replace(envelope, unsubscribe_url=""), Rendered(b"<p>", b""))
