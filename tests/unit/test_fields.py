"""Where merge fields stand, and how their values are escaped there."""

import pytest

from server.messages.escaping import MergeFieldEscaping
from server.messages.fields import fields_of
from server.messages.part import Part

HTML = [
    ("{{a}} <p>{{b}}</p> 1 < {{c}} <> {{d}} <3{{e}} & {{f}}", "text text text text text text"),
    ("<title>{{a}}</title><textarea>{{b}} <b> {{c}}</textarea><noscript>{{d}}</noscript>", "text text text text"),
    ("<p title='{{a}}' alt=\"{{b}}\" data-href='{{c}}' class='x {{d}}'>", "text text text text"),
    ("<p title={{a}} alt = x{{b}}{{c}} width={{d}}/>", "unquoted unquoted unquoted unquoted"),
    ("<a href='{{a}}'><img SRC=\"{{b}}\"><form action={{c}}><td background={{d}}>", "url url url url"),
    ("<a href=' \n{{a}}/{{b}}{{c}}'>", "url url_component url_component"),
    ("<a href='https://a.no/{{a}}?{{b}}#{{c}}'><a href=https://a.no/{{d}}>", "url_component url_component url_component url_component"),
    ("<a href='mailto:{{a}}?subject={{b}}'><a href='&#32;{{c}}'>", "url_component url_component url_component"),
    ("<a xlink:href='{{a}}'><v:rect href='{{b}}' o:href='{{c}}'><v:fill src='{{d}}/{{e}}'>", "url url url url url_component"),
    ("<button formaction='{{a}}'><video poster='{{b}}'><q cite='{{c}}'><object data='{{d}}'>", "url url url url"),
    ("<img longdesc='{{a}}' usemap='#{{b}}' lowsrc='{{c}}'>", "url url_component url"),
    ("<img srcset='{{a}} 2x, {{b}} 3x' data-src='{{c}}'><source srcset=x{{d}}>", "url_component url_component text url_component"),
    ("<p style='{{a}}:{{b}}' title='{{c}}'>", "style style text"),
    ("<meta name=description content='{{a}}'>", "text"),
    ("<!--[if mso]>{{a}}<v:rect href='{{b}}' alt={{c}}><![endif]-->{{d}}", "text url unquoted text"),
    ("<!--[if mso]>{{a}}<![endif]--> {{b}}> {{c}}->", "text text text"),
    ("<!--[if !mso]><!-->{{a}}><!--<![endif]-->", "text"),
    ("<![if !mso]>{{a}}<![endif]>", "text"),
    ("<!--[if mso]>{{a}}-->", "text"),
    (
        "<!--[if mso]><script><![endif]-->{{a}}<!--[if mso]><style><![endif]-->{{b}}<!--[if mso]><plaintext><![endif]-->{{c}}",
        "text text text",
    ),
    ("<!--[if mso]>{{a}} -> {{b}}- x>", "text text"),
]

NO_FIELDS = [
    # Nobody would see the value
    "<!-- {{a}} -->",
    "<!--[if {{a}}]><![endif]-->",
    "<!--[if mso]><!-- {{a}} --><![endif]-->",
    "<!--[if mso]><style>{{a}}</style><![endif]-->",
    "<![if {{a}}]>",
    "<style>{{a}}</style><script>{{a}}</script><xmp>{{a}}</xmp><iframe>{{a}}</iframe>",
    "<a title='{{a}}",
    "<a title={{a}}",
    "<p title=x title='{{a}}'>",
    # It would name or end something
    "<{{a}}",
    "<{{a}}>",
    "</{{a}}>",
    "<b{{a}}>",
    "<b {{a}}>",
    "<b {{a}}='x'>",
    "<b x='y'{{a}}>",
    "<b x='y' {{a}} z>",
    "</b {{a}}>",
    "<textarea></{{a}}></tex{{a}}</textarea{{a}}></textarea>",
    "<!--[if mso]>{{a}}><![endif]-->",
    "<!--[if mso]>{{a}}->{{a}}-{{a}}!><![endif]-->",
    "<!--[if mso]><a title='{{a}}> b'><a href={{a}}><![endif]-->",
    # It would be a program, a document or several declarations
    "<p onclick='{{a}}'><p ONCLICK=\"x({{a}})\"><p onclick={{a}}>",
    "<iframe srcdoc='{{a}}'>",
    "<meta http-equiv=refresh content='0;url={{a}}'>",
    "<p style=color:{{a}}>",
    # Without quotes it is several attributes, or none when the value is empty
    "<a href={{ a }}>",
    "<a title={{ a }}='x'>",
    "<img srcset={{a}}>",
]

TEXT = [
    ("{{a}} <b {{b}}> <!-- {{c}} -->", "text text text"),
    ("https://a.no/{{a}}?x={{b}}. {{c}}", "url_component url_component text"),
    ("https://{{a}}/ {{b}}/path {{c}}https://a.no/ trackedlink:{{d}}", "url_component text text url_component"),
    ("https://a.no/\n{{a}} <https://a.no/>{{b}}", "text text"),
]


@pytest.mark.parametrize(("part", "mail", "escapings"), [*((Part.html, *case) for case in HTML), *((Part.text, *case) for case in TEXT)])
def test_a_field_is_escaped_as_its_place_needs(part: Part, mail: str, escapings: str) -> None:
    found = list(fields_of(part, mail.encode(), "utf-8"))
    assert [field.escaping for field in found] == [MergeFieldEscaping[name] for name in escapings.split()]
    assert [field.name for field in found] == list("abcdefgh"[: len(found)])
    assert all(mail.encode()[field.start : field.end].decode() == f"{{{{{field.name}}}}}" for field in found)


@pytest.mark.parametrize("mail", NO_FIELDS)
def test_where_no_escaping_is_safe_braces_stay_as_they_are(mail: str) -> None:
    assert list(fields_of(Part.html, mail.encode(), "utf-8")) == []


@pytest.mark.parametrize(
    "piece", ["{{x}}", "<!--[if mso]>{{x}}-", "<a {{x}}={{x}} ", "<a href='{{x}}{{x}}'>", "<p title='", "https://a/{{x}}"]
)
@pytest.mark.parametrize("part", Part)
def test_half_a_mebibyte_of_one_piece_is_read(piece: str, part: Part) -> None:
    # Nothing is timed: where the time grew with the square of the length, this would take hours.
    content = piece.encode() * (2**19 // len(piece))
    assert sum(1 for _ in fields_of(part, content, "utf-8")) <= len(content)
    assert sum(1 for _ in fields_of(part, b"<a href='" + content + b"'>", "utf-8")) <= len(content)
