"""What a field of a message of the contract is: a member of a oneof, a map, a time, an enum and its names."""

from functools import cache
from typing import Any, TypeAlias

from google.protobuf.descriptor import EnumDescriptor

Field: TypeAlias = Any  # the stubs know two classes of descriptors and mix them


def real_oneof(field: Field) -> str | None:
    """The oneof of which the field is a member; None for one that stands alone, optional or not."""
    oneof = field.containing_oneof
    return None if oneof is None or oneof.name.startswith("_") else oneof.name


def is_member(field: Field) -> bool:
    """Whether it is a message of a oneof, which a model has under the oneof's name."""
    return real_oneof(field) is not None and field.message_type is not None


def is_time(field: Field) -> bool:
    """Whether it is a time, which a model has as a datetime."""
    return field.message_type is not None and field.message_type.full_name == "google.protobuf.Timestamp"


def is_map(field: Field) -> bool:
    """Whether it is a map, which a model has as a dictionary."""
    return field.message_type is not None and field.message_type.GetOptions().map_entry


@cache
def enum_names(enum: EnumDescriptor) -> dict[int, str]:
    """The names of an enum's numbers, as a model spells them."""
    prefix = len(enum.values_by_number[0].name) - len("UNSPECIFIED")
    return {value.number: value.name[prefix:].lower() for value in enum.values}
