"""`trackedlinks runs`, `retry`, `receivers` and `try`: what clicks have made happen, and what one would."""

from enum import StrEnum
from typing import Annotated

import typer

from trackedlinks.v1 import action_service_pb2, click_pb2
from trackedlinks_client import words
from trackedlinks_client.commands import options
from trackedlinks_client.output import Json, json_line, listing, say, when
from trackedlinks_client.pages import every as every_page
from trackedlinks_client.session import connection


class State(StrEnum):
    """What became of an action."""

    done = "done"
    skipped = "skipped"
    failed = "failed"
    waiting = "waiting"
    retrying = "retrying"
    dead = "dead"


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
        found = every_page(service.actions.ListActionRuns, request, "action_runs")
        listing(found, as_json, ("TIME", "WHO", "LINK#", "MAILING#", "ACTION#", "STATE", "TRIED", "WHY"), _row, "no runs")


def retry(
    ctx: typer.Context,
    link: Annotated[int, typer.Option(help="Only this link's actions.")] = 0,
    mailing: Annotated[int, typer.Option(help="Only clicks in this mailing.")] = 0,
    click: Annotated[str, typer.Option(help="Only this click, by its id.")] = "",
    action: Annotated[int, typer.Option(help="Only this link action.")] = 0,
    every: Annotated[bool, typer.Option("--all", help="Every dead run there is.")] = False,
) -> None:
    """Try dead runs again: what could not be brought to another system in days, or what that system refused for good."""
    if not (link or mailing or click or action or every):
        raise typer.BadParameter("say which: --link, --mailing, --click, --action or --all")
    request = action_service_pb2.RetryActionRunsRequest(link_id=link, mailing_id=mailing, click_id=click, action_id=action)
    with connection(ctx) as service:
        count = service.actions.RetryActionRuns(request).retried_count
    say(f"{count} {'run is' if count == 1 else 'runs are'} tried again" if count else "no dead runs")


def receivers(ctx: typer.Context, as_json: Json = False) -> None:
    """List the other systems for which something waits or is dead."""
    with connection(ctx) as service:
        found = every_page(service.actions.ListReceivers, action_service_pb2.ListReceiversRequest(), "receivers")
        listing(found, as_json, ("RECEIVER", "WAITING", "RETRYING", "DEAD", "OLDEST CLICK", "LAST ERROR"), _receiver, "nothing waits")


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


def _receiver(known: action_service_pb2.Receiver) -> tuple[object, ...]:
    counts = known.waiting_count, known.retrying_count, known.dead_count
    return known.address, *counts, when(known.oldest_click_time), known.last_error


def _row(run: action_service_pb2.ActionRun) -> tuple[object, ...]:
    state = words.enum(click_pb2.ActionState.DESCRIPTOR, run.state, "ACTION_STATE_")
    why = run.reason or run.log.partition("\n")[0]
    who = when(run.click_time), words.recipient(run.recipient)
    return *who, run.link_id, run.mailing_id or "", run.action_id, state, run.attempts or "", why
