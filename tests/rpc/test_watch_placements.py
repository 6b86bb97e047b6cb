"""WatchPlacements: where every placement leads, and what changes of it."""

from typing import Any

import grpc
import pytest

from server.store.changes import ChangeStore
from server.store.database import Database
from tests.support.actions import interests, set_field
from tests.support.campaign import Campaign, person
from tests.support.stubs import Stubs, refused
from trackedlinks.v1 import (
    click_service_pb2,
    link_pb2,
    link_service_pb2,
    mailing_pb2,
    mailing_service_pb2,
    script_pb2,
    script_service_pb2,
)


def watched(stubs: Stubs, position: str = "") -> Any:
    return stubs.clicks.WatchPlacements(click_service_pb2.WatchPlacementsRequest(position=position), timeout=20)


async def all_of(watch: Any) -> tuple[dict[int, Any], str]:
    """What is told until nothing more is known: each placement's answer, and the position."""
    told: dict[int, Any] = {}
    while (response := await watch.read()) != grpc.aio.EOF:
        if not response.answers:
            return told, response.position
        for answer in response.answers:
            told |= dict.fromkeys(answer.placement_ids, answer)
    raise AssertionError("the stream has ended")


async def test_a_new_watcher_is_told_where_every_kind_of_placement_leads(stubs: Stubs) -> None:
    campaign = Campaign(stubs)
    to_url = await campaign.link(url="https://example.com/a b#ø")
    to_text = await campaign.link("T", text="<h1>Hi {{recipient.name}}{{click.time}} from {{mailing.name}}</h1><script>x</script>")
    to_form = await campaign.link(form=link_pb2.Form(url="https://example.com/?e={{recipient.email}}&l={{link.name}}"), name="A b")
    to_field = await campaign.link(url="https://example.com/{{city}}?m={{mailing.name}}")
    html = "".join(f'<a href="trackedlink:{link.id}">x</a>' for link in (to_url, to_text, to_form, to_field)).encode()
    mailing = await campaign.mailing(name="M&M", google_analytics=mailing_pb2.GoogleAnalytics(source="s", campaign="c"), language="nb")
    tracked = await campaign.track(mailing.id, html + b'<a href="trackedlink:view-online">y</a>')
    placements = [slot.placement_id for slot in tracked.template.html if slot.placement_id]
    told, _ = await all_of(watched(stubs))
    assert told[placements[0]].location == "https://example.com/a%20b?utm_medium=email&utm_source=s&utm_campaign=c#%C3%B8"
    page = told[placements[1]].page
    assert (page.html, page.language, page.title) == ("<h1>Hi  from M&amp;M</h1>", "nb", "T")
    assert told[placements[2]].location.startswith("https://example.com/?e=&l=A%20b&utm_medium=email")
    assert told[placements[3]].location.startswith("https://example.com/?m=M%26M&utm_medium=email")
    assert told[placements[4]].special_link.kind == mailing_pb2.PLACEMENT_KIND_VIEW_ONLINE


async def test_a_watcher_goes_on_from_its_position_and_is_told_of_every_edit(stubs: Stubs) -> None:
    campaign = Campaign(stubs)
    link = await campaign.link(url="https://example.com/before")
    other = await campaign.link("Other", url="https://example.com/other")
    await campaign.url(other.id, person(1))
    mailing = await campaign.mailing()
    await campaign.track(mailing.id, f'<a href="trackedlink:{link.id}">x</a>'.encode())
    watch = watched(stubs)
    told, position = await all_of(watch)
    assert sorted(answer.location for answer in told.values()) == ["https://example.com/before", "https://example.com/other"]

    link.redirect.url = "https://example.com/after"
    await stubs.links.UpdateLink(link_service_pb2.UpdateLinkRequest(link=link))
    expected = ["https://example.com/after"]
    assert [answer.location for answer in (await watch.read()).answers] == expected
    assert [answer.location for answer in (await all_of(watched(stubs, position)))[0].values()] == expected

    mailing.google_analytics.source = "news"
    await stubs.mailings.UpdateMailing(mailing_service_pb2.UpdateMailingRequest(mailing=mailing))
    later, position = await all_of(watched(stubs, position))
    assert [answer.location for answer in later.values()] == ["https://example.com/after?utm_medium=email&utm_source=news"]
    assert await all_of(watched(stubs, position)) == ({}, position)
    watch.cancel()


async def test_a_watcher_is_told_which_links_may_let_their_recipient_leave(stubs: Stubs) -> None:
    campaign = Campaign(stubs)
    sport, old, tour = [
        await campaign.entry("INTEREST", "Sport"),
        await campaign.entry("SELECTION", "Old"),
        await campaign.entry("PROJECT", "Tour"),
    ]
    adds = await campaign.link(actions=[interests(add=[sport]), set_field("a", "b")])
    leaving = [
        interests(add=[], remove=[sport]),
        link_pb2.LinkAction(selection=link_pb2.ChangeSelections(remove=[old])),
        link_pb2.LinkAction(project=link_pb2.ChangeProjects(remove=[tour])),
    ]
    links = [adds, *[await campaign.link(actions=[set_field("a", "b"), action]) for action in leaving]]
    for link in links:
        await campaign.url(link.id, person(1))
    told, position = await all_of(watched(stubs))
    assert [told[number].lets_leave for number in (1, 2, 3, 4)] == [False, True, True, True]
    adds.actions.append(interests(remove=[sport]))
    adds.actions[0].interests.add[:] = []
    adds.actions[0].interests.remove[:] = [sport]
    await stubs.links.UpdateLink(link_service_pb2.UpdateLinkRequest(link=adds))
    told, _ = await all_of(watched(stubs, position))
    assert {number: answer.lets_leave for number, answer in told.items()} == {1: True}


async def test_many_placements_and_large_pages_come_in_pieces_of_which_only_the_last_goes_further(stubs: Stubs) -> None:
    campaign = Campaign(stubs)
    links = [await campaign.link(text=f"<p>{number}" + "x" * 30_000) for number in range(80)]
    html = "".join(f'<a href="trackedlink:{link.id}">x</a>' for link in links * 20).encode()
    await campaign.track((await campaign.mailing()).id, html)
    positions: list[str] = []
    placements: list[int] = []
    async for response in watched(stubs):
        if not response.answers:
            break
        positions.append(response.position)
        placements += [each for answer in response.answers for each in answer.placement_ids]
        assert response.ByteSize() < 1_200_000
    assert (len(placements), len(set(placements))) == (1600, 1600)
    assert positions[0] == "0.0"
    assert (await all_of(watched(stubs, positions[-1])))[0] == {}


async def test_a_database_that_was_set_back_is_told_anew(database: Database) -> None:
    assert ChangeStore(database).after((99, 5), 10) == ([], (0, 0))


@pytest.mark.parametrize("position", ["x", "1", "1.", "-1.0", "01.2", "1.2.3", "9" * 30 + ".0", "1.2\n", "²·1", "y" * 100_000])
async def test_a_position_that_the_server_has_not_given_is_refused(stubs: Stubs, position: str) -> None:
    refusal = await refused(watched(stubs, position).read())
    assert (refusal.reason, list(refusal.fields)) == ("INVALID_FIELD", ["position"])


async def test_bytes_that_are_no_message_are_refused(stubs: Stubs) -> None:
    watch: Any = stubs.channel.unary_stream("/trackedlinks.v1.ClickService/WatchPlacements")
    call = watch(b"\xff")
    assert (await refused(call.read())).reason == "MALFORMED_REQUEST"


async def test_a_watcher_is_told_which_answers_depend_on_who_clicks_and_when(stubs: Stubs) -> None:
    campaign = Campaign(stubs)
    script = await stubs.scripts.CreateScript(script_service_pb2.CreateScriptRequest(script=script_pb2.Script(name="S", source="x = 1")))
    for same in ("https://example.com/", "https://example.com/{{link.name}}?m={{mailing.name}}"):
        await campaign.url((await campaign.link(url=same)).id)
    await campaign.url((await campaign.link(text="{{link.name}} {{what}} {{")).id)
    await campaign.url((await campaign.link(form=link_pb2.Form(url="https://example.com/{{mailing.name}}"))).id)
    await campaign.url((await campaign.link(actions=[set_field("a", "{{recipient.name}}")])).id)
    for text in ("{{ recipient.name }}", "{{click.time}}"):
        await campaign.url((await campaign.link(text=text)).id)
    for form in ("{{recipient.email}}", "{{click.time}}", "{{field.shoe size}}"):
        await campaign.url((await campaign.link(form=link_pb2.Form(url=f"https://example.com/{form}"))).id)
    await campaign.url((await campaign.link(actions=[link_pb2.LinkAction(script=link_pb2.RunScript(script_id=script.id))])).id)
    field = await campaign.link(url="https://example.com/{{shop}}")
    await campaign.mail(f'<a href="trackedlink:{field.id}">x</a>'.encode(), [person(1, merge_fields={"shop": "x"})])
    told, _ = await all_of(watched(stubs))
    assert [told[number].depends_on_click for number in sorted(told)] == [False] * 5 + [True] * 7


async def test_a_watcher_who_knows_of_a_placement_that_was_never_given_proves_that_the_database_was_put_back(stubs: Stubs) -> None:
    campaign = Campaign(stubs)
    link = await campaign.link()
    await campaign.url(link.id, person(1))
    known = watched(stubs)
    told, _ = await all_of(known)
    request = click_service_pb2.WatchPlacementsRequest(highest_placement_id=max(told))
    assert (await all_of(stubs.clicks.WatchPlacements(request, timeout=20)))[0].keys() == told.keys()
    assert (await campaign.link()).id > link.id
    request.highest_placement_id = max(told) + 1
    assert (await all_of(stubs.clicks.WatchPlacements(request, timeout=20)))[0].keys() == told.keys()
    create = link_service_pb2.CreateLinkRequest(link=link_pb2.Link(name="x", redirect=link_pb2.Redirect(url="https://example.com/")))
    assert (await refused(stubs.links.CreateLink(create))).reason == "DATABASE_PUT_BACK"
    assert await campaign.counts(link.id) == (0, 0, 0)
