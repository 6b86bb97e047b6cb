"""What one recipient's message looks like."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.messages.part import Part
from server.messages.render import MissingFields, Renderer, render
from server.messages.template import Literal, MergeField, PlacementSlot, segments_of

HELLO = (Literal("Å ".encode()), MergeField("name"), Literal(b" <"), PlacementSlot(3), Literal(b"> "), MergeField("name"))

VALUES = [
    (Part.html, "utf-8", "Ola", b"Ola"),
    (Part.html, "utf-8", "Bjørg Ås", "Bjørg Ås".encode()),
    (Part.html, "utf-8", "<b>&amp;\"'", b"&lt;b&gt;&amp;amp;&quot;&#x27;"),
    (Part.html, "iso-8859-1", "Åse", b"\xc5se"),
    (Part.html, "iso-8859-1", "Żak & 🌷", b"&#379;ak &amp; &#127799;"),
    (Part.html, "us-ascii", "Åse", b"&#197;se"),
    (Part.html, "utf-8", "\ud800", b"&#55296;"),
    (Part.html, "utf-8", "{{name}}", b"{{name}}"),
    (Part.html, "utf-8", "", b""),
    (Part.text, "utf-8", "<b>&amp;\"'", b"<b>&amp;\"'"),
    (Part.text, "utf-8", "Bjørg", "Bjørg".encode()),
    (Part.text, "iso-8859-1", "Åse Żak", b"\xc5se ?ak"),
    (Part.text, "us-ascii", "Åse", b"?se"),
    (Part.text, "utf-8", "\ud800", b"?"),
]


def test_urls_and_values_go_where_the_template_says() -> None:
    rendered = render(Part.html, HELLO, {3: "https://t.example/abc"}, {"name": "Ola & co"}, "utf-8")
    assert rendered == "Å Ola &amp; co <https://t.example/abc> Ola &amp; co".encode()


@pytest.mark.parametrize(("part", "charset", "value", "rendered"), VALUES)
def test_a_value_is_written_for_its_part_and_charset(part: Part, charset: str, value: str, rendered: bytes) -> None:
    assert render(part, [MergeField("name")], {}, {"name": value}, charset) == rendered


def test_a_value_that_looks_like_a_field_is_not_filled_again() -> None:
    assert render(Part.text, [MergeField("a"), MergeField("b")], {}, {"a": "{{b}}", "b": "x"}, "utf-8") == b"{{b}}x"


def test_one_value_is_written_as_each_of_its_places_needs() -> None:
    content = b"<a href='https://a.no/?q={{x}}' title={{x}} style='color:{{x}}'>{{x}}</a>"
    rendered = render(Part.html, segments_of(Part.html, content, []), {}, {"x": "a & b"}, "utf-8")
    assert rendered == b"<a href='https://a.no/?q=a%20%26%20b' title=a&#32;&#38;&#32;b style='color:a  b'>a &amp; b</a>"


def test_a_field_missing_in_two_places_is_named_once() -> None:
    with pytest.raises(MissingFields) as caught:
        render(Part.html, segments_of(Part.html, b"{{x}}<p title={{x}}>", []), {}, {}, "utf-8")
    assert caught.value.names == ("x",)


def test_all_missing_fields_are_named_at_once() -> None:
    segments = segments_of(Part.text, b"{{a}} {{b}} {{c}} {{ a }}", [])
    with pytest.raises(MissingFields, match="no value for the merge fields a, c") as caught:
        render(Part.text, segments, {}, {"b": "x", "unused": "y"}, "utf-8")
    assert caught.value.names == ("a", "c")


def test_a_placement_without_url_is_a_defect_of_the_caller() -> None:
    with pytest.raises(KeyError):
        render(Part.html, HELLO, {}, {"name": "Ola"}, "utf-8")


def test_one_renderer_serves_many_recipients() -> None:
    renderer = Renderer(Part.text, HELLO, "utf-8")
    first = renderer.render({3: "https://t.example/1"}, {"name": "Kari"})
    second = renderer.render({3: "https://t.example/2"}, {"name": "Per"})
    assert first == "Å Kari <https://t.example/1> Kari".encode()
    assert second == "Å Per <https://t.example/2> Per".encode()


@given(st.sampled_from(Part), st.binary())
def test_without_slots_and_fields_the_message_is_the_same_bytes(part: Part, content: bytes) -> None:
    segments = segments_of(part, content, [])
    names = {segment.name: f"{{{{{segment.name}}}}}" for segment in segments if isinstance(segment, MergeField)}
    assert names or render(part, segments, {}, {}, "utf-8") == content


@given(st.sampled_from(Part), st.text(), st.sampled_from(["utf-8", "iso-8859-1", "us-ascii", "windows-1252"]))
def test_every_value_can_be_written_and_breaks_out_of_no_attribute(part: Part, value: str, charset: str) -> None:
    rendered = render(part, [MergeField("x")], {}, {"x": value}, charset)
    assert part is Part.text or not set(b"<>\"'") & set(rendered)
