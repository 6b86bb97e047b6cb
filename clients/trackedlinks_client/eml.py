"""Makes a mail of a rendered message: the bytes of an .eml file, ready for any SMTP server. Parts survive byte for byte."""

import re
from binascii import b2a_qp
from dataclasses import dataclass
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from email.utils import format_datetime

import idna

from trackedlinks_client.messages import Rendered

_ADDRESS = re.compile(r"""(?:(?P<name>[^<>\x00-\x1f]*)<)?(?P<local>[^\s@,;:<>()\[\]\\"\x00-\x1f\x7f]+)@(?P<domain>[^\s@<>]+)(?(name)>)""")
"""Stricter than email.utils.parseaddr, which makes of `a@b c.no` an address of somebody else (tried)."""

_DOMAIN = re.compile(r"[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*|\[[0-9A-Fa-f:.IPv]+\]")

_LONGEST_LINE = 998
"""RFC 5322, 2.1.1: characters of a line without its CRLF."""

_LONGEST_QUOTED = 76
"""RFC 2045, 6.7: characters of a quoted-printable line without its CRLF."""

_UNSAFE = re.compile(rb"\0|\r(?!\n)|(?<!\r)\n|^From |[^\r\n]{%d}" % (_LONGEST_LINE + 1), re.MULTILINE)
"""What mail servers change, cut or refuse when it is sent as it is."""


@dataclass(frozen=True)
class Envelope:
    """What stands in the header of a mail."""

    sender: Address
    subject: str
    date: datetime
    """Aware; any time zone."""
    message_id: str
    """With its angle brackets, unique in the world: email.utils.make_msgid() makes one."""
    recipient: Address | None = None
    """None: the mail has no To, and somebody else has to know where it goes."""
    unsubscribe_url: str = ""
    """For one-click unsubscribing (RFC 8058), ASCII; empty: the mail says nothing about it. Have DKIM sign both headers."""


def address(spelling: str, name: str = "") -> Address:
    """An address as mails spell it, `Name <mailbox@domain>` or `mailbox@domain`; a name given here takes precedence.

    A domain in Unicode becomes its A-label. Raises ValueError for what is no address, and for a name with a line break.
    """
    found = _ADDRESS.fullmatch(spelling.strip())
    domain = _a_label(found["domain"]) if found else ""
    if not (found and _DOMAIN.fullmatch(domain)):
        raise ValueError(f"{spelling!r} is no e-mail address")
    display = (found["name"] or "").strip().strip('"')
    return Address(name or display, found["local"], domain)


def eml(envelope: Envelope, rendered: Rendered, charset: str = "utf-8") -> bytes:
    """The mail: multipart/alternative with the text before the HTML, or one part when there is only one.

    Decoding a part's transfer encoding gives the bytes of `rendered` again. A part goes as it is (7bit, 8bit) when no mail server has
    to change it, else as quoted-printable. Headers are ASCII (RFC 2047), unless a mailbox is not, which needs SMTPUTF8.
    Raises ValueError for a subject or name with a line break.
    """
    parts = [_part(subtype, content, charset) for subtype, content in (("plain", rendered.text), ("html", rendered.html)) if content]
    parts = parts or [_part("plain", b"", charset)]
    mail = parts[0] if len(parts) == 1 else EmailMessage(SMTP)
    mail["From"] = envelope.sender
    if envelope.recipient is not None:
        mail["To"] = envelope.recipient
    mail["Subject"] = envelope.subject
    mail["Date"] = format_datetime(envelope.date)
    mail["Message-ID"] = envelope.message_id
    mail["MIME-Version"] = "1.0"
    if mail not in parts:
        mail["Content-Type"] = "multipart/alternative"
        for part in parts:
            mail.attach(part)
    mailboxes = [each.addr_spec for each in (envelope.sender, envelope.recipient) if each is not None]
    content = mail.as_bytes(policy=SMTP if all(mailbox.isascii() for mailbox in mailboxes) else SMTPUTF8)
    return _unsubscribing(envelope.unsubscribe_url) + content


def _unsubscribing(url: str) -> bytes:
    """The header lines of RFC 8058, each whole: Python would make an encoded word of a long URL, which no mail program follows (tried)."""
    if not url:
        return b""
    return f"List-Unsubscribe: <{url}>\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n".encode("ascii")


def _a_label(domain: str) -> str:
    if domain.isascii():
        return domain
    try:
        return idna.encode(domain, uts46=True).decode("ascii")
    except idna.IDNAError:
        return ""


def quoted_printable(content: bytes) -> bytes:
    """The content encoded so that decoding gives the same bytes (RFC 2045, 6.7): CRLF stays a line break, a lone CR or LF is encoded.

    A soft break follows each encoded LF, so that the mail can be read.
    """
    # istext=False encodes line breaks too, so that all that binascii leaves of them are its own soft ones, which _wrapped makes better.
    quoted = b2a_qp(content, istext=False).replace(b"=\r\n", b"").replace(b"=\n", b"").replace(b"=0D=0A", b"\r\n")
    quoted = quoted.replace(b" \r\n", b"=20\r\n").replace(b"\t\r\n", b"=09\r\n")  # mail servers cut blanks there
    quoted = quoted.replace(b"=0A", b"=0A=\r\n").removesuffix(b"=\r\n")
    return b"\r\n".join(map(_wrapped, quoted.split(b"\r\n")))


def _part(subtype: str, content: bytes, charset: str) -> EmailMessage:
    part = EmailMessage(SMTP)
    part["Content-Type"] = f'text/{subtype}; charset="{charset}"'
    if _UNSAFE.search(content):
        encoding, content = "quoted-printable", quoted_printable(content)
    else:
        encoding = "7bit" if content.isascii() else "8bit"
    part["Content-Transfer-Encoding"] = encoding
    part.set_payload(content.decode("ascii", "surrogateescape"))
    return part


def _wrapped(line: bytes) -> bytes:
    """A line in pieces that fit; an escape stays whole."""
    if line.startswith(b"From ") or line == b".":  # what some mail programs change
        line = b"=%02X" % line[0] + line[1:]
    if len(line) <= _LONGEST_QUOTED:
        return line
    pieces, start = [], 0
    while len(line) - start > _LONGEST_QUOTED:
        end = start + _LONGEST_QUOTED - 1
        end = line.find(b"=", end - 2, end) if b"=" in line[end - 2 : end] else end
        pieces.append(line[start:end])
        start = end
    return b"=\r\n".join([*pieces, line[start:]])
