"""Values as they go into a message: by escaping, part and charset; and the client writes the same bytes as the server."""

import html
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.messages.escaping import MergeFieldEscaping, escaped
from server.messages.part import Part
from server.messages.render import Renderer
from server.messages.template import Literal, MergeField, Segment
from server.rpc.messages import tracked_message
from server.tracking import Template, TrackedMessage
from tests.unit.hostile import VALUES
from trackedlinks.v1 import mailing_pb2
from trackedlinks_client import messages as client

CHARSETS = ["utf-8", "us-ascii", "iso-8859-1", "iso-8859-15", "windows-1252", "windows-1251"]

WRITTEN = [
    (MergeFieldEscaping.text, "Åse & <b>\"'", "Åse &amp; &lt;b&gt;&quot;&#x27;", "Åse & <b>\"'"),
    (MergeFieldEscaping.text, "", "", ""),
    (MergeFieldEscaping.unquoted, "a Å-1\n", "a&#32;&#197;&#45;1&#10;", "a Å-1\n"),
    (MergeFieldEscaping.unquoted, "", "&#32;", ""),
    (MergeFieldEscaping.url_component, "a Å/-._~?&'%", "a%20%C3%85%2F-._~%3F%26%27%25", "a%20%C3%85%2F-._~%3F%26%27%25"),
    (MergeFieldEscaping.url_component, "", "", ""),
    (MergeFieldEscaping.url, "https://a.no/?x=1&y", "https&#58;&#47;&#47;a&#46;no&#47;&#63;x&#61;1&#38;y", "https://a.no/?x=1&y"),
    (MergeFieldEscaping.url, "MAILTO:a@b.no", "MAILTO&#58;a&#64;b&#46;no", "MAILTO:a@b.no"),
    (MergeFieldEscaping.url, "javascript:x", "javascript%3Ax", "javascript%3Ax"),
    (MergeFieldEscaping.url, " https://a.no", "%20https%3A%2F%2Fa.no", "%20https%3A%2F%2Fa.no"),
    (MergeFieldEscaping.url, "httpsx:a", "httpsx%3Aa", "httpsx%3Aa"),
    (MergeFieldEscaping.url, "", "&#32;", ""),
    (MergeFieldEscaping.style, "#ff0000;x:url(y) 1.5%,+-Å\n\\", "#ff0000xurly 1.5%,+-", "#ff0000xurly 1.5%,+-"),
]

values = st.lists(st.sampled_from(VALUES) | st.text(max_size=5)).map("".join)
fields = st.builds(MergeField, st.sampled_from("abc"), st.sampled_from(MergeFieldEscaping))


@pytest.mark.parametrize(("escaping", "value", "in_html", "in_text"), WRITTEN)
def test_a_value_is_written_as_the_contract_says(escaping: MergeFieldEscaping, value: str, in_html: str, in_text: str) -> None:
    assert escaped(value, escaping, Part.html, "utf-8").decode() == in_html
    assert escaped(value, escaping, Part.text, "utf-8").decode() == in_text


@pytest.mark.parametrize("escaping", MergeFieldEscaping)
@pytest.mark.parametrize("part", Part)
def test_what_the_charset_lacks_is_written_nevertheless(escaping: MergeFieldEscaping, part: Part) -> None:
    lacking = {MergeFieldEscaping.url_component: b"%C5%BB%3F", MergeFieldEscaping.url: b"%C5%BB%3F", MergeFieldEscaping.style: b""}
    written = b"&#379;&#55296;" if part is Part.html else b"??"
    assert escaped("Ż\ud800", escaping, part, "iso-8859-1") == lacking.get(escaping, written)


@given(values, st.sampled_from(Part), st.sampled_from(CHARSETS))
def test_a_component_decodes_to_the_value_in_any_charset(value: str, part: Part, charset: str) -> None:
    written = escaped(value, MergeFieldEscaping.url_component, part, charset).decode("ascii")
    assert unquote(written) == value.encode("utf-8", "replace").decode()


@given(st.text(st.characters(min_codepoint=32, exclude_categories=["Cs", "Cc", "Cn"])), st.sampled_from(CHARSETS))
def test_html_escapings_mean_the_value_to_a_reader(value: str, charset: str) -> None:
    assert html.unescape(escaped(value, MergeFieldEscaping.text, Part.html, charset).decode(charset)) == value
    assert html.unescape(escaped(value, MergeFieldEscaping.unquoted, Part.html, charset).decode(charset)) == (value or " ")
    assert html.unescape(escaped(f"https:{value}", MergeFieldEscaping.url, Part.html, charset).decode(charset)) == f"https:{value}"


@given(
    html=st.lists(fields | st.binary(min_size=1).map(Literal)),
    text=st.lists(fields | st.binary(min_size=1).map(Literal)),
    brought=st.fixed_dictionaries({"a": values, "b": values, "c": values}),
    charset=st.sampled_from(CHARSETS),
)
def test_the_client_writes_the_bytes_that_the_server_writes(
    html: list[Segment], text: list[Segment], brought: dict[str, str], charset: str
) -> None:
    template = tracked_message(TrackedMessage(Template(charset, html, text), [], [])).template
    here = client.Renderer(mailing_pb2.MessageTemplate.FromString(template.SerializeToString())).render({}, brought)
    assert here.html == Renderer(Part.html, html, charset).render({}, brought)
    assert here.text == Renderer(Part.text, text, charset).render({}, brought)


def test_a_client_does_not_guess_an_escaping_that_it_does_not_know() -> None:
    segment = mailing_pb2.Segment(merge_field="a", escaping=99)  # type: ignore[arg-type]  # of a later version
    with pytest.raises(KeyError):
        client.Renderer(mailing_pb2.MessageTemplate(html=[segment])).render({}, {"a": "x"})
