"""Protobuf messages ↔ models, by field name. It renames and converts; it decides nothing.

A oneof of messages is one field of the model that holds a class with a `tag`, the name of the member. A oneof of plain values is one
optional field each. An enum is its name in lower case (`FOLLOW_UP_TYPE_TASK` ↔ "task"), unspecified is left out.
"""

import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from google.protobuf import field_mask_pb2
from google.protobuf.message import Message
from pydantic import BaseModel, ValidationError

from server.model.errors import Violation, invalid
from server.model.ids import MAX_ID
from server.rpc.contract_fields import Field, real_oneof
from server.rpc.filling import fill
from server.rpc.reading import values_of

M = TypeVar("M", bound=BaseModel)
P = TypeVar("P", bound=Message)

MOST_PATHS = 100

_UNIONS = {"response", "kind", "identity", "answer", "effect"}


def to_model(message: Message, model: type[M], path: str) -> M:
    """The message as a model. Raises INVALID_FIELD with every violation, its path below `path`."""
    return validated(model, to_values(message, model), path)


def validated(model: type[M], values: Mapping[str, Any], path: str) -> M:
    """The values as a model. Raises INVALID_FIELD with every violation, its path below `path`."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise invalid(*violations_of(error, path)) from None


def violations_of(error: ValidationError, path: str) -> list[Violation]:
    """What pydantic found, with paths as a caller writes them: `link.actions[2].interests.add[0]`."""
    return [Violation(_path_of(found["loc"], path), _sentence(found["msg"])) for found in error.errors(include_url=False)]


def to_values(message: Message, model: type[BaseModel] | None = None) -> dict[str, Any]:
    """The fields of a message as plain values, by name. Of a list that is too long only so much is converted that the model sees it is."""
    return values_of(message, model)


def to_message(source: Any, message: type[P]) -> P:
    """The model as a message; attributes that the message does not have stay behind."""
    target = message()
    fill(target, source)
    return target


def patch(message: Message, mask: field_mask_pb2.FieldMask, model: type[M], writable: Sequence[str], path: str) -> Callable[[M], M]:
    """A function that makes the changes of an update to the current model. Raises INVALID_FIELD for a path that cannot be changed.

    Lists are replaced: `FieldMask.MergeMessage` would append to them. Source: AIP-134, AIP-161.
    """
    names = set(writable)
    if len(mask.paths) > MOST_PATHS:
        raise invalid(Violation("update_mask", f"must have at most {MOST_PATHS} paths, not {len(mask.paths):,}"))
    if list(mask.paths) == ["*"]:
        paths = [*writable]
    elif mask.paths:
        unknown = [wanted for wanted in mask.paths if wanted.partition(".")[0] not in names or not _leads(message.DESCRIPTOR, wanted)]
        if unknown:
            can = f"cannot be changed; these can: {', '.join(writable)}, or * for all"
            raise invalid(*(Violation("update_mask", f"{wanted[:100]!r} {can}") for wanted in unknown))
        paths = [*mask.paths]
    else:
        paths = [field.name for field, _ in message.ListFields() if field.name in names]
    whole = field_mask_pb2.FieldMask(paths=paths)
    changed = {real_oneof(field) or field.name for name in paths if (field := message.DESCRIPTOR.fields_by_name[name.partition(".")[0]])}

    def apply(current: M) -> M:
        merged = to_message(current, type(message))
        whole.MergeMessage(message, merged, True, True)
        wanted = to_model(merged, model, path)
        return current.model_copy(update={name: getattr(wanted, name) for name in changed})

    return apply


def request_uuid(text: str) -> str:
    """The request id in its usual spelling, or empty. Raises INVALID_FIELD for what is no UUID."""
    if not text:
        return ""
    try:
        return str(uuid.UUID(text))
    except ValueError:
        raise invalid(Violation("request_id", f"must be a UUID, not {text[:60]!r}")) from None


def user_of(metadata: Iterable[tuple[str, str | bytes]] | None) -> int:
    """The user for whom a call is made, from metadata `trackedlinks-user-id`; 0 = nobody named. Raises INVALID_FIELD."""
    for key, value in metadata or ():
        if key == "trackedlinks-user-id":
            text = value.decode("ascii", "replace") if isinstance(value, bytes) else value
            if not (text.isascii() and text.isdigit() and len(text) <= 19 and 0 < int(text) <= MAX_ID):
                raise invalid(Violation("metadata.trackedlinks-user-id", f"must be a positive integer, not {text[:60]!r}"))
            return int(text)
    return 0


def _leads(descriptor: Field, path: str) -> bool:
    """Whether a path of a field mask leads to a field, through messages that are not lists."""
    here: Field | None = descriptor
    for name in path.split("."):
        field = here.fields_by_name.get(name) if here is not None else None
        if field is None:
            return False
        here = None if field.is_repeated else field.message_type
    return True


def _path_of(loc: tuple[int | str, ...], prefix: str) -> str:
    path = prefix
    for index, step in enumerate(loc):
        if isinstance(step, int):
            path += f"[{step}]"
        elif not (step in _UNIONS and index + 1 < len(loc)) and step != "[key]":
            path += f".{step}" if path else step
    return path


def _sentence(message: str) -> str:
    text = message.removeprefix("Value error, ")
    for theirs, ours in _SENTENCES.items():
        text = text.replace(theirs, ours)
    return text


_SENTENCES = {
    "String should": "must",
    "Input should": "must",
    "List should": "must",
    "Dictionary should": "must",
    "Field required": "is required",
    "a valid datetime": "a time between the years 1 and 9999",
}
"""What pydantic says, and how it is said here."""
