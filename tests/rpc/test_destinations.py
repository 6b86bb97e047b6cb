"""Destinations byte for byte: from the address in a message to the Location header, without and with Google Analytics."""

import pytest
from uuid_utils import uuid7

from tests.support.campaign import Campaign, person
from tests.support.stubs import Stubs
from trackedlinks.v1 import click_service_pb2, mailing_pb2

LONG = "x" * 3900

TABLE: list[tuple[str, str, str]] = [
    ("https://a.no", "https://a.no", "https://a.no?utm_medium=email&utm_source=news&utm_campaign=spring"),
    ("https://a.no/", "https://a.no/", "https://a.no/?utm_medium=email&utm_source=news&utm_campaign=spring"),
    ("http://a.no/", "http://a.no/", "http://a.no/?utm_medium=email&utm_source=news&utm_campaign=spring"),
    ("HTTPS://A.no/Path", "HTTPS://A.no/Path", "HTTPS://A.no/Path?utm_medium=email&utm_source=news&utm_campaign=spring"),
    ("https://a.no:443/", "https://a.no:443/", "https://a.no:443/?utm_medium=email&utm_source=news&utm_campaign=spring"),
    ("http://a.no:8080/x", "http://a.no:8080/x", "http://a.no:8080/x?utm_medium=email&utm_source=news&utm_campaign=spring"),
    (
        "https://a.no//double//slash",
        "https://a.no//double//slash",
        "https://a.no//double//slash?utm_medium=email&utm_source=news&utm_campaign=spring",
    ),
    (
        "https://a.no/./dot/../up",
        "https://a.no/./dot/../up",
        "https://a.no/./dot/../up?utm_medium=email&utm_source=news&utm_campaign=spring",
    ),
    ("https://a.no/%2e%2e/x", "https://a.no/%2e%2e/x", "https://a.no/%2e%2e/x?utm_medium=email&utm_source=news&utm_campaign=spring"),
    ("https://a.no/a%2Fb", "https://a.no/a%2Fb", "https://a.no/a%2Fb?utm_medium=email&utm_source=news&utm_campaign=spring"),
    ("https://a.no/%7Euser", "https://a.no/%7Euser", "https://a.no/%7Euser?utm_medium=email&utm_source=news&utm_campaign=spring"),
    ("https://a.no/~user", "https://a.no/~user", "https://a.no/~user?utm_medium=email&utm_source=news&utm_campaign=spring"),
    ("https://a.no/a+b", "https://a.no/a+b", "https://a.no/a+b?utm_medium=email&utm_source=news&utm_campaign=spring"),
    ("https://a.no/a,b;c=d", "https://a.no/a,b;c=d", "https://a.no/a,b;c=d?utm_medium=email&utm_source=news&utm_campaign=spring"),
    ("https://a.no/a:b@c", "https://a.no/a:b@c", "https://a.no/a:b@c?utm_medium=email&utm_source=news&utm_campaign=spring"),
    ("https://a.no/(a)", "https://a.no/(a)", "https://a.no/(a)?utm_medium=email&utm_source=news&utm_campaign=spring"),
    ("https://a.no/[0]", "https://a.no/[0]", "https://a.no/[0]?utm_medium=email&utm_source=news&utm_campaign=spring"),
    ("https://a.no/{a}", "https://a.no/{a}", "https://a.no/{a}?utm_medium=email&utm_source=news&utm_campaign=spring"),
    ("https://a.no/|", "https://a.no/|", "https://a.no/|?utm_medium=email&utm_source=news&utm_campaign=spring"),
    ("https://a.no/^", "https://a.no/^", "https://a.no/^?utm_medium=email&utm_source=news&utm_campaign=spring"),
    ("https://a.no/%", "https://a.no/%", "https://a.no/%?utm_medium=email&utm_source=news&utm_campaign=spring"),
    ("https://a.no/%zz", "https://a.no/%zz", "https://a.no/%zz?utm_medium=email&utm_source=news&utm_campaign=spring"),
    ("https://a.no/100%25", "https://a.no/100%25", "https://a.no/100%25?utm_medium=email&utm_source=news&utm_campaign=spring"),
    ("https://a.no/$a!b*c'd", "https://a.no/$a!b*c'd", "https://a.no/$a!b*c'd?utm_medium=email&utm_source=news&utm_campaign=spring"),
    ("https://a.no/`", "https://a.no/`", "https://a.no/`?utm_medium=email&utm_source=news&utm_campaign=spring"),
    ("https://xn--l-4ga.no/", "https://xn--l-4ga.no/", "https://xn--l-4ga.no/?utm_medium=email&utm_source=news&utm_campaign=spring"),
    ("https://192.0.2.1/x", "https://192.0.2.1/x", "https://192.0.2.1/x?utm_medium=email&utm_source=news&utm_campaign=spring"),
    ("https://[2001:db8::1]/x", "https://[2001:db8::1]/x", "https://[2001:db8::1]/x?utm_medium=email&utm_source=news&utm_campaign=spring"),
    ("https://a.no./", "https://a.no./", "https://a.no./?utm_medium=email&utm_source=news&utm_campaign=spring"),
    ("https://a_b.no/", "https://a_b.no/", "https://a_b.no/?utm_medium=email&utm_source=news&utm_campaign=spring"),
    ("https://a.no?", "https://a.no?", "https://a.no?utm_medium=email&utm_source=news&utm_campaign=spring"),
    ("https://a.no?x", "https://a.no?x", "https://a.no?x&utm_medium=email&utm_source=news&utm_campaign=spring"),
    ("https://a.no/?", "https://a.no/?", "https://a.no/?utm_medium=email&utm_source=news&utm_campaign=spring"),
    ("https://a.no/?x", "https://a.no/?x", "https://a.no/?x&utm_medium=email&utm_source=news&utm_campaign=spring"),
    ("https://a.no/?x=", "https://a.no/?x=", "https://a.no/?x=&utm_medium=email&utm_source=news&utm_campaign=spring"),
    ("https://a.no/?=x", "https://a.no/?=x", "https://a.no/?=x&utm_medium=email&utm_source=news&utm_campaign=spring"),
    ("https://a.no/?x=1", "https://a.no/?x=1", "https://a.no/?x=1&utm_medium=email&utm_source=news&utm_campaign=spring"),
    ("https://a.no/?x=1&", "https://a.no/?x=1&", "https://a.no/?x=1&utm_medium=email&utm_source=news&utm_campaign=spring"),
    ("https://a.no/?&x", "https://a.no/?&x", "https://a.no/?&x&utm_medium=email&utm_source=news&utm_campaign=spring"),
    ("https://a.no/?x&y&x", "https://a.no/?x&y&x", "https://a.no/?x&y&x&utm_medium=email&utm_source=news&utm_campaign=spring"),
    (
        "https://a.no/?a=1&a=2&a[]=3",
        "https://a.no/?a=1&a=2&a[]=3",
        "https://a.no/?a=1&a=2&a[]=3&utm_medium=email&utm_source=news&utm_campaign=spring",
    ),
    ("https://a.no/?q=a+b", "https://a.no/?q=a+b", "https://a.no/?q=a+b&utm_medium=email&utm_source=news&utm_campaign=spring"),
    ("https://a.no/?q=a%20b", "https://a.no/?q=a%20b", "https://a.no/?q=a%20b&utm_medium=email&utm_source=news&utm_campaign=spring"),
    ("https://a.no/?q=%26%3D", "https://a.no/?q=%26%3D", "https://a.no/?q=%26%3D&utm_medium=email&utm_source=news&utm_campaign=spring"),
    (
        "https://a.no/?u=https://b.no/?c=d",
        "https://a.no/?u=https://b.no/?c=d",
        "https://a.no/?u=https://b.no/?c=d&utm_medium=email&utm_source=news&utm_campaign=spring",
    ),
    ("https://a.no/?q=a?b", "https://a.no/?q=a?b", "https://a.no/?q=a?b&utm_medium=email&utm_source=news&utm_campaign=spring"),
    ("https://a.no/?x=1;y=2", "https://a.no/?x=1;y=2", "https://a.no/?x=1;y=2&utm_medium=email&utm_source=news&utm_campaign=spring"),
    ("https://a.no/?q='x'", "https://a.no/?q='x'", "https://a.no/?q='x'&utm_medium=email&utm_source=news&utm_campaign=spring"),
    (
        "https://a.no/?q=(a)[b]{c}|d^e`",
        "https://a.no/?q=(a)[b]{c}|d^e`",
        "https://a.no/?q=(a)[b]{c}|d^e`&utm_medium=email&utm_source=news&utm_campaign=spring",
    ),
    (
        "https://a.no/?q=%E2%98%83",
        "https://a.no/?q=%E2%98%83",
        "https://a.no/?q=%E2%98%83&utm_medium=email&utm_source=news&utm_campaign=spring",
    ),
    ("https://a.no/?q=%", "https://a.no/?q=%", "https://a.no/?q=%&utm_medium=email&utm_source=news&utm_campaign=spring"),
    (
        "https://a.no/?redirect=%2Fx%3Fy%3Dz",
        "https://a.no/?redirect=%2Fx%3Fy%3Dz",
        "https://a.no/?redirect=%2Fx%3Fy%3Dz&utm_medium=email&utm_source=news&utm_campaign=spring",
    ),
    ("https://a.no/#", "https://a.no/#", "https://a.no/?utm_medium=email&utm_source=news&utm_campaign=spring#"),
    ("https://a.no/#top", "https://a.no/#top", "https://a.no/?utm_medium=email&utm_source=news&utm_campaign=spring#top"),
    (
        "https://a.no/#/route?x=1",
        "https://a.no/#/route?x=1",
        "https://a.no/?utm_medium=email&utm_source=news&utm_campaign=spring#/route?x=1",
    ),
    ("https://a.no/?x#y", "https://a.no/?x#y", "https://a.no/?x&utm_medium=email&utm_source=news&utm_campaign=spring#y"),
    ("https://a.no/?x#y?z#w", "https://a.no/?x#y?z#w", "https://a.no/?x&utm_medium=email&utm_source=news&utm_campaign=spring#y?z#w"),
    ("https://a.no/#a&b", "https://a.no/#a&b", "https://a.no/?utm_medium=email&utm_source=news&utm_campaign=spring#a&b"),
    ("https://a.no/#%20", "https://a.no/#%20", "https://a.no/?utm_medium=email&utm_source=news&utm_campaign=spring#%20"),
    ("https://a.no#only", "https://a.no#only", "https://a.no?utm_medium=email&utm_source=news&utm_campaign=spring#only"),
    ("https://a.no/?x=1&amp;y=2", "https://a.no/?x=1&y=2", "https://a.no/?x=1&y=2&utm_medium=email&utm_source=news&utm_campaign=spring"),
    ("https://a.no/?x=1&#38;y=2", "https://a.no/?x=1&y=2", "https://a.no/?x=1&y=2&utm_medium=email&utm_source=news&utm_campaign=spring"),
    ("https://a.no/?x=1&#x26;y=2", "https://a.no/?x=1&y=2", "https://a.no/?x=1&y=2&utm_medium=email&utm_source=news&utm_campaign=spring"),
    ("https://a.no/?x=1&AMP;y=2", "https://a.no/?x=1&y=2", "https://a.no/?x=1&y=2&utm_medium=email&utm_source=news&utm_campaign=spring"),
    (
        "https://a.no/?x=1&amp;amp;y=2",
        "https://a.no/?x=1&amp;y=2",
        "https://a.no/?x=1&amp;y=2&utm_medium=email&utm_source=news&utm_campaign=spring",
    ),
    (
        "https://a.no/?x=1&copy=2&reg=3",
        "https://a.no/?x=1&copy=2&reg=3",
        "https://a.no/?x=1&copy=2&reg=3&utm_medium=email&utm_source=news&utm_campaign=spring",
    ),
    (
        "https://a.no/?x=1&lt=2&notit=3",
        "https://a.no/?x=1&lt=2&notit=3",
        "https://a.no/?x=1&lt=2&notit=3&utm_medium=email&utm_source=news&utm_campaign=spring",
    ),
    ("https://a.no/?x=&quot;y&quot;", 'https://a.no/?x="y"', 'https://a.no/?x="y"&utm_medium=email&utm_source=news&utm_campaign=spring'),
    ("https://a.no/?x=&#39;y&apos;", "https://a.no/?x='y'", "https://a.no/?x='y'&utm_medium=email&utm_source=news&utm_campaign=spring"),
    ("https://a.no/?x=&copy;", "https://a.no/?x=%C2%A9", "https://a.no/?x=%C2%A9&utm_medium=email&utm_source=news&utm_campaign=spring"),
    (
        "https://a.no/?a=1&section=2&para=3&times=4",
        "https://a.no/?a=1&section=2&para=3&times=4",
        "https://a.no/?a=1&section=2&para=3&times=4&utm_medium=email&utm_source=news&utm_campaign=spring",
    ),
    ("https&#58;//a.no/&#x2F;x", "https://a.no//x", "https://a.no//x?utm_medium=email&utm_source=news&utm_campaign=spring"),
    (" https://a.no/x ", "https://a.no/x", "https://a.no/x?utm_medium=email&utm_source=news&utm_campaign=spring"),
    ("https://a.no/a b", "https://a.no/a%20b", "https://a.no/a%20b?utm_medium=email&utm_source=news&utm_campaign=spring"),
    ("https://a.no/?q=a b", "https://a.no/?q=a%20b", "https://a.no/?q=a%20b&utm_medium=email&utm_source=news&utm_campaign=spring"),
    (
        "https://a.no/blåbær",
        "https://a.no/bl%C3%A5b%C3%A6r",
        "https://a.no/bl%C3%A5b%C3%A6r?utm_medium=email&utm_source=news&utm_campaign=spring",
    ),
    (
        "https://a.no/?q=blå&r=æ",
        "https://a.no/?q=bl%C3%A5&r=%C3%A6",
        "https://a.no/?q=bl%C3%A5&r=%C3%A6&utm_medium=email&utm_source=news&utm_campaign=spring",
    ),
    ("https://a.no/#ø", "https://a.no/#%C3%B8", "https://a.no/?utm_medium=email&utm_source=news&utm_campaign=spring#%C3%B8"),
    ("https://øl.no/å", "https://xn--l-4ga.no/%C3%A5", "https://xn--l-4ga.no/%C3%A5?utm_medium=email&utm_source=news&utm_campaign=spring"),
    (
        "https://a.no/%C3%A5/å",
        "https://a.no/%C3%A5/%C3%A5",
        "https://a.no/%C3%A5/%C3%A5?utm_medium=email&utm_source=news&utm_campaign=spring",
    ),
    (
        "https://a.no/日本?語",
        "https://a.no/%E6%97%A5%E6%9C%AC?%E8%AA%9E",
        "https://a.no/%E6%97%A5%E6%9C%AC?%E8%AA%9E&utm_medium=email&utm_source=news&utm_campaign=spring",
    ),
    ("https://a.no/😀", "https://a.no/%F0%9F%98%80", "https://a.no/%F0%9F%98%80?utm_medium=email&utm_source=news&utm_campaign=spring"),
    ("https://a.no/?utm_medium=x", "https://a.no/?utm_medium=x", "https://a.no/?utm_medium=x&utm_source=news&utm_campaign=spring"),
    ("https://a.no/?utm_source=", "https://a.no/?utm_source=", "https://a.no/?utm_source=&utm_medium=email&utm_campaign=spring"),
    ("https://a.no/?utm_campaign", "https://a.no/?utm_campaign", "https://a.no/?utm_campaign&utm_medium=email&utm_source=news"),
    (
        "https://a.no/?utm_campaign=a&utm_campaign=b&utm_source=c&utm_medium=d",
        "https://a.no/?utm_campaign=a&utm_campaign=b&utm_source=c&utm_medium=d",
        "https://a.no/?utm_campaign=a&utm_campaign=b&utm_source=c&utm_medium=d",
    ),
    (
        "https://a.no/?UTM_SOURCE=x",
        "https://a.no/?UTM_SOURCE=x",
        "https://a.no/?UTM_SOURCE=x&utm_medium=email&utm_source=news&utm_campaign=spring",
    ),
    (
        "https://a.no/?xutm_source=x",
        "https://a.no/?xutm_source=x",
        "https://a.no/?xutm_source=x&utm_medium=email&utm_source=news&utm_campaign=spring",
    ),
    (
        "https://a.no/#utm_source=x",
        "https://a.no/#utm_source=x",
        "https://a.no/?utm_medium=email&utm_source=news&utm_campaign=spring#utm_source=x",
    ),
    (
        "https://a.no/?utm_source=a&amp;x#y",
        "https://a.no/?utm_source=a&x#y",
        "https://a.no/?utm_source=a&x&utm_medium=email&utm_campaign=spring#y",
    ),
    (f"https://a.no/{LONG}", f"https://a.no/{LONG}", f"https://a.no/{LONG}?utm_medium=email&utm_source=news&utm_campaign=spring"),
    ("https://a.no/{{ id }}", "https://a.no/7%2F8", "https://a.no/7%2F8?utm_medium=email&utm_source=news&utm_campaign=spring"),
    (
        "https://a.no/?q={{name}}&{{ id }}=x#{{id}}",
        "https://a.no/?q=K%C3%A5re%20%26%20co&7%2F8=x#7%2F8",
        "https://a.no/?q=K%C3%A5re%20%26%20co&7%2F8=x&utm_medium=email&utm_source=news&utm_campaign=spring#7%2F8",
    ),
    (
        "https://a.no/{{id}}.html?utm_source={{ id }}",
        "https://a.no/7%2F8.html?utm_source=7%2F8",
        "https://a.no/7%2F8.html?utm_source=7%2F8&utm_medium=email&utm_campaign=spring",
    ),
]
"""The address in HTML, what it leads to, and what it leads to in a mailing with analytics. A recipient brings id 7/8 and name Kåre & co."""

ANALYTICS = mailing_pb2.GoogleAnalytics(source="news", campaign="spring")


def test_the_table_is_of_some_length() -> None:
    assert len({address for address, _, _ in TABLE}) == len(TABLE) >= 75  # each is two cases


@pytest.mark.parametrize("analytics", [False, True])
async def test_what_stands_in_a_message_is_what_recipients_are_sent_to(stubs: Stubs, analytics: bool) -> None:
    campaign = Campaign(stubs)
    mailing = await campaign.mailing(google_analytics=ANALYTICS if analytics else None)
    html = "\n".join(f'<a href="{address}">x</a>' for address, _, _ in TABLE).encode()
    tracked = await campaign.track(mailing.id, html)
    assert [each.url for each in tracked.left_alone] == []
    (urls,) = await campaign.send(mailing.id, [person(1, merge_fields={"id": "7/8", "name": "Kåre & co"})])
    placements = sorted({each.placement.id for each in tracked.tracked})
    token_of = {placement: url.rpartition("/")[2] for placement, url in zip(placements, urls, strict=True)}
    requests = [click_service_pb2.RecordClickRequest(click_id=str(uuid7()), token=token_of[each.placement.id]) for each in tracked.tracked]
    call = stubs.clicks.RecordClicks()
    await call.write(click_service_pb2.RecordClicksRequest(clicks=requests))
    await call.done_writing()
    answers = {answer.click_id: answer.location async for response in call for answer in response.answers}
    found = {address: answers[request.click_id] for (address, _, _), request in zip(TABLE, requests, strict=True)}
    assert found == {address: with_analytics if analytics else plain for address, plain, with_analytics in TABLE}
