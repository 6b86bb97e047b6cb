"""Merge fields in URLs: where they may stand, and what values make of them."""

from urllib.parse import unquote, urlsplit

import can_ada
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from server.model.url_fields import fill_url, problem_of_url, url_fields
from server.model.urls import MAX_URL, problem_of

VALUES = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("./\\%?#{}2eE"), max_size=8)
LITERALS = st.sampled_from(["a", ".", "..", "%2e", "%2E", "%2", "%", "e", "x y", "å", "{", "}}", "{{b"])
SEGMENTS = st.lists(LITERALS | st.sampled_from(["{{a}}", "{{ b }}", "{{c}}"]), max_size=4).map("".join)


@pytest.mark.parametrize(
    ("url", "names"),
    [
        ("https://a.no/", ()),
        ("https://a.no/{{x}}", ("x",)),
        ("https://a.no/{{ b }}/{{a}}?{{\tb\t}}#{{recipient.e-mail_9}}", ("b", "a", "recipient.e-mail_9")),
        (r"https://a.no/\{{x}}{{{y}}}{{9}}{{#if x}}{{ a b }}{{ TrackLink 'x' }}", ()),
        ("https://a.no/{{" + "x" * 64 + "}}{{" + "y" * 65 + "}}", ("x" * 64,)),
        ("{{u}}", ("u",)),
    ],
)
def test_fields_are_named_once_and_in_order(url: str, names: tuple[str, ...]) -> None:
    assert url_fields(url) == names


@pytest.mark.parametrize(
    "url",
    [
        "https://a.no/{{x}}",
        "HTTP://a.no:8080/a/{{ x }}/{{y}}.html?{{x}}={{y}}&z#{{x}}",
        "https://a.no?{{x}}",
        "https://a.no#{{\tx\t}}",
        "https://[::1]/{{x}}",
        "https://ø.no/{{x}}@b.no:{{y}}//",
        "https://a.no/no-field",
        "https://a.no/" + "{{x}}" * 797,
    ],
)
def test_fields_may_stand_in_path_query_and_fragment(url: str) -> None:
    assert problem_of_url(url) is None


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("https://a.no{{x}}", "only, unlike {{x}}"),
        ("https://a.no{{x}}/", "only, unlike {{x}}"),
        ("https://{{ h }}/{{x}}", "only, unlike {{ h }}"),
        ("https://a.no:{{p}}/", "only, unlike {{p}}"),
        ("https://{{u}}@a.no/", "only, unlike {{u}}"),
        ("https://u:{{p}}@a.no/", "only, unlike {{p}}"),
        ("{{u}}", "only, unlike {{u}}"),
        ("{{u}}/?x", "only, unlike {{u}}"),
        ("https:{{x}}", "only, unlike {{x}}"),
        ("https:/{{x}}", "only, unlike {{x}}"),
        ("http{{s}}://a.no/", "only, unlike {{s}}"),
        ("//a.no/{{x}}", "only, unlike {{x}}"),
        ("javascript://a.no/{{x}}", "only, unlike {{x}}"),
        (" https://a.no/{{x}}", "only, unlike {{x}}"),
        ("https://{{x}}", "only, unlike {{x}}"),
        ("https:///{{x}}", "must name a host"),
        ("https://?{{x}}", "must name a host"),
        (r"https://a.no\{{x}}", "must not contain a backslash"),
        (r"https://a.no\@b.no/{{x}}", "must not contain a backslash"),
        ("https://u@a.no/{{x}}", "must not contain a user name"),
        ("https://a.no:99999/{{x}}", "must have a host and port"),
        ("https://a.no/\t{{x}}", "must not contain the control character"),
        ("https://a.no/{{x}} ", "must not start or end with white space"),
        ("https://a.no/" + "{{x}}" * 798, f"must be at most {MAX_URL} characters"),
        ("ftp://a.no/", "must start with http://"),
        ("", "must not be empty"),
    ],
)
def test_no_field_chooses_the_server_and_nothing_else_is_let_through(url: str, problem: str) -> None:
    assert problem in (problem_of_url(url) or "no problem")


@pytest.mark.parametrize(
    ("url", "values", "filled"),
    [
        ("https://a.no/{{x}}", {"x": "a b/c?d#e&f=å%\\"}, "https://a.no/a%20b%2Fc%3Fd%23e%26f%3D%C3%A5%25%5C"),
        ("https://a.no/{{x}}", {"x": "aZ09-._~"}, "https://a.no/aZ09-._~"),
        ("https://a.no/{{ x }}?q={{y}}#{{x}}", {"x": "1"}, "https://a.no/1?q=#1"),
        ("https://a.no/?x={{x}}", {"x": "\ud800"}, "https://a.no/?x=%3F"),
        ("https://a.no/?x={{x}}", {"x": "{{y}}", "y": "z"}, "https://a.no/?x=%7B%7By%7D%7D"),
        ("HTTPS://A.no:443/%7e/./a?b=c+d&&e=&amp;#", {}, "HTTPS://A.no:443/%7e/./a?b=c+d&&e=&amp;#"),
        ("https://{{x}}/{{x}}", {"x": "a"}, "https://{{x}}/a"),
        ("{{x}}", {"x": "a"}, "{{x}}"),
        # Dot segments
        ("https://a.no/a/{{x}}/b", {"x": ".."}, "https://a.no/a//b"),
        ("https://a.no/a/{{x}}", {"x": "."}, "https://a.no/a/"),
        ("https://a.no/a/.{{x}}/b", {"x": "."}, "https://a.no/a//b"),
        ("https://a.no/a/.{{x}}/b", {"x": ""}, "https://a.no/a//b"),
        ("https://a.no/a/{{x}}{{x}}?", {"x": "."}, "https://a.no/a/?"),
        ("https://a.no/a/%2{{x}}/b", {"x": "E"}, "https://a.no/a//b"),
        ("https://a.no/a/.%{{x}}/b", {"x": "2e"}, "https://a.no/a//b"),
        ("https://a.no/../{{x}}/./%2e", {"x": "b"}, "https://a.no/../b/./%2e"),
        ("https://a.no/{{x}}/v{{x}}", {"x": "..."}, "https://a.no/.../v..."),
        ("https://a.no/{{x}}", {"x": "%2e"}, "https://a.no/%252e"),
        ("https://a.no/?{{x}}/{{x}}#{{x}}/", {"x": ".."}, "https://a.no/?../..#../"),
    ],
)
def test_values_are_percent_encoded_and_all_else_stays(url: str, values: dict[str, str], filled: str) -> None:
    assert fill_url(url, values) == filled


@given(st.lists(SEGMENTS, max_size=4), SEGMENTS, st.fixed_dictionaries({"a": VALUES, "b": VALUES}))
@example(["a", "{{a}}{{ b }}", "b"], "", {"a": ".", "b": "."})
@example(["a", "%{{a}}", "b"], "", {"a": "2e", "b": ""})
def test_a_filled_url_leads_to_the_same_server_and_as_deep(segments: list[str], query: str, values: dict[str, str]) -> None:
    url = f"https://a.no:81/{'/'.join(segments)}?q={query}#{query}"
    template, filled = can_ada.parse(url), can_ada.parse(fill_url(url, values))
    assert (filled.protocol, filled.host, filled.port) == (template.protocol, template.host, template.port)
    assert filled.pathname.count("/") == template.pathname.count("/")
    assert problem_of_url(url) is None
    assert problem_of(fill_url(url, values)) is None


@given(VALUES)
def test_each_component_decodes_to_the_value(value: str) -> None:
    parts = urlsplit(fill_url("https://a.no/a/{{x}}/b?q={{x}}&r#f{{x}}", {"x": value}))
    assert unquote(parts.path) == f"/a/{'' if value in ('.', '..') else value}/b"
    assert parts.query.isascii()
    assert unquote(parts.query) == f"q={value}&r"
    assert unquote(parts.fragment) == f"f{value}"


@given(st.lists(st.sampled_from([*"htps:/?#{}xa.no@\\ \t", "{{x}}", "%", "[::1]"])).map("".join), st.text())
def test_whatever_passes_keeps_its_server(text: str, value: str) -> None:
    for url in (text, f"https://{text}", f"https://a.no{text}"):
        if problem_of_url(url) is None:
            values = {"x": value, "a": value, "n": value}
            assert can_ada.parse(fill_url(url, values)).host == can_ada.parse(fill_url(url, {})).host
