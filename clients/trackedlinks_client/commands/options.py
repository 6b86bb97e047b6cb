"""Options that say what a click makes happen, and what they mean in the contract."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from google.protobuf import json_format

from trackedlinks.v1 import link_pb2, mailing_pb2
from trackedlinks_client.problems import Problem

_TYPES = {
    "task": link_pb2.FOLLOW_UP_TYPE_TASK,
    "appointment": link_pb2.FOLLOW_UP_TYPE_APPOINTMENT,
    "phone-call": link_pb2.FOLLOW_UP_TYPE_PHONE_CALL,
}

SetFields = Annotated[list[str], typer.Option("--set-field", metavar="NAME=VALUE", help="Set an extra field of the contact card.")]
Text = Annotated[str, typer.Option("--text", metavar="FILE_OR_HTML", help="Show this text instead of redirecting: a file, or HTML.")]
Form = Annotated[str, typer.Option("--form", metavar="URL", help="Lead to this form instead, its {{fields}} filled in from contact data.")]
Actions = Annotated[Path | None, typer.Option("--actions", metavar="FILE.json", help="Link actions: a list in proto JSON.")]
FollowUp = Annotated[str, typer.Option("--follow-up", metavar="TYPE:DESCRIPTION", help="Make a task, an appointment or a phone-call.")]
ServiceRequest = Annotated[str, typer.Option("--service-request", metavar="TITLE", help="Make a service request.")]
Script = Annotated[int, typer.Option("--script", metavar="ID", help="Run this script, in its newest version.")]
Webhook = Annotated[str, typer.Option("--webhook", metavar="URL", help="Send a signed event to another system.")]
WebhookSecret = Annotated[str, typer.Option("--webhook-secret", metavar="SECRET", help="What the event is signed with: whsec_ and base64.")]


def recipient(person: int, email: str) -> mailing_pb2.Recipient:
    """Who is meant by --person and --email: nobody without either."""
    if person and email:
        raise typer.BadParameter("give --person or --email, not both")
    who = mailing_pb2.Recipient()
    if person:
        who.person_id = person
    elif email:
        who.email = email
    return who


def set_fields(assignments: Sequence[str]) -> list[link_pb2.LinkAction]:
    """What `--set-field NAME=VALUE` means. Raises typer.BadParameter without `=`."""
    if wrong := [each for each in assignments if "=" not in each]:
        raise typer.BadParameter(f"must read NAME=VALUE, not {wrong[0]!r}", param_hint="--set-field")
    pairs = [each.partition("=") for each in assignments]
    return [link_pb2.LinkAction(set_field=link_pb2.SetField(field=name, value=value)) for name, _, value in pairs]


def follow_up(spelling: str, user: int, our_contact: bool, project: int) -> list[link_pb2.LinkAction]:
    """What `--follow-up TYPE:DESCRIPTION` and the options about it mean. Raises typer.BadParameter for an unknown type."""
    if not spelling:
        if user or our_contact or project:
            raise typer.BadParameter("--follow-up-user, --our-contact and --follow-up-project need --follow-up")
        return []
    name, _, description = spelling.partition(":")
    if name not in _TYPES:
        raise typer.BadParameter(f"must start with one of {', '.join(_TYPES)}, not {name!r}", param_hint="--follow-up")
    made = link_pb2.CreateFollowUp(
        type=_TYPES[name], description=description, default_recipient=user, assign_to_our_contact=our_contact, project_id=project
    )
    return [link_pb2.LinkAction(follow_up=made)]


def service_request(title: str, category: int, priority: int, owner: str) -> list[link_pb2.LinkAction]:
    """What `--service-request TITLE` and the options about it mean. Raises typer.BadParameter for an owner that is none."""
    if not title:
        if category or priority or owner:
            raise typer.BadParameter("--category, --priority and --owner need --service-request")
        return []
    made = link_pb2.CreateServiceRequest(title=title, category_id=category, priority_id=priority)
    if owner == "automatic":
        made.owner = link_pb2.SERVICE_REQUEST_OWNER_AUTOMATIC
    elif owner:
        if not (owner.isascii() and owner.isdigit() and len(owner) < 19):
            raise typer.BadParameter(f"must be a user's id or automatic, not {owner!r}", param_hint="--owner")
        made.owner, made.owner_id = link_pb2.SERVICE_REQUEST_OWNER_USER, int(owner)
    return [link_pb2.LinkAction(service_request=made)]


def script(script_id: int) -> list[link_pb2.LinkAction]:
    """What `--script ID` means."""
    return [link_pb2.LinkAction(script=link_pb2.RunScript(script_id=script_id))] if script_id else []


def webhook(url: str, secret: str) -> list[link_pb2.LinkAction]:
    """What `--webhook URL` and its secret mean. Raises typer.BadParameter for one without the other."""
    if bool(url) != bool(secret):
        raise typer.BadParameter("--webhook and --webhook-secret need each other")
    return [link_pb2.LinkAction(webhook=link_pb2.SendWebhook(url=url, secret=secret))] if url else []


def from_file(path: Path | None) -> list[link_pb2.LinkAction]:
    """The actions in a file: a list of LinkAction in proto JSON. Raises Problem, saying what is wrong where; OSError."""
    if path is None:
        return []
    try:
        found: Any = json.loads(path.read_text("utf-8"))
    except ValueError as error:  # no JSON, or no UTF-8
        raise Problem(f"{path}: {error}") from None
    if not isinstance(found, list):
        raise Problem(f'{path}: must be a list of actions, such as [{{"setField": {{"field": "colour", "value": "red"}}}}]')
    return [_action(path, index, each) for index, each in enumerate(found)]


def text_of(file_or_html: str) -> str:
    """A text: that of a file, or as it is. Raises Problem when it looks like the name of a file that does not exist; OSError."""
    if "<" in file_or_html or len(file_or_html) > 1000:
        return file_or_html
    if Path(file_or_html).is_file():
        try:
            return Path(file_or_html).read_text("utf-8")
        except UnicodeDecodeError as error:
            raise Problem(f"{file_or_html}: {error}") from None
    if Path(file_or_html).suffix in (".html", ".htm", ".txt"):
        raise Problem(f"{file_or_html}: there is no such file")
    return file_or_html


def _action(path: Path, index: int, content: Any) -> link_pb2.LinkAction:
    try:
        return json_format.ParseDict(content, link_pb2.LinkAction())
    except (json_format.ParseError, AttributeError, TypeError) as error:  # the latter two: content is no JSON object
        raise Problem(f"{path}: action {index}: {error}") from None
