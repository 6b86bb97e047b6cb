"""Clicks beside eight clients that list, mint, track and render without pause: who gets the wrong thing, and what it costs in time.

What recipients must get depends on who they are: a merge field in a URL, a name in a text, a form, a script. The house is as `make run`
starts it, with its quarter of a second for a click. Rounds with and without the eight take turns.
"""

import asyncio
import contextlib
import random
import statistics
import time
from collections.abc import Iterator, Sequence

from uuid_utils import uuid7

from bench import sites
from bench.figure import Figure, Plan, ratio, rounded
from bench.others import Others, Subjects, at_work
from bench.recipients import Answers, Visit, click
from tests.support.campaign import Campaign, person
from tests.support.house import House
from tests.support.postgres import Postgres
from tests.support.stubs import Stubs
from trackedlinks.v1 import click_service_pb2, link_pb2, link_service_pb2, script_pb2, script_service_pb2

RATES = (50, 200)
"""Clicks a second."""
PERSONS = 1000
"""With a card each; they click again and again."""
LINKS, CLICKED = 1000, 5000
"""What the lists have to tell of: links, and clicks on one of them, each by another recipient."""
LATE_MS = 250.0
"""What a click has until it goes to the journal."""
MOST_SETTLING = 30.0
NAMES = {"sqlite": "beside", "postgresql": "beside_postgres"}
WHAT = "the same recipients without the eight clients"


def run(plan: Plan) -> Iterator[Figure]:
    """Wrong answers, p99 with the eight ÷ without, and Health's wait; on PostgreSQL as well unless it is quick."""
    for database, name in NAMES.items():
        wanted = plan.wants(f"{name}_wrong", f"{name}_health_ms", *(f"{name}_p99_at_{rate}" for rate in RATES))
        if wanted and (database == "sqlite" or plan.rounds >= 5 or plan.only):
            yield from _beside(plan, name, database)


def _beside(plan: Plan, name: str, database: str) -> Iterator[Figure]:
    seconds = plan.seconds * 1.5
    with contextlib.ExitStack() as stack:
        url = None
        if database == "postgresql":
            cluster = Postgres("fsync=on", "shared_buffers=256MB", "max_wal_size=2GB")
            stack.callback(cluster.stop)
            url = cluster.url(cluster.create())
        house = stack.enter_context(sites.started(url, PERSONS, commit_seconds=None))
        visits, subjects = asyncio.run(_prepared(house))
        chance = random.Random(7)
        settled = []
        alone: dict[int, list[Answers]] = {rate: [] for rate in RATES}
        beside: dict[int, list[Answers]] = {rate: [] for rate in RATES}
        rounds: list[Others] = []
        for _ in range(plan.rounds):
            for rate in RATES:
                some = chance.choices(visits, k=int(rate * seconds))
                settled.append(_settled(house, visits))
                alone[rate].append(_clicked(house, some, rate))
                with at_work(house.address, subjects) as others:
                    beside[rate].append(_clicked(house, some, rate))
                rounds.append(others)
    every = [each for rate in RATES for each in beside[rate]]
    wrong = [answer for each in every for answer in each.wrong]
    refused = [answer for each in every for answer in each.refused]
    more = {
        "clicks": sum(len(each.milliseconds) for each in every),
        "wrong_alone": sum(len(each.wrong) for rate in RATES for each in alone[rate]),
        "refused": len(refused),
        "slower_than_250_ms": sum(each.slower_than(LATE_MS) for each in every),
        "settled_after_seconds": settled,
        "others": _summed([others.work.answered for others in rounds]),
        "others_refused": _summed([others.work.refused for others in rounds]),
        "examples": (wrong + refused)[:5],
    }
    what = f"none; of {more['clicks']:,} clicks beside the eight; {len(refused)} got nothing, {more['slower_than_250_ms']} waited 250 ms"
    yield Figure(f"{name}_wrong", [len(wrong)], {"what": what}, floor=0, unit="", less_is_better=True, more=more)
    for rate in RATES:
        p50 = [[rounded(each.percentile(0.5)) for each in some[rate]] for some in (alone, beside)]
        longest = [rounded(max(each.milliseconds)) for each in beside[rate]]
        yield ratio(
            f"{name}_p99_at_{rate}",
            [each.percentile(0.99) for each in beside[rate]],
            [each.percentile(0.99) for each in alone[rate]],
            WHAT,
            "p99_ms",
            floor=3.0,
            less_is_better=True,
            more={"p50_ms": p50[0], "measured_p50_ms": p50[1], "longest_ms": longest},
        )
    waits = [sorted(others.work.health_ms) for others in rounds]
    longest = [rounded(each[-1]) for each in waits]
    what = f"none; the median of Health/Check of each round beside the eight; the longest {max(longest):.0f} ms"
    yield Figure(
        f"{name}_health_ms",
        [statistics.median(each) for each in waits],
        {"what": what},
        unit=" ms",
        less_is_better=True,
        more={"longest_ms": longest},
    )


def _clicked(house: House, visits: Sequence[Visit], per_second: float) -> Answers:
    return click(house.front_port, visits, per_second)


def _settled(house: House, visits: Sequence[Visit]) -> float:
    """Returns when all recipients of a second get the right thing again, and how long that took: what a start costs is `cold_caches`,
    and what the eight have left behind is not to fall on the round without them."""
    began = time.monotonic()
    while True:
        answers = _clicked(house, visits[-50:], 50)
        taken = rounded(time.monotonic() - began)
        if not (answers.wrong or answers.refused) or taken > MOST_SETTLING:
            return taken


def _summed(each: Sequence[dict[str, int]]) -> dict[str, int]:
    return {name: sum(one.get(name, 0) for one in each) for name in sorted({name for one in each for name in one})}


async def _prepared(house: House) -> tuple[list[Visit], Subjects]:
    """What recipients can open, and what the eight ask about."""
    stubs = Stubs(house.address)
    campaign = Campaign(stubs)
    visits, mailing_id = await _mailed(house, campaign)
    names = [link_pb2.Link(name=f"Offer {n}", redirect=link_pb2.Redirect(url=f"https://example.com/{n}")) for n in range(LINKS)]
    for start in range(0, LINKS, 500):
        await stubs.links.BatchCreateLinks(link_service_pb2.BatchCreateLinksRequest(links=names[start : start + 500]))
    link = await campaign.link("Clicked")
    html = f'<a href="trackedlink:{link.id}">x</a>'.encode()
    _, minted = await campaign.mail(html, [person(number) for number in range(1, CLICKED + 1)])
    tokens = [urls[0].rpartition("/")[2] for urls in minted]
    call = stubs.clicks.RecordClicks()
    for start in range(0, CLICKED, 1000):
        some = [click_service_pb2.RecordClickRequest(click_id=str(uuid7()), token=each) for each in tokens[start : start + 1000]]
        await call.write(click_service_pb2.RecordClicksRequest(clicks=some))
    await call.done_writing()
    assert sum([len(answer.committed) async for answer in call]) == CLICKED
    await stubs.channel.close()
    return visits, Subjects(link.id, mailing_id)


async def _mailed(house: House, campaign: Campaign) -> tuple[list[Visit], int]:
    """A mailing whose links lead each recipient elsewhere, sent to everybody; and its id."""
    source = "returnUrl = 'https://example.com/script/' + str(custId)"
    request = script_service_pb2.CreateScriptRequest(script=script_pb2.Script(name="Own page", source=source))
    script = await campaign.stubs.scripts.CreateScript(request)
    run_script = link_pb2.LinkAction(script=link_pb2.RunScript(script_id=script.id))
    links = [
        await campaign.link("Field", "https://example.com/field/{{code}}?from=mail"),
        await campaign.link("Text", text="<p>Hello {{recipient.name}}!</p>"),
        await campaign.link("Script", "https://example.com/unscripted", actions=[run_script]),
        await campaign.form("Form", "https://example.com/form?email={{recipient.email}}"),
    ]
    html = "".join(f'<p>{"Dear {{name}}, " * 300}<a href="trackedlink:{link.id}">x</a></p>' for link in links)
    everybody = [person(n, merge_fields={"code": f"c{n}", "name": f"Name {n}"}) for n in range(1, PERSONS + 1)]
    mailing_id, minted = await campaign.mail(html.encode(), everybody)
    for url in minted[0]:
        await house.knows(url)
    wanted = [
        [
            Visit("", location=f"https://example.com/field/c{n}?from=mail"),
            Visit("", page=f"Hello Person {n}!"),
            Visit("", location=f"https://example.com/script/{n}"),
            Visit("", location=f"https://example.com/form?email=p{n}%40example.com"),
        ]
        for n in range(1, PERSONS + 1)
    ]
    visits = [
        Visit(url.rpartition("/")[2], visit.location, visit.page)
        for urls, some in zip(minted, wanted, strict=True)
        for url, visit in zip(urls, some, strict=True)
    ]
    return visits, mailing_id
