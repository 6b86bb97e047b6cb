"""Which addresses are found in a message, where, and which are left alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.messages.find import find_links
from server.messages.part import Part
from server.model.mailing import LeftAloneReason

URL = "https://a.no/x"

# The mail and what its addresses mean; the raw address itself is compared below.
HTML = [
    (f'<a href="{URL}">', [URL]),
    (f"<a href='{URL}'>", [URL]),
    (f"<a href={URL}>", [URL]),
    (f"<a href={URL}/>", [URL + "/"]),
    (f"<a href = \n '{URL}'>", [URL]),
    (f'<A HREF="{URL}">', [URL]),
    (f'<aRea\thReF="{URL}"\f/>', [URL]),
    (f'<a/href="{URL}"/>', [URL]),
    (f'<a class="b"href="{URL}">', [URL]),
    (f'<a\nclass=b\r\nhref="{URL}">', [URL]),
    (f'<a title="a > b" href="{URL}">', [URL]),
    (f'<a title=\'"\' href="{URL}">', [URL]),
    (f'<a "x" href="{URL}">', [URL]),
    (f'<a =x href="{URL}">', [URL]),
    (f"<a href={URL} href=https://b.no>", [URL]),
    (f'<a title="href=https://b.no" href="{URL}">', [URL]),
    (f'<a data-href="https://b.no" href="{URL}">', [URL]),
    ('<a href="https://a.no/it\'s">', ["https://a.no/it's"]),
    ("<a href='https://a.no/\"q\"'>", ['https://a.no/"q"']),
    ('<a href="https://a.no/?x=<b>">', ["https://a.no/?x=<b>"]),
    (f"<<a href='{URL}'>", [URL]),
    (f"1 < 2 <3 <a href='{URL}'>", [URL]),
    (f"<a href='{URL}'><a href='https://b.no'>", [URL, "https://b.no"]),
    (f"<b <a href='{URL}'>", []),
    (f"<abbr href='{URL}'><link href='{URL}'><base href='{URL}'>", []),
    (f"</a href='{URL}'>", []),
    (f"<a title='</a>' href='{URL}'>", [URL]),
    ("<a name=top>", []),
    # Comments and what is read like one
    (f"<!-- <a href='{URL}'> -->", []),
    (f"<!-- <a href='{URL}'>", []),
    (f"<!--><a href='{URL}'>", [URL]),
    (f"<!---><a href='{URL}'>", [URL]),
    (f"<!----><a href='{URL}'>", [URL]),
    (f"<!-- x --!><a href='{URL}'>", [URL]),
    (f"<!-- x --- ><a href='{URL}'>", []),
    (f"<!-- x ---><a href='{URL}'>", [URL]),
    (f"<!-- <!-- --><a href='{URL}'>", [URL]),
    (f"<!x><a href='{URL}'>", [URL]),
    (f"<!DOCTYPE html><a href='{URL}'>", [URL]),
    (f"<?xml version='1.0'?><a href='{URL}'>", [URL]),
    (f"</ <a href='{URL}'>", []),
    (f"</><a href='{URL}'>", [URL]),
    (f"<![CDATA[<a href='{URL}'>]]>", []),
    (f"<![CDATA[x]]><a href='{URL}'>", [URL]),
    # Raw text
    *((f"<{name} x='>'><a href='https://b.no'></{name}x></{name.upper()} ><a href='{URL}'>", [URL]) for name in ("style", "title", "xmp")),
    *((f"<{name}><a href='https://b.no'></{name}><a href='{URL}'>", [URL]) for name in ("textarea", "noembed", "noframes", "iframe")),
    (f"<script>'<a href={URL}>'</script><a href='{URL}'>", [URL]),
    (f"<script><!-- <script></script><a href='https://b.no'></script><a href='{URL}'>", [URL]),
    (f"<script><!-- <script> --></script><a href='{URL}'>", [URL]),
    (f"<script><!--></script><a href='{URL}'>", [URL]),
    (f"<style><!-- </style><a href='{URL}'> -->", [URL]),
    (f"<style><a href='{URL}'>", []),
    (f"<plaintext></plaintext><a href='{URL}'>", []),
    (f"<noscript><a href='{URL}'></noscript>", [URL]),
    # Truncated
    (f"<a href='{URL}", []),
    (f"<a href='{URL}'", []),
    (f"<a href={URL}", []),
    (f"<a href='{URL}'><a href='https://b.no' title='x>", [URL]),
    (f"<a href='{URL}'><a", [URL]),
    (f"<a href='{URL}'></", [URL]),
    # Character references
    ("<a href='https://a.no/?a=1&amp;b=2'>", ["https://a.no/?a=1&b=2"]),
    ("<a href='https://a.no/?a=1&b=2'>", ["https://a.no/?a=1&b=2"]),
    ("<a href='https://a.no/?a&amp;amp;b'>", ["https://a.no/?a&amp;b"]),
    ("<a href='https://a.no/?a&#38;b&#x26;c&#X26d'>", ["https://a.no/?a&b&c\u026d"]),
    ("<a href='https://a.no/?a=1&copy=1&para=&lt=2&reg'>", ["https://a.no/?a=1&copy=1&para=&lt=2®"]),
    ("<a href='https://a.no/?a&copy;=1&copyx&copy2&copy.'>", ["https://a.no/?a©=1&copyx&copy2©."]),
    ("<a href='https://a.no/?&notit;&notin;&ampx;&unknown;'>", ["https://a.no/?&notit;∉&ampx;&unknown;"]),
    ("<a href='https://a.no/?&#65&#066;&#x43'>", ["https://a.no/?ABC"]),
    ("<a href='https://a.no/?&#;&#x;&#xg;&;& '>", ["https://a.no/?&#;&#x;&#xg;&;&"]),
    ("<a href='https://a.no/?&#0;&#xD800;&#x110000;&#99999999999999999999;'>", ["https://a.no/?\ufffd\ufffd\ufffd\ufffd"]),
    ("<a href='https://a.no/?&#150;&#x80;'>", ["https://a.no/?–€"]),
    ("<a href='https&colon;//a&period;no&sol;x'>", [URL]),
    ("<a href='&#104;ttps://a.no/x'>", [URL]),
    ("<a href='https://a.no/bl&aring;b&aelig;r'>", ["https://a.no/blåbær"]),
    ("<a href='https://a.no/blåbær'>", ["https://a.no/blåbær"]),
    ("<a href='https://a.no/?a=1&amp;amp;b=2&amp;#38;c'>", ["https://a.no/?a=1&amp;b=2&#38;c"]),
    ("<a href=https://a.no/?a=1&amp;b=2&#38;c>", ["https://a.no/?a=1&b=2&c"]),
    # What other trackers cut, or replaced in the wrong place: sendgrid/docs#4787 and #3416, listmonk#2493
    ("<a href=\"https://a.no/it's?q='x'\">", ["https://a.no/it's?q='x'"]),
    ("<a href='https://a.no/it&#39;s&apos;'>", ["https://a.no/it's'"]),
    ("<a href=\"https://a.no/?href=https://b.no/&amp;href='c'\">", ["https://a.no/?href=https://b.no/&href='c'"]),
    ("<a href=https://a.no/?href=https://b.no/>", ["https://a.no/?href=https://b.no/"]),
    ("<a title=\"href='https://b.no/'\" href='https://a.no/?v[0]=%5B%&t=12:30'>", ["https://a.no/?v[0]=%5B%&t=12:30"]),
    # Image maps and SVG
    ("<MAP><AREA SHAPE=rect COORDS=0,0,9,9 HREF=https://a.no/x><area nohref></MAP>", [URL]),
    (f"<svg><a xlink:href='{URL}'><a xlink:href='https://b.no' href='{URL}'><use xlink:href='{URL}'></svg>", [URL, URL]),
    # Merge fields where they cannot choose the server
    ("<a href='https://a.no/{{x}}'>", ["https://a.no/{{x}}"]),
    ("<a href=https://a.no/{{x}}/{{y}}?z={{z}}#{{x}}>", ["https://a.no/{{x}}/{{y}}?z={{z}}#{{x}}"]),
    ("<a href='HTTP://a.no?{{ x }}&amp;{{\tx }}'>", ["HTTP://a.no?{{ x }}&{{\tx }}"]),
    ("<a href='https://a.no/&#123;{x}&#x7d;'>", ["https://a.no/{{x}}"]),
    ("<a href='https://a.no/}}{x}'>", ["https://a.no/}}{x}"]),
    ("<a href='trackedlink:1'><a href='TrackedLink:unsubscribe' data-track=false>", ["trackedlink:1", "TrackedLink:unsubscribe"]),
]

LEFT_ALONE = [
    ("<a href=''>", "empty"),
    ("<a href>", "empty"),
    ("<a href=>", "empty"),
    ("<a href=' \n '>", "empty"),
    ("<a href='#'>", "anchor"),
    ("<a href='#top'>", "anchor"),
    ("<a href='&#35;top'>", "anchor"),
    ("<a href='#{{x}}'>", "anchor"),
    ("<a href='page.html'>", "relative"),
    ("<a href='/page'>", "relative"),
    ("<a href='//b.no/'>", "relative"),
    ("<a href='?x'>", "relative"),
    ("<a href='www.b.no'>", "relative"),
    ("<a href='mailto:a@b.no'>", "not_http"),
    ("<a href='MAILTO:a@b.no'>", "not_http"),
    ("<a href='mailto:{{x}}'>", "not_http"),
    ("<a href='tel:+4755'>", "not_http"),
    ("<a href='sms:+4755'>", "not_http"),
    ("<a href='cid:1@b'>", "not_http"),
    ("<a href='data:text/html,x'>", "not_http"),
    ("<a href='javascript:x()'>", "not_http"),
    ("<a href='java\nscript:x()'>", "not_http"),
    ("<a href='\x01javascript:x()'>", "not_http"),
    ("<a href='ftp://b.no/'>", "not_http"),
    ("<a href='https://b.no' data-track='false'>", "marked"),
    ("<a DATA-TRACK=FALSE href='https://b.no'>", "marked"),
    ("<a href='{{url}}'>", "merge_field"),
    ("<a href='{{ url }}/x'>", "merge_field"),
    ("<a href='https://{{x}}.no/'>", "merge_field"),
    ("<a href='https://b.no{{x}}'>", "merge_field"),
    ("<a href='https://b.no:{{p}}/'>", "merge_field"),
    ("<a href='https:{{x}}'>", "merge_field"),
    ("<a href='http{{s}}://b.no/'>", "merge_field"),
    ("<a href='//{{h}}/'>", "merge_field"),
    ("<a href='/{{x}}'>", "merge_field"),
    ("<a href='https://b.no/{{#if x}}'>", "merge_field"),
    ("<a href='{{ TrackLink &quot;https://b.no&quot; . }}'>", "merge_field"),
    ("<a href='https://b.no/{{ x | upper }}/{{y}}'>", "merge_field"),
    (r"<a href='https://b.no/\{{x}}'>", "merge_field"),
    ("<a href='https://b.no/{{{x}}}'>", "merge_field"),
    ("<a href=https://b.no/{{ x }}>", "merge_field"),
    ("<a href='https://b.no/{{x}}' data-track=false>", "marked"),
    ("<a href='https://u@b.no/{{x}}'>", "invalid_url"),
    ("<a xlink:href='#x'>", "anchor"),
    ("<a href='trackedlink:{{x}}'>", "merge_field"),
    ("<a href='https:b.no'>", "invalid_url"),
    ("<a href='https:///b.no'>", "invalid_url"),
    ("<a href='https://u@b.no'>", "invalid_url"),
    ("<a href='https://b.no/\nx'>", "invalid_url"),
    ("<a href='ht\ntps://b.no/'>", "invalid_url"),
    ("<a href='https://b.no\\x'>", "invalid_url"),
    ("<a href='https://b.no:99999'>", "invalid_url"),
]

TEXT = [
    ("See https://a.no/x now", ["https://a.no/x"]),
    ("https://a.no", ["https://a.no"]),
    ("HTTP://A.no/X", ["HTTP://A.no/X"]),
    ("https://a.no/x.", ["https://a.no/x"]),
    (
        "https://a.no/x, https://b.no/y; https://c.no/z: https://d.no!?...",
        ["https://a.no/x", "https://b.no/y", "https://c.no/z", "https://d.no"],
    ),
    ("'https://a.no/x'", ["https://a.no/x"]),
    ("it's https://a.no/it's", ["https://a.no/it's"]),
    ("(https://a.no/x)", ["https://a.no/x"]),
    ("(see https://a.no/x_(y)).", ["https://a.no/x_(y)"]),
    ("[text](https://a.no/x)", ["https://a.no/x"]),
    ("[https://a.no/x]", ["https://a.no/x"]),
    ("https://a.no/?v[0]=1", ["https://a.no/?v[0]=1"]),
    ("https://a.no/?v[0]", ["https://a.no/?v[0]"]),
    ("{https://a.no/x}", ["https://a.no/x"]),
    ("<https://a.no/x>", ["https://a.no/x"]),
    ('"https://a.no/x"', ["https://a.no/x"]),
    ("`https://a.no/x`", ["https://a.no/x"]),
    ("«https://a.no/x» “https://b.no/y” „https://c.no/z‟…", ["https://a.no/x", "https://b.no/y", "https://c.no/z"]),
    ("https://a.no/x\u00a0og\u3000https://b.no", ["https://a.no/x", "https://b.no"]),
    ("https://a.no/blåbær og", ["https://a.no/blåbær"]),
    ("https://ø.no/", ["https://ø.no/"]),
    ("https://a.no/x|y?a=1&amp;b#c", ["https://a.no/x|y?a=1&amp;b#c"]),
    ("https://a.no/https://b.no/", ["https://a.no/https://b.no/"]),
    ("https://a.no/\nx https://b.no/\ty", ["https://a.no/", "https://b.no/"]),
    ("xhttps://a.no shttp://b.no http:/c.no http:d.no www.e.no ftp://f.no mailto:g@h.no", []),
    ("https:// http://. http://)", []),
    ("Meld av: trackedlink:unsubscribe.", ["trackedlink:unsubscribe"]),
    ("(trackedlink:12) TrackedLink:13, trackedlink: 14", ["trackedlink:12", "TrackedLink:13"]),
    ("{{name}} {{ url }}/x {{x}}https://a.no", ["https://a.no"]),
    ("(https://a.no/{{ x }}). https://b.no/?q={{x}}{{y}}, ok", ["https://a.no/{{ x }}", "https://b.no/?q={{x}}{{y}}"]),
    ("https://a.no/?v[0]=%5B%&t=12:30:", ["https://a.no/?v[0]=%5B%&t=12:30"]),
]

TEXT_LEFT_ALONE = [
    ("https://a.no{{x}}", "https://a.no{{x}}", "merge_field"),
    ("https://a.no:{{ x }}/.", "https://a.no:{{ x }}/", "merge_field"),
    ("https://a.no/x.{{name", "https://a.no/x.{{name", "merge_field"),
    (r"https://a.no/\{{x}}", r"https://a.no/\{{x}}", "merge_field"),
    ('https://a.no/{{ x y "z" }}?q={{ å }}&r more', 'https://a.no/{{ x y "z" }}?q={{ å }}&r', "merge_field"),
    ("https://{{ x }}/y", "https://{{ x }}/y", "merge_field"),
    ("https://u@b.no/.", "https://u@b.no/", "invalid_url"),
    ("https://b.no/\\x", "https://b.no/\\x", "invalid_url"),
    ("https://b.no:99999, ", "https://b.no:99999", "invalid_url"),
    ("https:///b.no", "https:///b.no", "invalid_url"),
]

HOSTILE = [
    "<a ",
    "<",
    '"',
    "&",
    "{{",
    "<!--",
    "<a href=",
    "<a href='&am",
    "</script",
    "<script><!--",
    "https://",
    "https://a{{ ",
    "https://a)”",
    "--",
    "<!--[if mso]>",
    "<!--[if mso]><a>",
    "<!--[if ",
    "<!--[if mso]><![endif]-->",
    "<!--[if mso]><script><!--",
    "<![endif]-->",
    "{{x}}",
    "<v:",
]

markup = st.lists(
    st.sampled_from([
        *"<>/=\"' \n&;!?-()[]{}.,\\", "a", "å", "href", "<a href=", "https://a.no/", "trackedlink:1", "<!--", "-->", "<style>", "</style>",
        "<script>", "</script>", "&amp;", "&copy", "&#6", "{{", "}}", "{{x}}", "data-track=false", "mailto:", "<area ", "“", "<![CDATA[",
        "<!--[if mso]>", "<![endif]-->", "<v:rect ",
    ])
    | st.text(max_size=3)
).map("".join)  # fmt: skip
messages = st.tuples(st.sampled_from(Part), markup.map(lambda text: text.encode("utf-8", "surrogatepass")) | st.binary())


@pytest.mark.parametrize(("mail", "urls"), HTML)
def test_links_in_html_are_found_as_browsers_see_them(mail: str, urls: list[str]) -> None:
    found = find_links(Part.html, mail.encode())
    assert [(address.url, address.left_alone) for address in found] == [(url, None) for url in urls]


@pytest.mark.parametrize(("mail", "reason"), LEFT_ALONE)
def test_links_in_html_are_left_alone_for_a_reason(mail: str, reason: str) -> None:
    assert [address.left_alone for address in find_links(Part.html, mail.encode())] == [LeftAloneReason(reason)]


@pytest.mark.parametrize(("mail", "urls"), TEXT)
def test_addresses_in_text_end_where_the_writer_ended_them(mail: str, urls: list[str]) -> None:
    found = find_links(Part.text, mail.encode())
    assert [(address.url, address.left_alone) for address in found] == [(url, None) for url in urls]
    assert [mail.encode()[address.start : address.end].decode() for address in found] == urls


@pytest.mark.parametrize(("mail", "url", "reason"), TEXT_LEFT_ALONE)
def test_addresses_in_text_are_left_alone_for_a_reason(mail: str, url: str, reason: str) -> None:
    assert [(address.url, address.left_alone) for address in find_links(Part.text, mail.encode())] == [(url, LeftAloneReason(reason))]


@pytest.mark.parametrize(
    ("mail", "raw"),
    [
        ("<p>Å</p><a href='https://a.no/?a&amp;b'>", "https://a.no/?a&amp;b"),
        ('<a href=" \n https://a.no/ \t">', "https://a.no/"),
        ("<a href='&#32;https://a.no/&#10;'>", "&#32;https://a.no/&#10;"),
        ("<a href=https://a.no/å>", "https://a.no/å"),
        ("<a href=https://a.no/\u00a0>", "https://a.no/\u00a0"),
        ("<a href=''>", ""),
    ],
)
def test_the_place_covers_the_raw_address_without_quotes_and_white_space(mail: str, raw: str) -> None:
    (address,) = find_links(Part.html, mail.encode())
    assert mail.encode()[address.start : address.end].decode() == raw


@pytest.mark.parametrize(("attribute", "place"), [("<a href>", 7), ("<a href=>", 8), ("<a href=''>", 9)])
def test_an_empty_address_has_a_place_too(attribute: str, place: int) -> None:
    (address,) = find_links(Part.html, attribute.encode())
    assert (address.start, address.end) == (place, place)


@pytest.mark.parametrize("charset", ["iso-8859-1", "windows-1252", "ISO-8859-15"])
def test_addresses_are_read_in_the_charset_of_the_message(charset: str) -> None:
    html, text = "<p>å<a href='https://a.no/blåbær'>".encode(charset), "«https://a.no/blåbær»\u00a0".encode(charset)
    assert [address.url for address in find_links(Part.html, html, charset)] == ["https://a.no/blåbær"]
    assert [address.url for address in find_links(Part.text, text, charset)] == ["https://a.no/blåbær"]


@pytest.mark.parametrize("charset", ["utf-8", "ascii", "no-such-charset", "\0", "base64"])
@pytest.mark.parametrize(("part", "mail"), [(Part.html, b"<a href='https://a.no/\xe5'>"), (Part.text, b"x https://a.no/\xe5 y")])
def test_bytes_that_are_not_of_the_charset_leave_the_address_alone(part: Part, mail: bytes, charset: str) -> None:
    (address,) = find_links(part, mail, charset)
    assert address.left_alone is LeftAloneReason.invalid_url
    assert mail[address.start : address.end] == b"https://a.no/\xe5"


@given(messages)
def test_places_are_ascending_disjoint_and_within_the_message(message: tuple[Part, bytes]) -> None:
    part, content = message
    position = 0
    for address in find_links(part, content):
        assert address.part is part
        assert position <= address.start <= address.end <= len(content)
        position = address.end


@given(messages)
def test_putting_the_raw_addresses_back_changes_nothing(message: tuple[Part, bytes]) -> None:
    part, content = message
    pieces, position = [], 0
    for address in find_links(part, content):
        pieces += [content[position : address.start], content[address.start : address.end]]
        position = address.end
    assert b"".join([*pieces, content[position:]]) == content


@given(messages)
def test_a_message_keeps_its_links_when_a_tracked_one_is_replaced(message: tuple[Part, bytes]) -> None:
    part, content = message
    before = find_links(part, content)
    tracked = [index for index, address in enumerate(before) if address.left_alone is None]
    if part is Part.html and tracked:
        address = before[tracked[0]]
        after = find_links(part, content[: address.start] + b"https://t.example/abc" + content[address.end :])
        expected = [each.url for each in before]
        expected[tracked[0]] = "https://t.example/abc"
        assert [each.url for each in after] == expected


@pytest.mark.parametrize("part", Part)
@pytest.mark.parametrize("piece", HOSTILE)
def test_half_a_mebibyte_of_one_hostile_piece_is_read(piece: str, part: Part) -> None:
    # Nothing is timed: where the time grew with the square of the length, this would take hours.
    content = piece.encode() * (2**19 // len(piece.encode()))
    assert len(find_links(part, content)) <= len(content)
    assert len(find_links(part, b"<a href='" + content + b"'>")) <= len(content)


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("*https://a.no/starred*", "https://a.no/starred"),
        ("_https://a.no/b_c_", "https://a.no/b_c"),
        ("~https://a.no/~ola~", "https://a.no/~ola"),
        ("see https://a.no/b_", "https://a.no/b_"),
        ("**https://a.no/**.", "https://a.no/"),
        ("https://a.no/*", "https://a.no/*"),
    ],
)
def test_what_emphasises_an_address_is_no_part_of_it(text: str, url: str) -> None:
    (found,) = find_links(Part.text, text.encode())
    assert found.url == url


def test_the_pictures_of_vml_shapes_are_no_links() -> None:
    html = b"".join(b'<v:%b href="https://a.no/x.png">' % name for name in (b"fill", b"imagedata", b"stroke", b"textpath"))
    assert find_links(Part.html, html) == []
