"""The contract's values in words that a marketer understands."""

from collections.abc import Iterable, Sequence

from google.protobuf.descriptor import EnumDescriptor

from trackedlinks.v1 import click_pb2, link_pb2, mailing_pb2, mailing_service_pb2
from trackedlinks_client.output import when

_REASONS = {
    mailing_service_pb2.LEFT_ALONE_REASON_NOT_HTTP: "not http or https",
    mailing_service_pb2.LEFT_ALONE_REASON_ANCHOR: "points within the message",
    mailing_service_pb2.LEFT_ALONE_REASON_RELATIVE: "has no host of its own",
    mailing_service_pb2.LEFT_ALONE_REASON_MARKED: 'carries data-track="false"',
    mailing_service_pb2.LEFT_ALONE_REASON_MERGE_FIELD: "holds a merge field in scheme or host, or what is none",
    mailing_service_pb2.LEFT_ALONE_REASON_EMPTY: "is empty",
    mailing_service_pb2.LEFT_ALONE_REASON_INVALID_URL: "is no URL that a redirect may lead to",
    mailing_service_pb2.LEFT_ALONE_REASON_NOT_REGISTERED: "not a registered link, and the mailing does not track all links",
}


def left_alone_reason(reason: mailing_service_pb2.LeftAloneReason.ValueType) -> str:
    """Why an address of a message is not tracked."""
    return _REASONS.get(reason, f"reason {reason}")


def enum(values: EnumDescriptor, number: int, prefix: str) -> str:
    """The name of an enum's value in small letters, without its prefix; the number of one that is newer than this program."""
    found = values.values_by_number.get(number)
    return found.name.removeprefix(prefix).lower().replace("_", " ") if found else str(number)


def part(value: mailing_pb2.MessagePart.ValueType) -> str:
    """A part of a message."""
    return enum(mailing_pb2.MessagePart.DESCRIPTOR, value, "MESSAGE_PART_")


def whose(of: mailing_service_pb2.TrackedAddress) -> str:
    """What a tracked address of a message became."""
    if of.placement.kind == mailing_pb2.PLACEMENT_KIND_LINK:
        return "this mailing's" if of.local else "registered"
    return enum(mailing_pb2.PlacementKind.DESCRIPTOR, of.placement.kind, "PLACEMENT_KIND_")


def response(link: link_pb2.Link) -> str:
    """What the recipient gets, short."""
    if link.HasField("redirect"):
        return link.redirect.url
    if link.HasField("form"):
        return f"form: {link.form.url}"
    text = " ".join(link.custom_text.html.split())
    return f"text: {text[:60]}{'…' if len(text) > 60 else ''}"


def link_name(link: link_pb2.Link) -> str:
    """A link's name; that of a mailing's own link is its URL, which needs not be said twice."""
    return "(this mailing's)" if link.mailing_id and link.name == link.redirect.url else link.name


def recipient(who: mailing_pb2.Recipient) -> str:
    """A recipient: name, person id or address, as far as they are known."""
    identity = f"person {who.person_id}" if who.HasField("person_id") else who.email
    return f"{who.name} ({identity})" if who.name and identity else who.name or identity or "nobody"


def outcomes(of: Iterable[click_pb2.ActionOutcome]) -> str:
    """What became of actions; those that fared alike are named together."""
    alike: dict[str, list[str]] = {}
    for each in of:
        state = enum(click_pb2.ActionState.DESCRIPTOR, each.state, "ACTION_STATE_")
        alike.setdefault(f"{state}: {each.reason}" if each.reason else state, []).append(str(each.action_id))
    return "; ".join(f"{', '.join(ids)} {what}" for what, ids in alike.items())


def recipient_error(error: mailing_service_pb2.RecipientError) -> str:
    """Why one recipient could not be served."""
    return "; ".join(f"{each.field}: {each.description}" for each in error.violations)


def action(of: link_pb2.LinkAction) -> str:
    """What a click makes happen, and how often."""
    what = _kind(of)
    if of.repeat_policy:
        what += f", {enum(link_pb2.RepeatPolicy.DESCRIPTOR, of.repeat_policy, 'REPEAT_POLICY_')}"
    return what


def _kind(of: link_pb2.LinkAction) -> str:
    match of.WhichOneof("kind"):
        case "set_field":
            return f"set {of.set_field.field!r} to {of.set_field.value!r}" if of.set_field.value else f"clear {of.set_field.field!r}"
        case "interests":
            return _changes("interest", of.interests.add, of.interests.remove)
        case "selection":
            return _changes("selection", of.selection.add, of.selection.remove)
        case "project":
            return _changes("project", of.project.add, of.project.remove)
        case "follow_up":
            return _follow_up(of.follow_up)
        case "service_request":
            return _service_request(of.service_request)
        case "script":
            return f"run script {of.script.script_id}{f' in version {of.script.version}' if of.script.version else ''}"
        case "webhook":
            return _webhook(of.webhook)
        case None:
            return "something that this version does not know"


def _changes(noun: str, add: Sequence[int], remove: Sequence[int]) -> str:
    return " and ".join(
        f"{verb} {noun}{'s' if len(ids) > 1 else ''} {', '.join(map(str, ids))}" for verb, ids in (("add", add), ("remove", remove)) if ids
    )


def _follow_up(made: link_pb2.CreateFollowUp) -> str:
    whose = [f"user {user}" for user in (made.default_recipient, made.created_by) if user][:1]
    owners = " or else ".join(["our contact", *whose] if made.assign_to_our_contact else whose)
    words = f"make a {enum(link_pb2.FollowUpType.DESCRIPTOR, made.type, 'FOLLOW_UP_TYPE_')} for {owners}"
    words += f" in project {made.project_id}" if made.project_id else ""
    words += f" at {when(made.start_time)}" if made.HasField("start_time") else ""
    words += f" of {made.duration} min" if made.duration else ""
    words += " as an assignment" if made.as_assignment else ""
    return f"{words}: {made.description}" if made.description else words


def _service_request(made: link_pb2.CreateServiceRequest) -> str:
    words = f"make a service request {made.title!r}"
    words += f" in category {made.category_id}" if made.category_id else ""
    words += f" with priority {made.priority_id}" if made.priority_id else ""
    match made.owner:
        case link_pb2.SERVICE_REQUEST_OWNER_USER:
            return f"{words} owned by user {made.owner_id}"
        case link_pb2.SERVICE_REQUEST_OWNER_AUTOMATIC:
            return f"{words} with an automatic owner"
        case _:
            return words


def _webhook(sent: link_pb2.SendWebhook) -> str:
    words = f"send a signed event to {sent.url}"
    changing = sent.HasField("previous_secret_expire_time")
    return f"{words}, until {when(sent.previous_secret_expire_time)} with the secret before as well" if changing else words
