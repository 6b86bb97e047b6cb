"""Rewriting any message: nothing outside an address changes, and once is enough."""

from collections.abc import Sequence

from hypothesis import example, given
from hypothesis import strategies as st

from server.messages.fields import fields_of
from server.messages.find import FoundAddress, find_links
from server.messages.part import Part
from server.messages.template import Literal, MergeField, PlacementSlot, Slot, segments_of
from server.model.mailing import LeftAloneReason

URL = b"https://t.example/AQIAZidgZVYZfX-pAgA"

FRAGMENTS = [
    # Tags and attributes, in all spellings
    *("<a ", "<A\n", "<area ", "<v:rect ", "<p>", "</a>", "<b ", "<a/", "<", ">", "/>", "href=", "HREF = ", "xlink:href=", "title=", "x"),
    *("'", '"', "`", " ", "\n", "\t", "\f", "/", "=", "data-track=false", "<a href='https://a.no/'>", "<a href=https://b.no/x>"),
    # What hides tags
    *("<!--", "-->", "--!>", "--", "<!--[if mso]>", "<![endif]-->", "<!--[if !mso]><!-->", "<![if !mso]>", "<![endif]>", "<![CDATA["),
    *("<script>", "</script>", "<style>", "</style>", "<title>", "</title>", "<textarea>", "<plaintext>", "<!doctype ", "<?"),
    # Addresses and what stands in them and around them
    *(
        "https://a.no/",
        "HTTP://B.no",
        "https://",
        "https://u@",
        ":81",
        "?a=1",
        "#f",
        "mailto:a@b.no",
        "trackedlink:1",
        "//a.no",
        "[0]",
        "%",
    ),
    *("(", ")", "[", "]", "{", "}", ".", ",", ";", "!", "'s", "«", "”", "\xa0", "å", "\\", "javascript:"),
    *("&amp;", "&#38;", "&copy=1", "&copy;", "&notit;", "&amp;amp;", "&", "&#", "&#x41", "&#10;", "&#123;"),
    *("{{x}}", "{{ y }}", "{{", "}}", '{{ TrackLink "x" }}', "{{#if}}", "{{{x}}}"),
    # Bytes that are no text
    *("\0", "\udcff", "\udcc3", "\udce5", "\udc80"),
]

contents = st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=2)).map(lambda them: "".join(them).encode("utf-8", "surrogatepass")) | (
    st.lists(st.sampled_from(FRAGMENTS)).map(lambda them: "".join(them).encode("utf-8", "surrogateescape")) | st.binary()
)
parts, charsets = st.sampled_from(Part), st.sampled_from(["utf-8", "us-ascii", "iso-8859-1", "windows-1252"])


def slots_of(found: Sequence[FoundAddress]) -> list[Slot]:
    return [Slot(address.start, address.end, number) for number, address in enumerate(found) if address.left_alone is None]


def rewritten(part: Part, content: bytes, charset: str) -> bytes:
    """The message as its template says, with one URL in every slot and each merge field as it was."""
    fields = {field.start: content[field.start : field.end] for field in fields_of(part, content, charset)}
    slots = {slot.placement_id: slot for slot in slots_of(find_links(part, content, charset))}
    made, position = [], 0
    for segment in segments_of(part, content, list(slots.values()), charset):
        match segment:
            case Literal(literal):
                made.append(literal)
                position += len(literal)
            case PlacementSlot(number):
                made.append(URL)
                position = slots[number].end
            case MergeField():
                made.append(fields[position])
                position += len(fields[position])
    return b"".join(made)


@given(parts, contents, charsets)
@example(Part.html, b"{{x}}<a href='https://a.no/{{x}}?{{ y }}'>{{x}}<b>{{ y }}</b>", "utf-8")
@example(Part.html, b"<!--[if mso]><a href=https://a.no/--><a href=https://b.no/>", "utf-8")
def test_nothing_but_addresses_changes(part: Part, content: bytes, charset: str) -> None:
    expected = content
    for slot in reversed(slots_of(find_links(part, content, charset))):
        expected = expected[: slot.start] + URL + expected[slot.end :]
    assert rewritten(part, content, charset) == expected


@given(parts, contents, charsets)
@example(Part.text, b"(https://a.no/(x)). https://b.no/y).", "utf-8")
@example(Part.html, b"<!--[if mso]><a href=https://a.no/><![endif]--><a href='https://a.no/?a&copy;'>", "utf-8")
def test_a_rewritten_message_has_the_same_links_and_a_second_rewrite_changes_nothing(part: Part, content: bytes, charset: str) -> None:
    once = rewritten(part, content, charset)
    shift = 0
    expected: list[tuple[int, int, str, LeftAloneReason | None]] = []
    for address in find_links(part, content, charset):
        start, end = address.start + shift, address.end + shift
        if address.left_alone is None:
            shift += len(URL) - (end - start)
            expected.append((start, start + len(URL), URL.decode(), None))
        else:
            expected.append((start, end, address.url, address.left_alone))
    assert [(each.start, each.end, each.url, each.left_alone) for each in find_links(part, once, charset)] == expected
    assert rewritten(part, once, charset) == once


@given(parts, contents)
def test_merge_fields_outside_addresses_are_the_same_after_a_rewrite(part: Part, content: bytes) -> None:
    # An address that begins in front of a field and ends behind it takes the field with it; the others must keep their escaping.
    slots = slots_of(find_links(part, content))
    before = [segment for segment in segments_of(part, content, slots) if isinstance(segment, MergeField)]
    after = rewritten(part, content, "utf-8")
    again = slots_of(find_links(part, after))
    assert [segment for segment in segments_of(part, after, again) if isinstance(segment, MergeField)] == before
