"""`trackedlinks link show` and `trackedlinks link list`."""

from typing import Annotated

import typer

from trackedlinks.v1 import link_pb2, link_service_pb2
from trackedlinks_client import words
from trackedlinks_client.output import Json, fields, json_line, listing, when
from trackedlinks_client.pages import every
from trackedlinks_client.session import connection


def show_one(ctx: typer.Context, id: Annotated[int, typer.Argument(help="The link's id.")], as_json: Json = False) -> None:
    """Show a link: where it leads, its counts, and what a click makes happen."""
    with connection(ctx) as service:
        show(service.links.GetLink(link_service_pb2.GetLinkRequest(id=id)), as_json)


def list_(
    ctx: typer.Context,
    folder: Annotated[int | None, typer.Option(help="Only links of this folder; 0 = the root.")] = None,
    subfolders: Annotated[bool, typer.Option("--subfolders", help="With --folder: its sub-folders as well.")] = False,
    mine: Annotated[bool, typer.Option("--mine", help="Only links that --user made.")] = False,
    query: Annotated[str, typer.Option(help="Only links whose name or URL contains this.")] = "",
    deleted: Annotated[bool, typer.Option("--deleted", help="Deleted links as well.")] = False,
    as_json: Json = False,
) -> None:
    """List and search registered links."""
    request = link_service_pb2.ListLinksRequest(
        folder_id=folder, include_subfolders=subfolders, mine=mine, query=query, show_deleted=deleted
    )
    with connection(ctx) as service:
        links = every(service.links.ListLinks, request, "links")
        headings = ("ID#", "FOLDER#", "NAME", "CLICKS#", "CLICKERS#", "SUSPECTED#", "ACTIONS#", "LEADS TO")
        listing(links, as_json, headings, _row, "no links")


def show(link: link_pb2.Link, as_json: bool) -> None:
    """Prints a link in full."""
    if as_json:
        json_line(link)
        return
    counts = link.counts
    fields(
        ("link", f"{link.id} {link.name}{' (deleted)' if link.HasField('delete_time') else ''}"),
        ("leads to", link.redirect.url),
        ("shows", link.custom_text.html),
        ("form", link.form.url),
        ("folder", "" if link.mailing_id else link.folder_id or "the root"),
        ("only in mailing", link.mailing_id or ""),
        ("counts", f"{counts.clicks} clicks, {counts.clickers} clickers, {counts.suspected} suspected"),
        *((f"action {action.id}", words.action(action)) for action in link.actions),
        ("created", _by(when(link.create_time), link.creator)),
        ("updated", _by(when(link.update_time), link.updater) if link.update_time != link.create_time else ""),
        ("last reset", when(link.last_reset_time)),
        ("deleted", when(link.delete_time)),
    )


def _row(link: link_pb2.Link) -> tuple[object, ...]:
    name = f"{link.name} (deleted)" if link.HasField("delete_time") else link.name
    counts = link.counts
    return link.id, link.folder_id, name, counts.clicks, counts.clickers, counts.suspected, len(link.actions), words.response(link)


def _by(time: str, user: int) -> str:
    return f"{time} by user {user}" if user else time
