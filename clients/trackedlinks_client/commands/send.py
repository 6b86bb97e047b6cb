"""`trackedlinks send`: one message to everybody in a CSV file, as one .eml for each."""

import os
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.headerregistry import Address
from email.utils import make_msgid
from pathlib import Path
from typing import Annotated

import grpc
import typer
from rich.console import Console
from rich.progress import Progress

from trackedlinks.v1 import mailing_pb2, mailing_service_pb2
from trackedlinks_client import words
from trackedlinks_client.cards import completed
from trackedlinks_client.commands.mailing import Campaign, Language, MailingType, Source, analytics
from trackedlinks_client.connection import Connection
from trackedlinks_client.eml import Envelope, address, eml
from trackedlinks_client.leavers import subscribed
from trackedlinks_client.messages import MissingFields, Renderer, fields_of, urls_of
from trackedlinks_client.minting import minted
from trackedlinks_client.output import complain, say, table
from trackedlinks_client.people import BadRow, People, Row
from trackedlinks_client.problems import Problem
from trackedlinks_client.session import connection

PLACEHOLDER_SENDER = "newsletter@example.invalid"


def send(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help="The message: .html or .txt.")],
    to: Annotated[Path, typer.Option(help="CSV with a header: person_id, email, name, test, do_not_track; each column is a merge field.")],
    out: Annotated[Path, typer.Option(help="The folder for the .eml files, one for each recipient.")],
    text: Annotated[Path | None, typer.Option(help="The text part of an HTML message.")] = None,
    name: Annotated[str, typer.Option(help="The mailing's name; the file's name if not given.")] = "",
    subject: Annotated[str, typer.Option(help="The mailing's name if not given.")] = "",
    sender: Annotated[str, typer.Option("--from", help="Who it is from.")] = PLACEHOLDER_SENDER,
    track_all: Annotated[bool, typer.Option("--track-all/--no-track-all", help="Track every link, or only registered ones.")] = True,
    ga_source: Source = "",
    ga_campaign: Campaign = "",
    mailing_type: MailingType = 0,
    language: Language = "",
    charset: Annotated[str, typer.Option(help="The character set of the message.")] = "utf-8",
) -> None:
    """Make a mailing of a message and write it to one .eml file for each recipient, named after its line in the CSV file.

    With a mailing type, mails can be unsubscribed from with one click, and who has unsubscribed is left out. Rows that are wrong are
    told and left out; the exit status is 1 then.
    """
    html, plain = _parts(file, text)
    name = name or file.stem
    if len(subject.splitlines()) > 1:
        raise typer.BadParameter("must be one line", param_hint="--subject")
    draft = mailing_pb2.Mailing(
        name=name,
        track_all_links=track_all,
        google_analytics=analytics(ga_source, ga_campaign),
        mailing_type_id=mailing_type,
        language=language,
    )
    try:
        writer = _Writer(out, address(sender), subject or name)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--from") from None
    with People(to) as people, connection(ctx) as service:
        _prepare(out)
        mailing = service.mailings.CreateMailing(mailing_service_pb2.CreateMailingRequest(mailing=draft))
        request = mailing_service_pb2.TrackMessageRequest(mailing_id=mailing.id, html=html, text=plain, charset=charset)
        try:
            tracked = service.mailings.TrackMessage(request)
            renderer = Renderer(tracked.template)
            writer.unsubscribe_placement_id = tracked.template.unsubscribe_placement_id
            _refuse_missing_columns(people, renderer, tracked.template.kept_fields)
        except (grpc.RpcError, Problem):
            service.mailings.DeleteMailing(mailing_service_pb2.DeleteMailingRequest(id=mailing.id))
            raise
        _tell(tracked)
        try:
            _write_all(service, people, mailing, tracked.template, renderer, writer)
        finally:
            say(f"mailing {mailing.id}: {writer.summary}")
            if writer.unaddressed:
                complain(f"messages without To, since neither the file nor the CRM has an address: {writer.unaddressed}")
        if writer.delivered:
            update = mailing_service_pb2.UpdateMailingRequest(mailing=mailing_pb2.Mailing(id=mailing.id, delivered_count=writer.delivered))
            update.update_mask.paths.append("delivered_count")
            service.mailings.UpdateMailing(update)
    if writer.unsent:
        raise typer.Exit(1)


@dataclass
class _Writer:
    """Writes mails to a folder and counts them."""

    folder: Path
    sender: Address
    subject: str
    written: int = 0
    delivered: int = 0
    unsent: int = 0
    unsubscribed: int = 0
    unaddressed: int = 0
    unsubscribe_placement_id: int = 0

    @property
    def summary(self) -> str:
        """What became of the rows."""
        counts = ((self.unsubscribed, "unsubscribed"), (self.unsent, "rows left out"))
        return ", ".join([f"{self.written} messages in {self.folder}", *(f"{count} {what}" for count, what in counts if count)])

    def write(self, row: Row, mailing: mailing_pb2.Mailing, renderer: Renderer, urls: mailing_service_pb2.RecipientUrls) -> None:
        """Raises ValueError, saying why, for a recipient who can get no mail; OSError."""
        minted_urls = urls_of(urls)
        rendered = renderer.render(minted_urls, _fields(row, mailing))
        envelope = Envelope(
            self.sender,
            self.subject,
            datetime.now(UTC),
            make_msgid(domain=self.sender.domain),
            address(row.email, row.recipient.name) if row.email else None,
            minted_urls.get(self.unsubscribe_placement_id, ""),
        )
        path = self.folder / f"{row.line:06}.eml"
        try:
            with open(path, "wb", opener=_for_its_owner) as file:
                file.write(eml(envelope, rendered, renderer.charset))
        except OSError as error:
            path.unlink(missing_ok=True)  # half a mail is not to be sent
            raise OSError(error.errno, error.strerror, str(path)) from error
        self.written += 1
        self.delivered += not row.recipient.test  # test recipients are in no rate
        self.unaddressed += envelope.recipient is None

    def skip(self, row: Row) -> None:
        """Leaves out somebody who does not want this type of mailing, which is nothing wrong."""
        self.unsubscribed += 1

    def leave_out(self, line: int, problem: str) -> None:
        self.unsent += 1
        complain(f"line {line}: {problem}")


def _write_all(
    service: Connection,
    people: People,
    mailing: mailing_pb2.Mailing,
    template: mailing_pb2.MessageTemplate,
    renderer: Renderer,
    writer: _Writer,
) -> None:
    def kept(row: Row) -> dict[str, str]:
        fields = _fields(row, mailing)
        return {name: fields[name] for name in template.kept_fields if name in fields}

    with Progress(console=Console(stderr=True), disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("writing", total=people.size or None)
        good = completed(service.crm, _good(people.rows(), writer))
        if mailing.mailing_type_id:
            good = subscribed(service.crm, good, mailing.mailing_type_id, writer.skip, _unknown)
        for row, urls in minted(service.mailings, mailing.id, good, kept):
            progress.update(task, completed=people.position, description=f"{writer.written} messages")
            if urls.HasField("error"):
                writer.leave_out(row.line, words.recipient_error(urls.error))
                continue
            try:
                writer.write(row, mailing, renderer, urls)
            except ValueError as error:  # MissingFields, and what is no address
                writer.leave_out(row.line, str(error))
        progress.update(task, completed=people.size, description=f"{writer.written} messages")


def _unknown() -> None:
    complain("who has unsubscribed is known to another CRM, which this command cannot ask: the file has to be of those who have not")


def _fields(row: Row, mailing: mailing_pb2.Mailing) -> dict[str, str]:
    return {"recipient.email": row.email} | fields_of(row.recipient, mailing.name)


def _good(rows: Iterable[Row | BadRow], writer: _Writer) -> Iterator[Row]:
    for row in rows:
        match row:
            case Row():
                yield row
            case BadRow(line, problem):
                writer.leave_out(line, problem)


def _refuse_missing_columns(people: People, renderer: Renderer, kept_fields: Iterable[str]) -> None:
    """One sentence, before anything is written, instead of one for each row."""
    known = {*people.columns, "mailing.name", "recipient.name", "recipient.email"}
    if missing := [field for field in dict.fromkeys([*renderer.fields, *kept_fields]) if field not in known]:
        raise Problem(f"no column for what {MissingFields(missing)}")


def _parts(file: Path, text: Path | None) -> tuple[bytes, bytes]:
    match file.suffix.lower():
        case ".html" | ".htm":
            return file.read_bytes(), _lines(text.read_bytes()) if text else b""
        case ".txt" if text is None:
            return b"", _lines(file.read_bytes())
        case ".txt":
            raise typer.BadParameter("goes with an HTML message", param_hint="--text")
        case _:
            raise typer.BadParameter("must be .html or .txt", param_hint="FILE")


def _lines(text: bytes) -> bytes:
    """Text with lines that end in CRLF, as text in a mail must (RFC 2046, 4.1.1). HTML is left as it is: it has no such lines."""
    return re.sub(rb"\r\n|\r|\n", b"\r\n", text)


def _prepare(out: Path) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    out.mkdir(mode=0o700, exist_ok=True)
    if next(out.glob("*.eml"), None):
        raise Problem(f"{out} holds messages already: they would be mixed with those of this mailing")


def _for_its_owner(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)  # mails say who gets them, and their links act in their name


def _tell(tracked: mailing_service_pb2.TrackMessageResponse) -> None:
    rows = [
        (words.part(each.placement.part), each.placement.link_id or "", words.whose(each), each.placement.url) for each in tracked.tracked
    ]
    table(("TRACKED IN", "LINK#", "WHOSE", "ADDRESS"), rows, "no link is tracked")
    if tracked.left_alone:
        print()
        left = [(words.part(each.part), each.offset, words.left_alone_reason(each.reason), each.url) for each in tracked.left_alone]
        table(("LEFT ALONE IN", "AT BYTE#", "WHY", "ADDRESS"), left, "")
    print()
