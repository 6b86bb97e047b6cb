"""A newsletter of 40 links to 1,000 recipients: 40,000 URLs, each its own."""

import asyncio
import random

import httpx2
import pytest

from redirect import token
from tests.support.campaign import Campaign, person
from tests.support.house import House
from trackedlinks.v1 import mailing_service_pb2

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


async def test_forty_thousand_urls_are_all_different_and_each_is_its_own_recipients(
    campaign: Campaign, browser: httpx2.AsyncClient, house: House
) -> None:
    html = b"".join(b'<a href="https://example.com/article/%d">x</a>' % number for number in range(40))
    mailing_id, minted = await campaign.mail(html, [person(number) for number in range(1, 1001)])
    tokens = [url.rpartition("/")[2] for urls in minted for url in urls]
    assert len(set(tokens)) == 40_000
    verifier = token.Verifier(token.load(house.directory / "keys.json"))
    claims = [verifier.verify(found.encode()) for found in tokens]
    assert [claim and (claim.recipient // 2, claim.test) for claim in claims] == [(number // 40 + 1, False) for number in range(40_000)]
    assert [claim and claim.placement_id for claim in claims[:40]] == sorted({claim.placement_id for claim in claims if claim})

    random.seed(40)
    chosen = random.sample(range(40_000), 60)
    for index in chosen:
        response = await browser.get(f"{house.url}/{tokens[index]}")
        assert response.headers["location"] == f"https://example.com/article/{index % 40}"
    request = mailing_service_pb2.ListMailingLinksRequest(mailing_id=mailing_id, page_size=40)
    links = (await campaign.stubs.mailings.ListMailingLinks(request)).links
    assert [link.counts.clicks for link in links] == [sum(index % 40 == number for index in chosen) for number in range(40)]
    mailing = await campaign.clickers(mailing_id=mailing_id, page_size=1000)
    assert {found.recipient.person_id for found in mailing} == {index // 40 + 1 for index in chosen}


@pytest.mark.parametrize("shared_house", ["sqlite"], indirect=True)  # the front door refuses them by their signature, and asks nobody
async def test_no_other_spelling_of_a_url_is_accepted(campaign: Campaign, browser: httpx2.AsyncClient, house: House) -> None:
    link = await campaign.link()
    url = await campaign.url(link.id, person(1))
    minted = url.rpartition("/")[2]
    others = {minted[:place] + letter + minted[place + 1 :] for place in range(len(minted)) for letter in ALPHABET} - {minted}
    others |= {minted[:-1], minted + "A", "A" + minted, minted[:-1] + "=" + minted[-1], minted.swapcase(), minted + "=", f"{minted} "}
    limit = asyncio.Semaphore(32)

    async def status(spelling: str) -> int:
        async with limit:
            return (await browser.get(f"{house.url}/{spelling}")).status_code

    accepted = [spelling for spelling, found in zip(others, await asyncio.gather(*map(status, others)), strict=True) if found != 404]
    assert not accepted
    assert await campaign.counts(link.id) == (0, 0, 0)


async def test_what_both_programs_write_is_their_users_only(campaign: Campaign, browser: httpx2.AsyncClient, house: House) -> None:
    link = await campaign.link()
    assert (await browser.get(await campaign.url(link.id, person(1)))).status_code == 302
    files = [house.directory, *house.directory.rglob("*")]
    names = {path.name for path in files}
    assert names >= {"keys.json", "snapshot.db", "journal"}
    assert [(path, oct(mode)) for path in files if (mode := path.stat().st_mode) & 0o077] == []


async def test_what_mail_programs_leave_at_the_end_of_a_url_does_no_harm(campaign: Campaign, browser: httpx2.AsyncClient) -> None:
    link = await campaign.link()
    url = await campaign.url(link.id, person(1))
    for left in (".", ",", ")", "%3E", "!", "?", "?utm_source=x", "%22.", "#fragment", "*"):
        assert (await browser.get(url + left)).status_code == 302, left
    assert await campaign.counts(link.id) == (10, 1, 0)
