"""Destination URLs: which are refused, how they go out, and how analytics parameters get in."""

import string

import can_ada
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from server.model.urls import MAX_URL, location_of, problem_of, with_analytics

GOOD = [
    "http://a",
    "https://example.com",
    "https://example.com/",
    "https://example.com:443/",
    "HTTP://Example.COM:80/",
    "hTTps://EXAMPLE.com/Path",
    "https://example.com:65535/",
    "https://example.com:/empty-port",
    "https://example.com?query",
    "https://example.com#fragment",
    "https://example.com/?abc",
    "https://example.com/?abc#123",
    "https://example.com/?a=1&a=2&",
    "https://example.com/?q=a+b",
    "https://example.com/?varer[0]=tomat",
    "https://example.com/a|b",
    'https://example.com/"quoted"',
    "https://example.com/it's",
    "https://example.com/100%",
    "https://example.com/%zz",
    "https://example.com/%00",
    "https://example.com/a b",
    "https://example.com/?q=two words",
    "https://example.com/{id}",
    "https://example.com/<b>",
    "https://example.com/a;b=c",
    "https://example.com//double//slash",
    "https://example.com/../up",
    "https://example.com/@user",
    "https://example.com/?mail=a@b.example",
    "https://example.com#a@b",
    "https://example.com?url=http://user@host/",
    "https://example.com/blåbær?å=ø#æ",
    "https://ø.no/",
    "https://例え.jp/",
    "https://xn--pda.no/",
    "https://sub_domain.example.com/",
    "https://example.com./",
    "http://127.0.0.1:8080/",
    "http://[::1]/",
    "http://[2001:db8::1]:8080/x",
    "http://localhost/",
    "https://example.com/\u2028x",
    "https://example.com/🌷",
    "https://example.com/" + "x" * (MAX_URL - 20),
]

REFUSED = [
    ("", "must not be empty"),
    ("https://example.com/" + "x" * (MAX_URL - 19), "must be at most 4000 characters, not 4001"),
    (" https://example.com/", "must not start or end with white space, not ' https://example.com/'"),
    ("https://example.com/ ", "must not start or end with white space"),
    ("\u00a0https://example.com/", "must not start or end with white space"),
    ("https://example.com/\u3000", "must not start or end with white space"),
    ("\thttps://example.com/", "must not contain the control character U+0009"),
    ("https://example.com/\n", "must not contain the control character U+000A"),
    ("https://exa\nmple.com/", "must not contain the control character U+000A"),
    ("https://example.com/\r\nSet-Cookie: a=b", "must not contain the control character U+000D"),
    ("https://example.com/\x00", "must not contain the control character U+0000"),
    ("https://example.com/?q=\x1f", "must not contain the control character U+001F"),
    ("https://example.com/#\x7f", "must not contain the control character U+007F"),
    ("https://example.com/\x80", "must not contain the control character U+0080"),
    ("https://example.com/\x85", "must not contain the control character U+0085"),
    ("https://example.com/\x9f", "must not contain the control character U+009F"),
    ("java\nscript:alert(1)", "must not contain the control character U+000A"),
    ("https://example.com/\ud800", "must not contain the lone surrogate U+D800"),
    ("https://\udfff.com/", "must not contain the lone surrogate U+DFFF"),
    ("javascript:alert(1)", "must start with http:// or https://, not 'javascript:'"),
    ("JavaScript:alert(1)", "must start with http:// or https://, not 'JavaScript:'"),
    ("data:text/html,x", "must start with http:// or https://, not 'data:'"),
    ("ftp://example.com/", "must start with http:// or https://, not 'ftp://'"),
    ("file:///etc/passwd", "must start with http:// or https://, not 'file://'"),
    ("mailto:a@b.example", "must start with http:// or https://, not 'mailto:'"),
    ("tel:+4755000000", "must start with http:// or https://, not 'tel:'"),
    ("about:blank", "must start with http:// or https://, not 'about:'"),
    ("ws://example.com/", "must start with http:// or https://, not 'ws://'"),
    ("httpss://example.com/", "must start with http:// or https://, not 'httpss://'"),
    ("trackedlink:1", "must start with http:// or https://, not 'trackedlink:'"),
    ("https:evil.com", "must start with http:// or https://, not 'https:'"),
    ("https:/evil.com", "must start with http:// or https://, not 'https:'"),
    ("http:", "must start with http:// or https://, not 'http:'"),
    ("//host/path", "must start with http:// or https://, not '//host/path'"),
    ("/path", "must start with http:// or https://, not '/path'"),
    ("example.com", "must start with http:// or https://, not 'example.com'"),
    ("www.example.com/" + "x" * 100, "must start with http:// or https://, not 'www.example.com/xxxxxxxxxxxxxxxxxxxxxxx…'"),
    ("?query", "must start with http:// or https://, not '?query'"),
    ("#anchor", "must start with http:// or https://, not '#anchor'"),
    ("{{base}}/path", "must start with http:// or https://, not '{{base}}/path'"),
    ("https://", "must name a host after https://, not ''"),
    ("https:///evil", "must name a host after https://, not '/evil'"),
    ("https:////evil", "must name a host after https://, not '//evil'"),
    ("HTTP://?q", "must name a host after HTTP://, not '?q'"),
    ("http://#x", "must name a host after http://, not '#x'"),
    ("http://\\evil", "must not contain a backslash"),
    ("http:\\\\evil", "must start with http:// or https://, not 'http:'"),
    ("http://good.example\\@evil.example", "must not contain a backslash"),
    ("http://example.com/a\\b", "must not contain a backslash"),
    ("http://example.com/?q=\\", "must not contain a backslash"),
    ("http://user@host", "must not contain a user name or password before the host 'host'"),
    ("http://user:secret@host/", "must not contain a user name or password before the host 'host'"),
    ("http://@host", "must not contain a user name or password before the host 'host'"),
    ("http://:@host", "must not contain a user name or password before the host 'host'"),
    ("http://good.example@evil.example/", "must not contain a user name or password before the host 'evil.example'"),
    ("http://a@b@c/", "must not contain a user name or password before the host 'c'"),
    ("http://:80/", "must have a host and port that browsers accept, not ':80'"),
    ("http://[::1", "must have a host and port that browsers accept, not '[::1'"),
    ("http://[::g]/", "must have a host and port that browsers accept, not '[::g]'"),
    ("http://::1/", "must have a host and port that browsers accept, not '::1'"),
    ("https://exa mple.com", "must have a host and port that browsers accept, not 'exa mple.com'"),
    ("https://example.com:65536/", "must have a host and port that browsers accept, not 'example.com:65536'"),
    ("https://example.com:99999/", "must have a host and port that browsers accept, not 'example.com:99999'"),
    ("https://example.com:-1/", "must have a host and port that browsers accept"),
    ("https://example.com:http/", "must have a host and port that browsers accept"),
    ("http://1.2.3.4.5/", "must have a host and port that browsers accept"),
    ("http://256.1.1.1/", "must have a host and port that browsers accept"),
    ("http://a<b>/", "must have a host and port that browsers accept"),
    ("http://a%2fb/", "must have a host and port that browsers accept"),
    ("http://a|b/", "must have a host and port that browsers accept"),
    ("http://xn--/", "must have a host and port that browsers accept"),
    ("http://\u00ad/", "must have a host and port that browsers accept"),
    ("http://good.example\uff0fevil.example/", "must have a host and port that browsers accept"),
    ("http://good.example\uff20evil.example/", "must have a host and port that browsers accept"),
]

SENT = [
    ("https://example.com/a b", b"https://example.com/a%20b"),
    ("https://example.com/?q=two  words", b"https://example.com/?q=two%20%20words"),
    ("https://example.com/#two words", b"https://example.com/#two%20words"),
    ("https://example.com/a b%20c+d", b"https://example.com/a%20b%20c+d"),
    ("https://example.com/blåbær", b"https://example.com/bl%C3%A5b%C3%A6r"),
    ("https://example.com/?å=ø", b"https://example.com/?%C3%A5=%C3%B8"),
    ("https://example.com/#æ", b"https://example.com/#%C3%A6"),
    ("https://example.com?å", b"https://example.com?%C3%A5"),
    ("https://example.com#å", b"https://example.com#%C3%A5"),
    ("https://example.com/%C3%A5å", b"https://example.com/%C3%A5%C3%A5"),
    ("https://example.com/🌷", b"https://example.com/%F0%9F%8C%B7"),
    ("https://example.com/\u00a0x", b"https://example.com/%C2%A0x"),
    ('https://example.com/å[0]|"%', b'https://example.com/%C3%A5[0]|"%'),
    ("https://ø.no", b"https://xn--pda.no"),
    ("https://ø.no/", b"https://xn--pda.no/"),
    ("https://ø.no:443/", b"https://xn--pda.no:443/"),
    ("https://ø.no:/", b"https://xn--pda.no:/"),
    ("https://ø.no?q", b"https://xn--pda.no?q"),
    ("https://ø.no#f", b"https://xn--pda.no#f"),
    ("HTTPS://WWW.Ø.NO/Å", b"HTTPS://www.xn--pda.no/%C3%85"),
    ("http://例え。jp/", b"http://xn--r8jz45g.jp/"),
    ("https://ø.no/a b?å#c d", b"https://xn--pda.no/a%20b?%C3%A5#c%20d"),
    ("https://Example.COM/å", b"https://Example.COM/%C3%A5"),
    ("http://[::1]/å", b"http://[::1]/%C3%A5"),
]

UTM = "utm_medium=email&utm_source=brev&utm_campaign=v%C3%A5r"
COUNTED = [
    ("https://a.no", f"https://a.no?{UTM}"),
    ("https://a.no/", f"https://a.no/?{UTM}"),
    ("https://a.no/?", f"https://a.no/?{UTM}"),
    ("https://a.no/?x", f"https://a.no/?x&{UTM}"),
    ("https://a.no/?x=1", f"https://a.no/?x=1&{UTM}"),
    ("https://a.no/?x=1&", f"https://a.no/?x=1&{UTM}"),
    ("https://a.no/?x=1&&", f"https://a.no/?x=1&&{UTM}"),
    ("https://a.no/?x=1;y=2", f"https://a.no/?x=1;y=2&{UTM}"),
    ("https://a.no/?x=1&x=2&x", f"https://a.no/?x=1&x=2&x&{UTM}"),
    ("https://a.no/?x=a+b%20c", f"https://a.no/?x=a+b%20c&{UTM}"),
    ("https://a.no/?x=?y", f"https://a.no/?x=?y&{UTM}"),
    ("https://a.no/#f", f"https://a.no/?{UTM}#f"),
    ("https://a.no/#", f"https://a.no/?{UTM}#"),
    ("https://a.no/?#", f"https://a.no/?{UTM}#"),
    ("https://a.no/?abc#123", f"https://a.no/?abc&{UTM}#123"),
    ("https://a.no/#f?x=1", f"https://a.no/?{UTM}#f?x=1"),
    ("https://a.no/#utm_source=x", f"https://a.no/?{UTM}#utm_source=x"),
    ("https://a.no/?utm_source=x", "https://a.no/?utm_source=x&utm_medium=email&utm_campaign=v%C3%A5r"),
    ("https://a.no/?utm_source", "https://a.no/?utm_source&utm_medium=email&utm_campaign=v%C3%A5r"),
    ("https://a.no/?utm_source=", "https://a.no/?utm_source=&utm_medium=email&utm_campaign=v%C3%A5r"),
    ("https://a.no/?UTM_SOURCE=x", f"https://a.no/?UTM_SOURCE=x&{UTM}"),
    ("https://a.no/?my_utm_source=x", f"https://a.no/?my_utm_source=x&{UTM}"),
    ("https://a.no/?utm_medium=sms", "https://a.no/?utm_medium=sms&utm_source=brev&utm_campaign=v%C3%A5r"),
    ("https://a.no/?utm_medium=a&utm_source=b&utm_campaign=c", "https://a.no/?utm_medium=a&utm_source=b&utm_campaign=c"),
    ("https://a.no/?utm_campaign=c&#f", "https://a.no/?utm_campaign=c&utm_medium=email&utm_source=brev#f"),
    ("https://ø.no/å?ø", f"https://ø.no/å?ø&{UTM}"),
    ("https://a.no/x[0]|\"%?y[1]='", f"https://a.no/x[0]|\"%?y[1]='&{UTM}"),
]

ENCODED = [
    ("", "", "utm_medium=email"),
    ("brev", "", "utm_medium=email&utm_source=brev"),
    ("", "vår", "utm_medium=email&utm_campaign=v%C3%A5r"),
    ("a b", "c+d", "utm_medium=email&utm_source=a%20b&utm_campaign=c%2Bd"),
    ("a&b=c", "d#e?f/g", "utm_medium=email&utm_source=a%26b%3Dc&utm_campaign=d%23e%3Ff%2Fg"),
    ("100%", "{{x}}", "utm_medium=email&utm_source=100%25&utm_campaign=%7B%7Bx%7D%7D"),
    ("~-._", "🌷", "utm_medium=email&utm_source=~-._&utm_campaign=%F0%9F%8C%B7"),
]

ascii_urls = st.text(alphabet=string.digits + string.ascii_letters + string.punctuation.replace("\\", "") + " ", max_size=80).map(
    lambda rest: f"https://example.com/{rest}".rstrip()
)
urls = st.builds(
    lambda host, rest: f"https://{host}{rest}".rstrip(),
    st.sampled_from(["example.com", "ø.no", "EXAMPLE.com:80", "例え.jp:8080", "[::1]"]),
    st.just("") | st.builds(str.__add__, st.sampled_from("/?#"), st.text(alphabet=st.characters(exclude_characters="\\"), max_size=60)),
).filter(lambda url: problem_of(url) is None)


@pytest.mark.parametrize("url", GOOD)
def test_a_url_that_browsers_visit_has_no_problem(url: str) -> None:
    assert problem_of(url) is None


@pytest.mark.parametrize(("url", "problem"), REFUSED)
def test_a_refused_url_says_what_is_wrong(url: str, problem: str) -> None:
    assert (problem_of(url) or "").startswith(problem)


@pytest.mark.parametrize("url", [url for url in GOOD if url.isascii() and " " not in url])
def test_an_ascii_url_goes_out_as_it_is_stored(url: str) -> None:
    assert location_of(url) == url.encode()


@pytest.mark.parametrize(("url", "location"), SENT)
def test_only_what_a_header_cannot_hold_is_encoded(url: str, location: bytes) -> None:
    assert problem_of(url) is None
    assert location_of(url) == location


@pytest.mark.parametrize(("url", "counted"), COUNTED)
def test_analytics_parameters_are_added_where_they_are_missing(url: str, counted: str) -> None:
    assert with_analytics(url, "brev", "vår") == counted


@pytest.mark.parametrize(("source", "campaign", "query"), ENCODED)
def test_source_and_campaign_are_encoded_and_left_out_when_empty(source: str, campaign: str, query: str) -> None:
    assert with_analytics("https://a.no/#f", source, campaign) == f"https://a.no/?{query}#f"


@given(st.text() | st.text(alphabet="htps:/@\\?#[]. \t\n%\ud800å").map("http://".__add__))
@example("http://a\ud800/")
def test_judging_never_raises_and_messages_are_phrases(url: str) -> None:
    problem = problem_of(url)
    assert problem is None or (problem.startswith("must ") and not problem.endswith(".") and problem.isprintable())


@given(ascii_urls)
def test_ascii_is_never_touched_but_for_blanks(url: str) -> None:
    assert location_of(url) == url.replace(" ", "%20").encode()


@given(urls)
def test_a_location_is_printable_ascii_and_means_the_same_to_a_browser(url: str) -> None:
    location = location_of(url).decode("ascii")
    assert all("!" <= character <= "~" for character in location)
    assert problem_of(location) is None or len(location) > MAX_URL
    # Browsers encode an apostrophe in a query and such only then; both spellings go through the same parser.
    assert can_ada.parse(location).href == can_ada.parse(url).href


@given(urls)
def test_a_location_stays_as_it_is(url: str) -> None:
    location = location_of(url)
    assert location_of(location.decode("ascii")) == location


@given(urls, st.text(st.characters(exclude_categories=["Cs"])), st.text(st.characters(exclude_categories=["Cs"])))
def test_analytics_are_added_once(url: str, source: str, campaign: str) -> None:
    once = with_analytics(url, source, campaign)
    assert with_analytics(once, source, campaign) == once
    assert with_analytics(once, "another", "another").count("utm_medium") == once.count("utm_medium")


@given(urls, st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_analytics_keep_every_byte_of_the_url(url: str, source: str) -> None:
    counted = with_analytics(url, source, "")
    address, hash_sign, fragment = url.partition("#")
    assert counted.startswith(address)
    assert counted.endswith(hash_sign + fragment)
    assert problem_of(counted) is None or len(counted) > MAX_URL
