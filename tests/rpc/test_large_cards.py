"""Cards that grow: a bound on what is set, and answers that clients can take of what is there already."""

from itertools import count

import pytest
import sqlalchemy as sa

from server.store.database import Database
from tests.support import crm
from tests.support.campaign import Campaign, person
from tests.support.stubs import Stubs, refused
from trackedlinks.v1 import click_pb2, click_service_pb2, crm_service_pb2, embedded_crm_service_pb2, link_pb2

MOST = 200
FULL = "The person's card has 200 extra fields already, and takes no other one"
MOST_ANSWER = 4 * 1024 * 1024


@pytest.fixture
def campaign(stubs: Stubs) -> Campaign:
    return Campaign(stubs)


def many(number: int) -> dict[str, str]:
    return {f"field {each:03}": "x" for each in range(number)}


async def outcomes(campaign: Campaign, who: int, *fields: tuple[str, str]) -> list[tuple[int, str]]:
    """What becomes of actions that set these fields, one after the other, at one click."""
    actions = [link_pb2.LinkAction(set_field=link_pb2.SetField(field=field, value=value)) for field, value in fields]
    link = await campaign.link(actions=actions)
    url = await campaign.url(link.id, person(who))
    answer = await crm.click(campaign.stubs, url.rpartition("/")[2])
    assert answer.location == "https://example.com/"
    return [(outcome.state, outcome.reason) for outcome in answer.click.actions]


async def test_a_card_takes_so_many_fields_and_an_action_beyond_fails_alone(campaign: Campaign) -> None:
    kari = await campaign.person("Kari", extra_fields=many(MOST - 1))
    done, failed = (click_pb2.ACTION_STATE_DONE, ""), (click_pb2.ACTION_STATE_FAILED, FULL)
    new = [("last", "1"), ("beyond", "2"), ("field 000", "changed"), ("field 001", ""), ("room again", "3"), ("beyond", "4")]
    assert await outcomes(campaign, kari, *new) == [done, failed, done, done, done, failed]
    fields = dict((await campaign.card(kari)).extra_fields)
    assert fields == {name: "x" for name in many(MOST - 1) if name != "field 001"} | {
        "last": "1",
        "field 000": "changed",
        "room again": "3",
    }


async def test_effects_of_callers_beyond_the_bound_are_refused_whole(campaign: Campaign) -> None:
    kari = await campaign.person("Kari", extra_fields=many(MOST - 1))
    keys = count()

    def action(*fields: tuple[str, str]) -> crm_service_pb2.ActionEffects:
        effects = [
            crm_service_pb2.Effect(set_extra_field=crm_service_pb2.SetExtraField(field=field, value=value)) for field, value in fields
        ]
        return crm_service_pb2.ActionEffects(idempotency_key=f"key {next(keys)}", person_id=kari, effects=effects)

    actions = [action(("a", "1"), ("b", "1")), action(("a", "2")), action(("c", "3")), action(("a", ""), ("c", "4"))]
    answer = await campaign.stubs.crm.ApplyEffects(crm_service_pb2.ApplyEffectsRequest(actions=actions))
    applied, no = crm_service_pb2.EFFECTS_OUTCOME_APPLIED, crm_service_pb2.EFFECTS_OUTCOME_REFUSED
    assert [(result.outcome, result.reason) for result in answer.results] == [(no, FULL), (applied, ""), (no, FULL), (applied, "")]
    assert dict((await campaign.card(kari)).extra_fields) == many(MOST - 1) | {"c": "4"}


async def test_a_person_is_not_made_with_more(campaign: Campaign) -> None:
    problem = await refused(campaign.person("Kari", extra_fields=many(MOST + 1)))
    assert list(problem.fields) == ["person.extra_fields"]


async def test_a_card_that_is_too_large_already_is_shown_cut_and_lists_go_on(campaign: Campaign, database: Database) -> None:
    first, large, last = [await campaign.person(name) for name in ("First", "Large", "Last")]
    selection = await campaign.entry("SELECTION", "S")
    rows = [{"person_id": large, "field": f"field {number:04}", "value": "ø" * 2000} for number in range(2200)]
    insert = sa.text("INSERT INTO crm_extra_field (person_id, field, value) VALUES (:person_id, :field, :value)")
    database.write(lambda connection: connection.execute(insert, rows))
    member = sa.text(f"INSERT INTO crm_membership (entry_id, person_id) VALUES ({selection}, {large})")
    database.write(lambda connection: connection.execute(member))

    card = await campaign.card(large)
    assert 3_400_000 < card.ByteSize() < MOST_ANSWER
    assert (card.name, card.left_out_count) == ("Large", 2201 - len(card.extra_fields))
    assert sorted(card.extra_fields) == [f"field {number:04}" for number in range(len(card.extra_fields))]
    batch = await campaign.stubs.crm.BatchGetPersons(crm_service_pb2.BatchGetPersonsRequest(ids=[large]))
    assert batch.persons[0] == card

    found, token = [], ""
    while True:
        request = embedded_crm_service_pb2.ListPersonsRequest(page_size=1000, page_token=token)
        page = await campaign.stubs.embedded_crm.ListPersons(request)
        assert page.ByteSize() < MOST_ANSWER
        found += [each.id for each in page.persons]
        if not (token := page.next_page_token):
            break
    assert found == [first, large, last]

    changed = await outcomes(campaign, large, ("field 0000", "short"), ("field 0001", ""), ("new", "x"))
    assert [state for state, _ in changed] == [click_pb2.ACTION_STATE_DONE] * 2 + [click_pb2.ACTION_STATE_FAILED]
    clicks = await campaign.stubs.clicks.ListClickers(click_service_pb2.ListClickersRequest(link_id=1))
    assert [clicker.clicks for clicker in clicks.clickers] == [1]
