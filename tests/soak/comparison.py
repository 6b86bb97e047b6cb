"""Compares everything that the server tells at the end of the mixed load with what the oracle knows, and every figure with the clicks."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any

from sqlalchemy import text

from server.store.database import Database
from tests.soak.ledger import PersonMailing
from tests.soak.stored import Stored, figures, identity, pages, stored, told_figures
from tests.soak.world import World
from trackedlinks.v1 import (
    action_service_pb2,
    click_pb2,
    click_service_pb2,
    embedded_crm_service_pb2,
    link_service_pb2,
    mailing_service_pb2,
)

MOST_FAILED = 0.002
"""The share of scripts that may fail on a machine that is busy with other things."""


class Comparison:
    """One look at everything."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._stubs = world.campaign.stubs
        self._clicks: dict[int, list[Stored]] = {}
        self._in_mailings: dict[int, list[Stored]] = defaultdict(list)
        self._problems: list[str] = []

    async def problems(self) -> list[str]:
        """What is lost, there twice, or told wrong; empty when all is as recipients were told."""
        for link_id in sorted(self._world.ledger.links.keys() | {subject.link_id for subject in self._world.subjects}):
            await self._compare_link(link_id)
        for mailing_id in self._world.mailings:
            await self._compare_mailing(mailing_id)
        self._compare_placements()
        await self._compare_effects()
        await self._compare_cards()
        await self._compare_runs()
        await self._compare_scripts()
        return self._problems

    def _expect(self, what: str, wanted: object, found: object) -> None:
        if wanted != found:
            self._problems.append(f"{what}: {found} instead of {wanted}")

    def _differ(self, what: str, wanted: Mapping[Any, int], found: Mapping[Any, int]) -> None:
        for key in wanted.keys() | found.keys():
            self._expect(f"{what} {key}", wanted.get(key, 0), found.get(key, 0))

    async def _compare_link(self, link_id: int) -> None:
        """The clicks with what was answered, and the link's figures and clickers with the clicks."""
        request = click_service_pb2.ListClicksRequest(link_id=link_id)
        listed = [stored(click) async for click in pages(self._stubs.clicks.ListClicks, request, "clicks")]
        self._clicks[link_id] = listed
        for click in listed:
            self._in_mailings[click.mailing_id].append(click)
        self._expect(f"link {link_id}, ids of clicks that are listed twice", len(listed), len({click.id for click in listed}))
        self._problems += self._world.ledger.differences(
            link_id, Counter((each.placement_id, each.identity, each.verdict, each.test) for each in listed)
        )
        link = await self._stubs.links.GetLink(link_service_pb2.GetLinkRequest(id=link_id))
        self._expect(f"link {link_id}, counts", figures(listed), told_figures(link.counts))
        clickers = click_service_pb2.ListClickersRequest(link_id=link_id)
        found = {
            (identity(each.recipient), each.mailing_id): each.clicks
            async for each in pages(self._stubs.clicks.ListClickers, clickers, "clickers")
        }
        counted = Counter((click.identity, click.mailing_id) for click in listed if click.has_clicker)
        self._differ(f"link {link_id}, clicker", counted, found)

    async def _compare_mailing(self, mailing_id: int) -> None:
        """The figures of a mailing, and of each link in it, with the clicks."""
        inside = self._in_mailings[mailing_id]
        of_links: dict[int, list[Stored]] = defaultdict(list)
        for click in inside:
            of_links[click.link_id].append(click)
        mailing = await self._stubs.mailings.GetMailing(mailing_service_pb2.GetMailingRequest(id=mailing_id))
        self._expect(f"mailing {mailing_id}, counts", figures(inside), told_figures(mailing.counts))
        request = mailing_service_pb2.ListMailingLinksRequest(mailing_id=mailing_id)
        async for each in pages(self._stubs.mailings.ListMailingLinks, request, "links"):
            self._expect(f"mailing {mailing_id}, link {each.link.id}, counts", figures(of_links[each.link.id]), told_figures(each.counts))

    def _compare_placements(self) -> None:
        """The roll-ups of each placement, which no call tells of yet, with the clicks."""
        database = Database(self._world.house.environment["TRACKEDLINKS_DATABASE_URL"])
        try:
            rows = database.read(lambda connection: connection.execute(text(_ROLLED_UP)).all())
        finally:
            database.close()
        found = {(row[0], what): int(value) for row in rows for what, value in zip(("clicks", "suspected"), row[1:], strict=True) if value}
        wanted: Counter[tuple[int, str]] = Counter()
        for click in (click for listed in self._clicks.values() for click in listed if not click.test):
            wanted[click.placement_id, "clicks" if click.counts else "suspected"] += 1
        self._differ("roll-ups of placement", wanted, found)

    async def _compare_effects(self) -> None:
        """What the link that acts has made: service requests, follow-ups, events, and members of a selection."""
        world, crm = self._world, self._stubs.embedded_crm
        acted, acting = world.ledger.acted, next(subject for subject in world.subjects if subject.kind == "acting")
        clicks = {click.id: click for click in self._clicks[acting.link_id]}
        requests = [
            each async for each in pages(crm.ListServiceRequests, embedded_crm_service_pb2.ListServiceRequestsRequest(), "service_requests")
        ]
        self._expect("clicks with two service requests", len(requests), len({each.click_id for each in requests}))
        made: Counter[PersonMailing] = Counter(
            (each.person_id, clicks[each.click_id].mailing_id if each.click_id in clicks else 0) for each in requests
        )
        self._differ("service requests of person and mailing", acted, made)
        calls: Counter[PersonMailing] = Counter()
        tasks: Counter[int] = Counter()
        async for each in pages(crm.ListFollowUps, embedded_crm_service_pb2.ListFollowUpsRequest(), "follow_ups"):
            if each.description == "once per mailing":
                calls[each.person_id, clicks[each.click_id].mailing_id if each.click_id in clicks else 0] += 1
            else:
                tasks[each.person_id] += 1
        self._differ("follow-ups of person and mailing", dict.fromkeys(acted, 1), calls)
        self._differ("follow-ups of person", {person_id: 1 for person_id, _ in acted}, tasks)
        self._expect("clicks whose event came", world.ledger.events, len(world.events))
        self._expect("events of unknown clicks", set(), world.events - clicks.keys())
        target = click_service_pb2.AddClickersRequest(link_id=acting.link_id, selection_id=world.entries["SELECTION"])
        added = await self._stubs.clicks.AddClickers(target)
        strangers = {click.identity for click in clicks.values() if click.has_clicker and "@" in click.identity}
        told = (added.added_count, added.present_count, added.skipped_count)
        self._expect("clickers added, present and skipped", (0, len(tasks), len(strangers)), told)

    async def _compare_cards(self) -> None:
        """The card of everybody: as they clicked, or as they were; selections that were made of clickers apart."""
        ids, ledger = self._world.entries, self._world.ledger
        acted = {person_id for person_id, _ in ledger.acted}
        async for card in pages(self._stubs.embedded_crm.ListPersons, embedded_crm_service_pb2.ListPersonsRequest(), "persons"):
            did, left = card.id in acted, card.id in ledger.left
            interests = ([] if did or left else [ids["GONE"]]) + ([ids["INTEREST"]] if did else [])
            wanted = (sorted(interests), [ids["SELECTION"]] * did, [ids["PROJECT"]] * did, {"clicked": card.name} if did else {})
            theirs = set(ids.values())
            lists = ([each.id for each in some if each.id in theirs] for some in (card.interests, card.selections, card.projects))
            self._expect(f"card of person {card.id}", wanted, (*lists, dict(card.extra_fields)))

    async def _compare_runs(self) -> None:
        """How often each action of the link that acts was done."""
        ledger, acting = self._world.ledger, next(subject for subject in self._world.subjects if subject.kind == "acting")
        request = action_service_pb2.ListActionRunsRequest(link_id=acting.link_id, state=click_pb2.ACTION_STATE_DONE)
        done = Counter([run.action_id async for run in pages(self._stubs.actions.ListActionRuns, request, "action_runs")])
        link = await self._stubs.links.GetLink(link_service_pb2.GetLinkRequest(id=acting.link_id))
        every, left = ledger.acted.total(), ledger.left.total()
        persons = len({person_id for person_id, _ in ledger.acted})
        wanted = [every, every, every + left, every, every, len(ledger.acted), persons, every, ledger.events]
        self._expect("runs done of each action", wanted, [done[action.id] for action in link.actions])

    async def _compare_scripts(self) -> None:
        """Who was not sent where the script says has a run that failed, as when nothing computed in its 250 ms; and these are few."""
        scripted = next(subject for subject in self._world.subjects if subject.kind == "script")
        request = action_service_pb2.ListActionRunsRequest(link_id=scripted.link_id, state=click_pb2.ACTION_STATE_FAILED)
        reasons = Counter([run.reason async for run in pages(self._stubs.actions.ListActionRuns, request, "action_runs")])
        unscripted, clicks = self._world.ledger.unscripted, sum(click.counts for click in self._clicks[scripted.link_id])
        if len(unscripted) > reasons.total():
            told = f"{len(unscripted)} recipients were not sent where the script says, and {reasons.total()} of its runs failed"
            self._problems.append("; ".join([told, *unscripted[:5]]))
        if reasons.total() > MOST_FAILED * clicks + 1:
            self._problems.append(f"of {clicks} scripts these failed: {dict(reasons)}")


_ROLLED_UP = """SELECT p.id, SUM(r.clicks), SUM(r.suspected) FROM roll_up AS r JOIN placement AS p ON p.id = r.placement_id
  JOIN link AS l ON l.id = p.link_id AND l.generation = r.generation GROUP BY p.id"""
