"""`trackedlinks mailing …`"""

from collections.abc import Callable
from typing import Annotated

import typer

from trackedlinks.v1 import mailing_pb2, mailing_service_pb2
from trackedlinks_client import words
from trackedlinks_client.output import Json, fields, json_line, listing, percent, when
from trackedlinks_client.pages import every
from trackedlinks_client.session import connection

_Id = Annotated[int, typer.Argument(help="The mailing's id.")]
Source = Annotated[str, typer.Option("--ga-source", help="Google Analytics: utm_source for every destination; tracks all links.")]
MailingType = Annotated[int, typer.Option("--mailing-type", min=0, help="The type by which recipients unsubscribe; 0 = none.")]
Language = Annotated[str, typer.Option(help="The language of pages that recipients see, such as nb.")]
Campaign = Annotated[str, typer.Option("--ga-campaign", help="Google Analytics: utm_campaign.")]


def create(
    ctx: typer.Context,
    name: str,
    track_all: Annotated[bool, typer.Option("--track-all", help="Track every link, not only registered ones.")] = False,
    ga_source: Source = "",
    ga_campaign: Campaign = "",
    public_url: Annotated[str, typer.Option(help="What tracked URLs start with; empty = the server's setting.")] = "",
    language: Language = "",
    mailing_type: MailingType = 0,
    test: Annotated[bool, typer.Option("--test", help="A trial: every click is a test.")] = False,
    as_json: Json = False,
) -> None:
    """Make a mailing."""
    mailing = mailing_pb2.Mailing(
        name=name,
        track_all_links=track_all,
        google_analytics=analytics(ga_source, ga_campaign),
        public_url=public_url,
        language=language,
        mailing_type_id=mailing_type,
        test=test,
    )
    with connection(ctx) as service:
        show(service.mailings.CreateMailing(mailing_service_pb2.CreateMailingRequest(mailing=mailing)), as_json)


def analytics(source: str, campaign: str) -> mailing_pb2.GoogleAnalytics | None:
    """What --ga-source and --ga-campaign mean. Raises typer.BadParameter for a campaign without source."""
    if campaign and not source:
        raise typer.BadParameter("--ga-campaign needs --ga-source")
    return mailing_pb2.GoogleAnalytics(source=source, campaign=campaign) if source else None


def list_(
    ctx: typer.Context,
    mine: Annotated[bool, typer.Option("--mine", help="Only mailings that --user made.")] = False,
    query: Annotated[str, typer.Option(help="Only mailings whose name contains this.")] = "",
    as_json: Json = False,
) -> None:
    """List mailings, newest first."""
    with connection(ctx) as service:
        mailings = every(service.mailings.ListMailings, mailing_service_pb2.ListMailingsRequest(mine=mine, query=query), "mailings")
        headings = ("ID#", "NAME", "CREATED", "DELIVERED#", "CLICKS#", "CLICKERS#", "SUSPECTED#", "RATE#")
        listing(mailings, as_json, headings, _row, "no mailings")


def show_one(ctx: typer.Context, id: _Id, as_json: Json = False) -> None:
    """Show a mailing and its totals."""
    with connection(ctx) as service:
        show(service.mailings.GetMailing(mailing_service_pb2.GetMailingRequest(id=id)), as_json)


def links(ctx: typer.Context, id: _Id, as_json: Json = False) -> None:
    """List every link in a mailing, where it stands, and its clicks in that mailing."""
    with connection(ctx) as service:
        found = every(service.mailings.ListMailingLinks, mailing_service_pb2.ListMailingLinksRequest(mailing_id=id), "links")
        listing(found, as_json, ("LINK#", "NAME", "USES", "CLICKS#", "CLICKERS#", "LEADS TO"), _link_row, "no links")


def delivered(ctx: typer.Context, id: _Id, count: Annotated[int, typer.Argument(min=0)], as_json: Json = False) -> None:
    """Say how many mails of a mailing were delivered: what its click rate is a share of."""
    request = mailing_service_pb2.UpdateMailingRequest(mailing=mailing_pb2.Mailing(id=id, delivered_count=count))
    request.update_mask.paths.append("delivered_count")
    with connection(ctx) as service:
        show(service.mailings.UpdateMailing(request), as_json)


def show(mailing: mailing_pb2.Mailing, as_json: bool) -> None:
    """Prints a mailing in full."""
    if as_json:
        json_line(mailing)
        return
    counts, google = mailing.counts, mailing.google_analytics
    switched_on = f"medium email, source {google.source}{f', campaign {google.campaign}' if google.campaign else ''}"
    fields(
        ("mailing", f"{mailing.id} {mailing.name}{' (test)' if mailing.test else ''}"),
        ("tracks", "all links" if mailing.track_all_links else "registered links"),
        ("google analytics", switched_on if mailing.HasField("google_analytics") else ""),
        ("public url", mailing.public_url),
        ("language", mailing.language),
        ("mailing type", mailing.mailing_type_id or ""),
        ("delivered", mailing.delivered_count or "not known"),
        ("counts", f"{counts.clicks} clicks, {counts.clickers} clickers, {counts.suspected} suspected"),
        ("click rate", percent(mailing.click_rate) if mailing.delivered_count else ""),
        ("created", f"{when(mailing.create_time)}{f' by user {mailing.creator}' if mailing.creator else ''}"),
        ("sent", when(mailing.send_time)),
        ("deleted", when(mailing.delete_time)),
    )


def _row(mailing: mailing_pb2.Mailing) -> tuple[object, ...]:
    counts = mailing.counts
    name = f"{mailing.name} (test)" if mailing.test else mailing.name
    rate = percent(mailing.click_rate) if mailing.delivered_count else ""
    return mailing.id, name, when(mailing.create_time), mailing.delivered_count, counts.clicks, counts.clickers, counts.suspected, rate


def _link_row(of: mailing_service_pb2.MailingLink) -> tuple[object, ...]:
    return of.link.id, words.link_name(of.link), _places(of), of.counts.clicks, of.counts.clickers, words.response(of.link)


def _places(link: mailing_service_pb2.MailingLink) -> str:
    parts = [words.part(placement.part) for placement in link.placements]
    return ", ".join(f"{parts.count(part)} × {part}" for part in dict.fromkeys(parts))


COMMANDS: dict[str, Callable[..., None]] = {"create": create, "list": list_, "show": show_one, "links": links, "delivered": delivered}
