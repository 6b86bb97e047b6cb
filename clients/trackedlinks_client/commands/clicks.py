"""`trackedlinks clickers` and `trackedlinks clicks`."""

from enum import StrEnum
from typing import Annotated, Any

import typer

from trackedlinks.v1 import click_pb2, click_service_pb2, crm_pb2
from trackedlinks_client import words
from trackedlinks_client.output import Json, json_line, listing, say, when
from trackedlinks_client.pages import every
from trackedlinks_client.session import connection


class Verdict(StrEnum):
    """Whose click it was."""

    human = "human"
    head = "head"
    prefetch = "prefetch"


_Link = Annotated[int, typer.Option(help="The link; without it, all links of the mailing.")]
_Mailing = Annotated[int, typer.Option(help="The mailing; without it, any.")]


def clickers(ctx: typer.Context, link: _Link = 0, mailing: _Mailing = 0, as_json: Json = False) -> None:
    """List who clicked: in which mailing, how often, when first and last."""
    _require(link, mailing)
    request = click_service_pb2.ListClickersRequest(link_id=link, mailing_id=mailing)
    with connection(ctx) as service:
        found = every(service.clicks.ListClickers, request, "clickers")
        listing(found, as_json, ("WHO", "MAILING#", "CLICKS#", "FIRST", "LAST"), _clicker_row, "no clickers")


def clicks(
    ctx: typer.Context,
    link: _Link = 0,
    mailing: _Mailing = 0,
    verdict: Annotated[Verdict | None, typer.Option(help="Only clicks with this verdict.")] = None,
    as_json: Json = False,
) -> None:
    """List stored clicks since the last reset, newest first, with what became of each action."""
    _require(link, mailing)
    only = click_pb2.Verdict.Value(f"VERDICT_{verdict.name.upper()}") if verdict else click_pb2.VERDICT_UNSPECIFIED
    request = click_service_pb2.ListClicksRequest(link_id=link, mailing_id=mailing, verdict=only)
    with connection(ctx) as service:
        found = every(service.clicks.ListClicks, request, "clicks")
        listing(found, as_json, ("TIME", "WHO", "LINK#", "MAILING#", "VERDICT", "ACTIONS", "USER AGENT"), _click_row, "no clicks")


def add_clickers(
    ctx: typer.Context,
    link: _Link = 0,
    mailing: _Mailing = 0,
    selection: Annotated[int, typer.Option(help="An existing selection.")] = 0,
    project: Annotated[int, typer.Option(help="An existing project.")] = 0,
    new_selection: Annotated[str, typer.Option(help="The name of a selection to make.")] = "",
    new_project: Annotated[str, typer.Option(help="The name of a project to make.")] = "",
    as_json: Json = False,
) -> None:
    """Add who clicked to a selection or project; those who are no registered persons are skipped and told."""
    _require(link, mailing)
    targets: dict[str, Any] = {
        "selection_id": selection,
        "project_id": project,
        "new_selection": new_selection,
        "new_project": new_project,
    }
    chosen = {name: target for name, target in targets.items() if target}
    if len(chosen) != 1:
        raise typer.BadParameter("give one of --selection, --project, --new-selection and --new-project")
    with connection(ctx) as service:
        added = service.clicks.AddClickers(click_service_pb2.AddClickersRequest(link_id=link, mailing_id=mailing, **chosen))
    if as_json:
        json_line(added)
        return
    catalog = words.enum(crm_pb2.Catalog.DESCRIPTOR, added.target.catalog, "CATALOG_")
    say(f"{catalog} {added.target.id} {added.target.name}: {added.added_count} added, {added.present_count} were there already")
    if added.skipped_count:
        named = ", ".join(map(words.recipient, added.skipped))
        say(f"{added.skipped_count} skipped, no registered persons: {named}{' …' if added.skipped_count > len(added.skipped) else ''}")


def _require(link: int, mailing: int) -> None:
    if not (link or mailing):
        raise typer.BadParameter("give --link, --mailing or both")


def _clicker_row(of: click_pb2.Clicker) -> tuple[object, ...]:
    return words.recipient(of.recipient), of.mailing_id or "", of.clicks, when(of.first_click_time), when(of.last_click_time)


def _click_row(click: click_pb2.Click) -> tuple[object, ...]:
    verdict = words.enum(click_pb2.Verdict.DESCRIPTOR, click.verdict, "VERDICT_") + (", test" if click.test else "")
    who, outcomes = words.recipient(click.recipient), words.outcomes(click.actions)
    return when(click.time), who, click.link_id, click.mailing_id or "", verdict, outcomes, click.evidence.user_agent
