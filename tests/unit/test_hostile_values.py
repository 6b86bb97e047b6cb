"""No value becomes a tag, an attribute, a program or the end of a comment, wherever its merge field stands."""

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from selectolax.lexbor import LexborHTMLParser

from server.messages.part import Part
from server.messages.render import render
from server.messages.template import MergeField, segments_of
from tests.unit.hostile import VALUES

PLACES = [
    "<p>{{x}}</p>",
    "<b>1 < {{x}}{{x}}> &{{x}}; &#{{x}};</b>",
    "<title>{{x}}</title>",
    "<textarea><{{x}}</{{x}}>{{x}}</textarea>",
    "<p title=\"{{x}}\" alt='{{x}}'>x</p>",
    "<p title={{x}} alt = {{x}}{{x}} class=a{{x}} id={{x}}>x</p>",
    "<input value={{x}}/><br title={{x}}>",
    "<a href='{{x}}'>x</a><a href={{x}} title=y>x</a>",
    "<a href='{{x}}{{x}}'>x</a><a href={{x}}{{x}} title=y>x</a>",
    "<a href=' {{x}}/y'>x</a><a href='java{{x}}'>x</a>",
    "<a href='https://a.no/{{x}}?{{x}}'>x</a><a href=https://a.no/{{x}} title=y>x</a>",
    "<a href='mailto:{{x}}?subject={{x}}'>x</a>",
    "<img src='{{x}}' srcset='{{x}} 2x' title=y><img src={{x}} srcset={{x}} title=y>",
    "<form action='{{x}}'><button formaction={{x}} title=y>x</button></form>",
    "<svg><a xlink:href='{{x}}'></a></svg>",
    "<p style='color:{{x}}'>x</p><p style=\"{{x}}\">x</p><p style=color:{{x}} title=y>x</p>",
    "<p onclick='{{x}}' onload={{x}} title=y>x</p>",
    "<p {{x}}>x</p><p{{x}}>x</p><{{x}}>",
    "<p title={{ x }} alt=y>x</p><p title={{ x }}='{{x}}' alt=y>x</p>",
    "<iframe srcdoc='{{x}}'></iframe>",
    "<style>{{x}}</style><script>{{x}}</script><!-- {{x}} -->",
    "<!--[if mso]>{{x}}<p title='{{x}}' alt={{x}}><![endif]-->x",
    "<!--[if mso]>{{x}}>{{x}}->{{x}}{{x}}!><b>x</b><![endif]-->x",
    "<!--[if mso]><v:rect href='{{x}}' title=\"{{x}}>\"><v:fill src={{x}}><v:fill src=https://a.no/{{x}}><![endif]-->x",
    "<!--[if mso]><style>{{x}}</style><!-- {{x}} --><![endif]-->x",
    "<!--[if {{x}}]>x<![endif]-->x",
    "<!--[if mso]>{{x}}",
    "<p title='{{x}}",
]
ADDRESSES = ("href", "src", "action", "formaction", "xlink:href", "srcset")

_CONDITIONAL = re.compile(r"<!--\[if mso\]>(.*?)(?:<!\[endif\]-->|\Z)", re.DOTALL)


class Structure(HTMLParser):
    """The tags of a document with the names of their attributes, its addresses, styles and programs."""

    def __init__(self, document: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, list[str]]] = []
        self.addresses: list[str] = []
        self.styles: list[str] = []
        self.programs: list[str] = []
        self.feed(document)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, [name for name, _ in attrs]))
        self.addresses += [value for name, value in attrs if value and name in ADDRESSES]
        self.programs += [value or "" for name, value in attrs if name.startswith("on") or name == "srcdoc"]
        self.styles += [value for name, value in attrs if value and name == "style"]

    def handle_endtag(self, tag: str) -> None:
        self.tags.append((f"/{tag}", []))

    def handle_comment(self, data: str) -> None:
        self.tags.append(("!--", []))

    def unknown_decl(self, data: str) -> None:
        self.tags.append(("![", []))


def filled(mail: str, value: str) -> str:
    segments = segments_of(Part.html, mail.encode(), [])
    names = {segment.name for segment in segments if isinstance(segment, MergeField)}
    return render(Part.html, segments, {}, dict.fromkeys(names, value), "utf-8").decode()


def elements(document: str) -> list[tuple[str, list[str]]]:
    root = LexborHTMLParser(document).root
    assert root is not None
    return [(node.tag or "", sorted(node.attributes)) for node in root.traverse(include_text=False)]


def for_outlook(document: str) -> str:
    return _CONDITIONAL.sub(lambda found: found[1], document)


@pytest.mark.parametrize("mail", PLACES)
def test_a_hostile_value_changes_no_tag_and_no_attribute(mail: str) -> None:
    harmless = filled(mail, "Ola")
    for value in VALUES:
        hostile = filled(mail, value)
        for seen in (str, for_outlook):
            assert elements(seen(hostile)) == elements(seen(harmless)), value
            assert Structure(seen(hostile)).tags == Structure(seen(harmless)).tags, value


@pytest.mark.parametrize("mail", PLACES)
def test_a_hostile_value_is_no_program(mail: str) -> None:
    for value in VALUES:
        structure = Structure(for_outlook(filled(mail, value)))
        for address in structure.addresses:
            visited = re.sub(r"[\t\r\n]", "", address).lstrip("".join(map(chr, range(33)))).lower()
            assert not visited.startswith(("javascript:", "data:", "vbscript:")), value
        assert set(structure.programs) <= {"{{x}}"}
        for style in structure.styles:
            assert style == "color:{{x}}" or not re.search(r"[();\\]|:.*:", style), value


@given(st.sampled_from(PLACES), st.lists(st.sampled_from(VALUES) | st.text(max_size=3), max_size=4).map("".join))
def test_no_mixture_of_hostile_values_changes_a_tag(mail: str, value: str) -> None:
    assert elements(for_outlook(filled(mail, value))) == elements(for_outlook(filled(mail, "Ola")))
    assert elements(filled(mail, value)) == elements(filled(mail, "Ola"))
