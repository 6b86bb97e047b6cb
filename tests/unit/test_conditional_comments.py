"""Links for Outlook: in its conditional comments, and in VML."""

import pytest

from server.messages.find import find_links
from server.messages.part import Part

URL = "https://a.no/x"
LINK = f"<a href='{URL}'>"
BEHIND = "<a href='https://b.no/'>"
BOTH = [URL, "https://b.no/"]

MAILS = [
    # Hidden from all but Outlook
    (f"<!--[if mso]>{LINK}<![endif]-->{BEHIND}", BOTH),
    (f"<!--[if gte mso 9]>{LINK}<![endif]-->{BEHIND}", BOTH),
    (f"<!--[IF (mso)|(IE)]>{LINK}<![ENDIF]-->{BEHIND}", BOTH),
    (f"<!--[if(mso 12)&(!IE 8)]>{LINK}<![endif]-->{BEHIND}", BOTH),
    (f"<!-- [ if\n!vml ] >{LINK}<![endif] -->{BEHIND}", BOTH),
    (f"<!--[if mso]><table><tr><td title='a > b'>{LINK}</td></tr></table><![endif]--!>{BEHIND}", BOTH),
    (f"<!--[if mso]><A HREF={URL}>x</A><![endif]-->{BEHIND}", BOTH),
    (f"<!--[if mso]><![endif]-->{LINK}", [URL]),
    # Revealed to all but Outlook
    (f"<!--[if !mso]><!-->{LINK}<!--<![endif]-->{BEHIND}", BOTH),
    (f"<!--[if !mso]><!-- -->{LINK}<!-- <![endif]-->{BEHIND}", BOTH),
    (f"<!--[if !mso]>-->{LINK}<!--<![endif]-->{BEHIND}", BOTH),
    (f"<![if !mso]>{LINK}<![endif]>{BEHIND}", BOTH),
    (f"<!--[if mso]>{LINK}<![endif]--><!--[if !mso]><!-->{BEHIND}<!--<![endif]-->", BOTH),
    # Comments like any other
    (f"<!--[mso]>{LINK}<![endif]-->{BEHIND}", BOTH[1:]),
    (f"<!--x[if mso]>{LINK}<![endif]-->{BEHIND}", BOTH[1:]),
    (f"<!--[ifmso]>{LINK}<![endif]-->{BEHIND}", BOTH[1:]),
    (f"<!--[if mso>{LINK}<![endif]-->{BEHIND}", BOTH[1:]),
    (f"<!--[if mso {LINK}]><![endif]-->{BEHIND}", BOTH[1:]),
    (f"<!--[if mso-->]>{LINK}", [URL]),
    (f"<style><!--[if mso]>{LINK}<![endif]--></style>{BEHIND}", BOTH[1:]),
    # Cut off, nested, and what would reach beyond the end of the comment
    (f"<!--[if mso]>{LINK}", [URL]),
    (f"<!--[if mso]>{LINK}<![endif]>{BEHIND}", BOTH),
    (f"<!--[if mso]><!-- <a href='https://c.no/'> -->{LINK}<![endif]-->{BEHIND}", BOTH),
    (f"<!--[if mso]><!--[if gte mso 12]>{LINK}<![endif]-->{BEHIND}<![endif]-->", BOTH),
    (f"<!--[if mso]><!--[if !vml]>{LINK}<![endif]>{BEHIND}", BOTH),
    (f"<!--[if mso]><script>'<a href=https://c.no/>'<![endif]-->{BEHIND}", BOTH[1:]),
    (f"<!--[if mso]><style>v\\:* {{behavior:url(#d)}}</style>{LINK}<![endif]-->{BEHIND}", BOTH),
    (f"<!--[if mso]><title>{LINK}<![endif]-->{BEHIND}", BOTH[1:]),
    (f"<!--[if mso]><plaintext>{LINK}<![endif]-->{BEHIND}", BOTH[1:]),
    (f"<!--[if mso]><a title='<![endif]-->{LINK}{BEHIND}", BOTH),
    (f"<!--[if mso]><a href=https://c.no/-->{LINK}", [URL]),
    (f"<!--[if mso]><a href=https://c.no/<![endif]-->{LINK}", [URL]),
    # VML, in comments and outside
    *((f"<!--[if mso]><v:{shape} href='{URL}'><![endif]-->{BEHIND}", BOTH) for shape in ("roundrect", "rect", "oval", "shape", "image")),
    (f"<V:Rect HREF='{URL}'/>{BEHIND}", BOTH),
    (f"<vml href='{URL}'><o:p href='{URL}'><w:anchorlock/>{BEHIND}", BOTH[1:]),
]

BUTTON = """\
<table role="presentation"><tr><td align="center">
<!--[if mso]>
<v:roundrect xmlns:v="urn:schemas-microsoft-com:vml" xmlns:w="urn:schemas-microsoft-com:office:word"
  href="https://a.no/pay?nr=1&amp;kid={{invoice.kid}}" style="height:40px;v-text-anchor:middle;width:200px;" arcsize="10%"
  fillcolor="#2f6b3a">
  <w:anchorlock/>
  <center style="color:#ffffff;font-family:sans-serif;font-size:13px;font-weight:bold;">Pay, {{recipient.name}}</center>
</v:roundrect>
<![endif]-->
<!--[if !mso]><!-- --><a href="https://a.no/pay?nr=1&amp;kid={{invoice.kid}}" style="mso-hide:all;">Pay</a><!-- <![endif]-->
</td></tr></table>
<!--[if mso | IE]></td></tr></table>
<v:rect style="width:600px;" stroke="false"><v:fill src="https://a.no/b.jpg" type="tile"/><v:textbox inset="0,0,0,0"><![endif]-->
<div style="background:url('https://a.no/b.jpg')"><a href='https://b.no/'>x</a></div>
<!--[if mso | IE]></v:textbox></v:rect><![endif]-->
"""
"""A button and a background as mail builders write them."""


@pytest.mark.parametrize(("mail", "urls"), MAILS)
def test_outlook_s_links_are_found_where_they_stand(mail: str, urls: list[str]) -> None:
    found = find_links(Part.html, mail.encode())
    assert [(address.url, address.left_alone) for address in found] == [(url, None) for url in urls]
    assert [mail.encode()[address.start : address.end].decode() for address in found] == urls


def test_a_builder_s_button_is_tracked_for_outlook_and_for_others() -> None:
    content = BUTTON.encode()
    found = find_links(Part.html, content)
    pay = "https://a.no/pay?nr=1&kid={{invoice.kid}}"
    assert [(address.url, address.left_alone) for address in found] == [(pay, None), (pay, None), ("https://b.no/", None)]
    assert {content[address.start - 1 : address.start] for address in found} == {b'"', b"'"}


def test_a_marked_link_in_a_conditional_comment_is_left_alone() -> None:
    (address,) = find_links(Part.html, f"<!--[if mso]><v:rect data-track=false href='{URL}'><![endif]-->".encode())
    assert address.left_alone == "marked"


@pytest.mark.parametrize("nested", ["<!--[if mso]>", "<!--[if mso]><a>", "<!--[if a]><!--[if b]>-->"])
def test_a_hundred_thousand_nested_comments_are_read(nested: str) -> None:
    # Nothing is timed: where the time grew with the square of the length, this would take hours.
    assert [address.url for address in find_links(Part.html, (nested * 100_000 + LINK).encode())] == [URL]
