"""`trackedlinks link …`: making and changing links."""

from collections.abc import Callable
from typing import Annotated

import typer

from trackedlinks.v1 import link_pb2, link_service_pb2, mailing_service_pb2
from trackedlinks_client import words
from trackedlinks_client.commands import link_show, options
from trackedlinks_client.commands.link_show import show
from trackedlinks_client.minting import WrongAnswer
from trackedlinks_client.output import Json, json_line, say
from trackedlinks_client.problems import Problem
from trackedlinks_client.session import connection

_Id = Annotated[int, typer.Argument(help="The link's id.")]
_Ids = Annotated[list[int], typer.Option(metavar="ID")]


def create(
    ctx: typer.Context,
    name: str,
    url: Annotated[str, typer.Option(help="Where a click leads.")] = "",
    text: options.Text = "",
    form: options.Form = "",
    folder: Annotated[int, typer.Option(help="The folder; 0 = the root.")] = 0,
    set_field: options.SetFields = [],  # noqa: B006 (Typer reads it, nobody changes it)
    add_interest: _Ids = [],  # noqa: B006
    remove_interest: _Ids = [],  # noqa: B006
    add_selection: _Ids = [],  # noqa: B006
    remove_selection: _Ids = [],  # noqa: B006
    add_project: _Ids = [],  # noqa: B006
    remove_project: _Ids = [],  # noqa: B006
    follow_up: options.FollowUp = "",
    follow_up_user: Annotated[int, typer.Option(help="The user who gets it, without or instead of our contact.")] = 0,
    our_contact: Annotated[bool, typer.Option("--our-contact", help="Our contact gets the follow-up.")] = False,
    follow_up_project: Annotated[int, typer.Option(help="The project that the follow-up belongs to.")] = 0,
    service_request: options.ServiceRequest = "",
    category: Annotated[int, typer.Option(help="The service request's category.")] = 0,
    priority: Annotated[int, typer.Option(help="The service request's priority.")] = 0,
    owner: Annotated[str, typer.Option(metavar="ID|automatic", help="Who owns the service request.")] = "",
    script: options.Script = 0,
    webhook: options.Webhook = "",
    webhook_secret: options.WebhookSecret = "",
    actions: options.Actions = None,
    as_json: Json = False,
) -> None:
    """Make a registered link.

    Actions run in this order: fields, interests, selections, projects, follow-up, service request, script, webhook, then those of
    --actions.
    """
    if [bool(url), bool(text), bool(form)].count(True) != 1:
        raise typer.BadParameter("give either --url, --text or --form")
    link = link_pb2.Link(name=name, folder_id=folder)
    _respond(link, url, text, form)
    link.actions.extend(options.set_fields(set_field))
    if add_interest or remove_interest:
        link.actions.add(interests=link_pb2.ChangeInterests(add=add_interest, remove=remove_interest))
    if add_selection or remove_selection:
        link.actions.add(selection=link_pb2.ChangeSelections(add=add_selection, remove=remove_selection))
    if add_project or remove_project:
        link.actions.add(project=link_pb2.ChangeProjects(add=add_project, remove=remove_project))
    link.actions.extend(options.follow_up(follow_up, follow_up_user, our_contact, follow_up_project))
    link.actions.extend(options.service_request(service_request, category, priority, owner))
    link.actions.extend(options.script(script))
    link.actions.extend(options.webhook(webhook, webhook_secret))
    link.actions.extend(options.from_file(actions))
    with connection(ctx) as service:
        show(service.links.CreateLink(link_service_pb2.CreateLinkRequest(link=link)), as_json)


def update(
    ctx: typer.Context,
    id: _Id,
    name: Annotated[str | None, typer.Option(help="The new name.")] = None,
    url: Annotated[str, typer.Option(help="Where a click leads from now on.")] = "",
    text: options.Text = "",
    form: options.Form = "",
    actions: options.Actions = None,
    as_json: Json = False,
) -> None:
    """Change a link, at once for mails already out. --actions replaces all actions; an empty list removes them."""
    if [bool(url), bool(text), bool(form)].count(True) > 1:
        raise typer.BadParameter("give either --url, --text or --form")
    if name is None and not url and not text and not form and actions is None:
        raise typer.BadParameter("say what to change: --name, --url, --text, --form or --actions")
    request = link_service_pb2.UpdateLinkRequest(link=link_pb2.Link(id=id, name=name or ""))
    _respond(request.link, url, text, form)
    request.link.actions.extend(options.from_file(actions))
    responses = {"redirect": bool(url), "custom_text": bool(text), "form": bool(form)}
    changed = {"name": name is not None, **responses, "actions": actions is not None}
    request.update_mask.paths.extend(path for path, does_change in changed.items() if does_change)
    with connection(ctx) as service:
        show(service.links.UpdateLink(request), as_json)


def move(
    ctx: typer.Context,
    ids: Annotated[list[int], typer.Argument(help="The links' ids.")],
    folder: Annotated[int, typer.Option(help="Where to; 0 = the root.")],
) -> None:
    """Move links to a folder. All are moved or none."""
    with connection(ctx) as service:
        count = service.links.MoveLinks(link_service_pb2.MoveLinksRequest(ids=ids, folder_id=folder)).moved_count
    say(f"{count} moved{', the others were there already' if count < len(ids) else ''}")


def reset(ctx: typer.Context, id: _Id, as_json: Json = False) -> None:
    """Set a link's counts to 0 and forget who clicked it, in every mailing."""
    with connection(ctx) as service:
        show(service.links.ResetLink(link_service_pb2.ResetLinkRequest(id=id)), as_json)


def delete(ctx: typer.Context, id: _Id, as_json: Json = False) -> None:
    """Hide a link from lists; mails already sent go on working."""
    with connection(ctx) as service:
        show(service.links.DeleteLink(link_service_pb2.DeleteLinkRequest(id=id)), as_json)


def undelete(ctx: typer.Context, id: _Id, as_json: Json = False) -> None:
    """Show a deleted link again."""
    with connection(ctx) as service:
        show(service.links.UndeleteLink(link_service_pb2.UndeleteLinkRequest(id=id)), as_json)


def url(
    ctx: typer.Context,
    id: _Id,
    person: Annotated[int, typer.Option(help="A person of the CRM: the URL is this person's.")] = 0,
    email: Annotated[str, typer.Option(help="An address: the URL is its owner's.")] = "",
    as_json: Json = False,
) -> None:
    """Print a link's URL for a signature or a web page, outside any mailing: nobody's, a person's, or an address's."""
    request = mailing_service_pb2.MintUrlsRequest(link_ids=[id], recipients=[options.recipient(person, email)])
    with connection(ctx) as service:
        response = next(service.mailings.MintUrls(iter([request])), None)
    if response is None or not response.results:
        raise WrongAnswer("the service minted no URL")
    minted = response.results[0]
    if minted.HasField("error"):
        raise Problem(words.recipient_error(minted.error))
    if as_json:
        json_line(minted.urls[0])
    else:
        print(minted.urls[0].url)


def _respond(link: link_pb2.Link, url: str, text: str, form: str) -> None:
    if url:
        link.redirect.url = url
    elif text:
        link.custom_text.html = options.text_of(text)
    elif form:
        link.form.url = form


COMMANDS: dict[str, Callable[..., None]] = {
    "create": create,
    "show": link_show.show_one,
    "list": link_show.list_,
    "update": update,
    "move": move,
    "reset": reset,
    "delete": delete,
    "undelete": undelete,
    "url": url,
}
