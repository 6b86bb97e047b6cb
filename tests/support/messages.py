"""Hypothesis strategies that fill any protobuf message at random: mostly with what is allowed there, else with values at the edges."""

from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from hypothesis import strategies as st

_UUIDS = [f"0190f3c4-7f6a-7c1e-9b1a-3d2f5c6b7a8{digit}" for digit in range(3)]
_ALLOWED_TEXTS = {
    "url": ["https://example.com/", "http://ø.no/a?b=c#d"],
    "request_id": ["", *_UUIDS],
    "etag": ["", "", "1", "2"],
    "order_by": ["", "name desc", "update_time", "create_time desc"],
    "page_token": [""],
    "secret": ["whsec_c2VjcmV0IG9mIHRoZSByZWNlaXZlciBvbmU=", ""],
    "source": ["returnUrl = 'https://example.org/'", "1/0", "import os", "x ="],
    "click_id": ["", *_UUIDS],
    "email": ["ola@example.com"],
    "paths": ["name", "description", "redirect.url", "actions", "custom_text", "*"],
    "query": ["", "NAME", "%"],
}
_NAMES = ["name", "Name", "NAME (2)", "ø", "straße"]
_ALLOWED_NUMBERS = {"seconds": [1_700_000_000], "nanos": [0, 1000], "duration": [0, 30], "page_size": [0, 1, 2000]}
_IDS = [0, 1, 1, 2, 2, 3]

_NEEDED = {
    "id",
    "ids",
    "link",
    "links",
    "folder",
    "name",
    "redirect",
    "url",
    "html",
    "field",
    "title",
    "add",
    "type",
    "source",
    "secret",
    "script",
}

_EDGE_TEXTS = ["", " ", "x" * 300, "\0", "a\nb", "javascript:x", "{{recipient.name}}", "folder_id", "é"]
_EDGE_NUMBERS = {
    FieldDescriptor.CPPTYPE_INT32: [-1, 2**31 - 1, -(2**31)],
    FieldDescriptor.CPPTYPE_INT64: [-1, 10**12, 2**63 - 1, -(2**63)],
}


def filled(message: type[Message]) -> st.SearchStrategy[Any]:
    """Messages of this type; a field that most calls need is there, another is left out as often as not."""
    fields = {field.name: _values(field) for field in message.DESCRIPTOR.fields}
    needed = {name: fields.pop(name) for name in sorted(_NEEDED & fields.keys())}
    return st.fixed_dictionaries(needed, optional=fields).map(lambda values: message(**values))


def _values(field: Any) -> st.SearchStrategy[Any]:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        key, value = field.message_type.fields
        return st.dictionaries(_value(key), _value(value), max_size=3)
    return st.lists(_value(field), max_size=3) if field.is_repeated else _value(field)


def _value(field: Any) -> st.SearchStrategy[Any]:
    if field.message_type is not None:
        return st.deferred(lambda: filled(field.message_type._concrete_class))
    if field.enum_type is not None:
        return _mostly([*field.enum_type.values_by_number], [-1, 99])
    match field.cpp_type:
        case FieldDescriptor.CPPTYPE_STRING if field.type == FieldDescriptor.TYPE_BYTES:
            return st.binary(max_size=3)
        case FieldDescriptor.CPPTYPE_STRING:
            return _mostly(_ALLOWED_TEXTS.get(field.name, _NAMES), _EDGE_TEXTS)
        case FieldDescriptor.CPPTYPE_BOOL:
            return st.booleans()
        case FieldDescriptor.CPPTYPE_DOUBLE:
            return st.sampled_from([0.0, 0.25, 1e300])
        case number:
            return _mostly(_ALLOWED_NUMBERS.get(field.name, _IDS), _EDGE_NUMBERS[number])


def _mostly(allowed: list[Any], edges: list[Any]) -> st.SearchStrategy[Any]:
    """Nine times of ten one of the allowed values."""
    often = max(1, 9 * len(edges) // len(allowed))
    return st.sampled_from(allowed * often + edges)
