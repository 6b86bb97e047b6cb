"""`trackedlinks report`"""

from typing import Annotated

import typer

from trackedlinks.v1 import mailing_service_pb2
from trackedlinks_client import words
from trackedlinks_client.commands import mailing
from trackedlinks_client.output import Json, json_line, table, when
from trackedlinks_client.pages import every
from trackedlinks_client.session import connection


def report(ctx: typer.Context, id: Annotated[int, typer.Argument(metavar="MAILING_ID")], as_json: Json = False) -> None:
    """Report on a mailing: totals, click rate, and each link with its clicks. As JSON: the mailing, then a line for each link."""
    with connection(ctx) as service:
        totals = service.mailings.GetMailing(mailing_service_pb2.GetMailingRequest(id=id))
        request = mailing_service_pb2.ListMailingLinksRequest(mailing_id=id)
        links = list(every(service.mailings.ListMailingLinks, request, "links"))
    mailing.show(totals, as_json)
    if as_json:
        for each in links:
            json_line(each)
        return
    print()
    headings = ("LINK#", "NAME", "CLICKS#", "CLICKERS#", "SUSPECTED#", "FIRST", "LAST", "LEADS TO")
    table(headings, [_row(each) for each in sorted(links, key=lambda link: -link.counts.clicks)], "no links")


def _row(of: mailing_service_pb2.MailingLink) -> tuple[object, ...]:
    counts, first, last = of.counts, when(of.first_click_time), when(of.last_click_time)
    return of.link.id, words.link_name(of.link), counts.clicks, counts.clickers, counts.suspected, first, last, words.response(of.link)
