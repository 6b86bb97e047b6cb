"""How a message becomes literals, slots and merge fields."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.messages.escaping import MergeFieldEscaping
from server.messages.find import find_links
from server.messages.part import Part
from server.messages.template import Literal, MergeField, PlacementSlot, Segment, Slot, field_names, segments_of

NAMES = [
    ("{{name}}", ["name"]),
    ("{{ name }}", ["name"]),
    ("{{\tname  }}", ["name"]),
    ("{{recipient.name}}{{_x}}{{a-b_c.9}}", ["recipient.name", "_x", "a-b_c.9"]),
    ("{{" + "x" * 64 + "}}", ["x" * 64]),
    ("{{" + "x" * 65 + "}}", []),
    ("{{}} {{ }} {{9x}} {{.x}} {{a b}} {{å}} {{a}b}} {{#each x}} {{/each}} {{x|y}} {{x}", []),
    ("{{\nname}} {name} { {name}} {{name} }", []),
    (r"\{{name}} \\{{name}}", []),
    ("{{{name}}} \\{{{name}}}", []),
    ("{{a}}}{{b}}", ["a", "b"]),
    ("{{a}} }{{{b}} {{ {{c}}", ["a", "c"]),
    ("<a href='{{url}}'><a href=mailto:{{mail}} title='{{title}}'>", ["url", "mail", "title"]),
    ("<!--[if mso]>{{a}}<![endif]-->{{b}}", ["a", "b"]),
]

LITERAL_IN_HTML = [
    "<style>{{a}}</style>",
    "<script>{{a}}</script>",
    "<STYLE>{{a}}",
    "<!-- {{a}} -->",
    "<!-- {{a}}",
    "<![CDATA[{{a}}]]>",
    "<!doctype {{a}}>",
]

FRAGMENTS = [
    *("{{", "}}", "{{a}}", "{{ b }}", "\\", "{", "}", "<!--", "-->", "<style>", "</style>", "<a href='https://a.no/'>", "å"),
    *("<!--[if mso]>", "<a href=", "<b ", "x=", "'", ">", "-", "https://a.no/", " "),
]


@pytest.mark.parametrize("part", Part)
@pytest.mark.parametrize(("mail", "names"), NAMES)
def test_merge_fields_are_what_looks_like_one(mail: str, names: list[str], part: Part) -> None:
    segments = segments_of(part, mail.encode(), [])
    assert [segment.name for segment in segments if isinstance(segment, MergeField)] == names
    assert refilled(part, mail.encode(), []) == mail.encode()


@pytest.mark.parametrize("mail", LITERAL_IN_HTML)
def test_braces_that_no_reader_sees_stay_in_html_and_are_fields_in_text(mail: str) -> None:
    assert segments_of(Part.html, mail.encode(), []) == (Literal(mail.encode()),)
    assert field_names(segments_of(Part.text, mail.encode(), [])) == ("a",)


@pytest.mark.parametrize("tag", ["title", "textarea", "p", "noscript"])
def test_other_elements_hold_fields(tag: str) -> None:
    assert field_names(segments_of(Part.html, f"<{tag}>{{{{a}}}}</{tag}><!-- {{{{b}}}} -->{{{{c}}}}".encode(), [])) == ("a", "c")


def test_segments_come_in_the_order_of_the_message() -> None:
    content = b"Hi {{name}}: <a href='https://a.no/'>{{ x }}</a>"
    assert segments_of(Part.html, content, [Slot(22, 35, 7)]) == (
        Literal(b"Hi "),
        MergeField("name"),
        Literal(b": <a href='"),
        PlacementSlot(7),
        Literal(b"'>"),
        MergeField("x"),
        Literal(b"</a>"),
    )


def test_a_field_knows_how_it_is_escaped() -> None:
    assert segments_of(Part.html, b"<td width={{w}}>", []) == (
        Literal(b"<td width="),
        MergeField("w", MergeFieldEscaping.unquoted),
        Literal(b">"),
    )


def test_addresses_in_text_end_at_the_quotes_of_the_charset() -> None:
    content = "«https://a.no/»{{a}}".encode("iso-8859-1")
    assert segments_of(Part.text, content, [], "iso-8859-1")[-1] == MergeField("a", MergeFieldEscaping.text)


def test_a_field_inside_or_across_a_slot_belongs_to_the_slot() -> None:
    content = b"{{a}}{{b}}{{c}}"
    assert segments_of(Part.text, content, [Slot(5, 10, 1)]) == (MergeField("a"), PlacementSlot(1), MergeField("c"))
    assert segments_of(Part.text, content, [Slot(3, 12, 1)]) == (Literal(b"{{a"), PlacementSlot(1), Literal(b"c}}"))


def test_an_empty_message_has_no_segments() -> None:
    assert segments_of(Part.html, b"", []) == ()


@pytest.mark.parametrize(
    "slots", [[Slot(0, 2, 1), Slot(1, 3, 2)], [Slot(2, 3, 1), Slot(0, 1, 2)], [Slot(2, 1, 1)], [Slot(0, 9, 1)], [Slot(-1, 0, 1)]]
)
def test_slots_that_overlap_or_leave_the_message_are_refused(slots: list[Slot]) -> None:
    with pytest.raises(ValueError, match="slots must be ascending, disjoint and within the content"):
        segments_of(Part.text, b"12345", slots)


def test_field_names_are_distinct_and_in_order() -> None:
    assert field_names(segments_of(Part.text, b"{{b}}{{a}}{{ b }}", [])) == ("b", "a")


@given(
    st.sampled_from(Part),
    st.lists(st.sampled_from(FRAGMENTS)).map("".join).map(str.encode),
)
def test_segments_cover_every_byte_once(part: Part, content: bytes) -> None:
    slots = [Slot(found.start, found.end, index) for index, found in enumerate(find_links(part, content)) if found.left_alone is None]
    assert refilled(part, content, slots) == content
    assert refilled(part, content, []) == content


def refilled(part: Part, content: bytes, slots: list[Slot]) -> bytes:
    """What comes of putting back the raw bytes of slots and fields, each checked against what stands there."""
    places = {slot.placement_id: slot for slot in slots}
    refilled = b""
    for segment in segments_of(part, content, slots):
        refilled += raw_of(segment, content, len(refilled), places)
    return refilled


def raw_of(segment: Segment, content: bytes, position: int, places: dict[int, Slot]) -> bytes:
    match segment:
        case Literal(literal):
            assert literal
            return literal
        case PlacementSlot(placement_id):
            assert places[placement_id].start == position
            return content[position : places[placement_id].end]
        case MergeField(name, _):
            raw = content[position : content.index(b"}}", position) + 2]
            assert raw[:2] == b"{{"
            assert raw[2:-2].strip(b" \t").decode() == name
            return raw
