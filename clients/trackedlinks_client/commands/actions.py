"""`trackedlinks runs` and `trackedlinks try`: what clicks have made happen, and what one would."""

from enum import StrEnum
from typing import Annotated

import typer

from trackedlinks.v1 import action_service_pb2, click_pb2
from trackedlinks_client import words
from trackedlinks_client.commands import options
from trackedlinks_client.output import Json, json_line, listing, say, when
from trackedlinks_client.pages import every
from trackedlinks_client.session import connection


class State(StrEnum):
    """What became of an action."""

    done = "done"
    skipped = "skipped"
    failed = "failed"


def runs(
    ctx: typer.Context,
    link: Annotated[int, typer.Option(help="The link; without it, all links of the mailing.")] = 0,
    mailing: Annotated[int, typer.Option(help="The mailing; without it, any.")] = 0,
    person: Annotated[int, typer.Option(help="Only this person's clicks.")] = 0,
    state: Annotated[State | None, typer.Option(help="Only runs of which this became.")] = None,
    as_json: Json = False,
) -> None:
    """List what became of the actions of clicks since the last reset, newest click first."""
    if not (link or mailing):
        raise typer.BadParameter("give --link, --mailing or both")
    only = click_pb2.ActionState.Value(f"ACTION_STATE_{state.name.upper()}") if state else click_pb2.ACTION_STATE_UNSPECIFIED
    request = action_service_pb2.ListActionRunsRequest(link_id=link, mailing_id=mailing, person_id=person, state=only)
    with connection(ctx) as service:
        found = every(service.actions.ListActionRuns, request, "action_runs")
        listing(found, as_json, ("TIME", "WHO", "LINK#", "MAILING#", "ACTION#", "STATE", "WHY"), _row, "no runs")


def try_(
    ctx: typer.Context,
    link: Annotated[int, typer.Argument(help="The link.")],
    mailing: Annotated[int, typer.Option(help="The mailing in which it would be clicked; 0 = outside one.")] = 0,
    person: Annotated[int, typer.Option(help="A person of the CRM would click.")] = 0,
    email: Annotated[str, typer.Option(help="Somebody known only by this address would click.")] = "",
    as_json: Json = False,
) -> None:
    """Say what a click on a link would make happen now, and make nothing happen."""
    request = action_service_pb2.TestActionsRequest(link_id=link, mailing_id=mailing, recipient=options.recipient(person, email))
    with connection(ctx) as service:
        tested = service.actions.TestActions(request)
    if as_json:
        json_line(tested)
        return
    for each in tested.actions:
        state = words.enum(click_pb2.ActionState.DESCRIPTOR, each.state, "ACTION_STATE_")
        say(f"action {each.action.id}: {'; '.join(each.effects) if each.effects else f'{state}: {each.reason}'}")
    if not tested.actions:
        say("the link has no actions")


def _row(run: action_service_pb2.ActionRun) -> tuple[object, ...]:
    state = words.enum(click_pb2.ActionState.DESCRIPTOR, run.state, "ACTION_STATE_")
    return when(run.click_time), words.recipient(run.recipient), run.link_id, run.mailing_id or "", run.action_id, state, run.reason
