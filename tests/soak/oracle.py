"""Keeps every click that was answered, outside of the system, and says what of its effects is missing or there twice."""

from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.support.campaign import Campaign
from tests.support.receivers import Receiver
from trackedlinks.v1 import embedded_crm_service_pb2, link_pb2

EVERY_CLICK, ONCE = link_pb2.REPEAT_POLICY_EVERY_CLICK, link_pb2.REPEAT_POLICY_ONCE_PER_RECIPIENT
CALL, TASK = link_pb2.FOLLOW_UP_TYPE_PHONE_CALL, link_pb2.FOLLOW_UP_TYPE_TASK
PER_MAILING, PER_RECIPIENT = "once per mailing", "once over all mailings"


@dataclass(frozen=True, slots=True)
class Answered:
    """A click that was answered."""

    click_id: str
    person_id: int
    mailing_id: int


@dataclass(slots=True)
class Oracle:
    """What was answered, and what the link that was clicked makes happen: every kind of action."""

    campaign: Campaign
    receiver: Receiver
    link: link_pb2.Link
    persons: list[int]
    entries: Mapping[str, int]
    answered: list[Answered] = field(default_factory=list)

    @classmethod
    async def of(cls, campaign: Campaign, receiver: Receiver, persons: int) -> "Oracle":
        """A link with every kind of action, and so many persons, each with the interest that the link removes."""
        entries = {name: await campaign.entry(name, name) for name in ("USER", "SELECTION", "PROJECT", "INTEREST")}
        entries["GONE"] = await campaign.entry("INTEREST", "Gone")
        made = [await campaign.person(f"Person {number}", our_contact_id=entries["USER"]) for number in range(persons)]
        link = await campaign.link(actions=_every_kind(entries, receiver))
        return cls(campaign, receiver, link, made, entries)

    async def problems(self) -> list[str]:
        """What is missing, and what is there that should not be; empty when all is as it was answered. Events may take a while."""
        clicks = Counter(each.click_id for each in self.answered)
        counted = (await self.campaign.counts(self.link.id))[:2]
        found = [] if counted == (len(clicks), len({each.person_id for each in self.answered})) else [f"counts are {counted}"]
        requests = Counter([request.click_id async for request in self._every("ListServiceRequests", "service_requests")])
        found += _differences("service request of click", clicks, requests)
        follow_ups = [follow_up async for follow_up in self._every("ListFollowUps", "follow_ups")]
        of_click = {each.click_id: each for each in self.answered}
        pairs = Counter({(each.person_id, each.mailing_id): 1 for each in self.answered})
        made = (of_click[each.click_id] for each in follow_ups if each.description == PER_MAILING and each.click_id in of_click)
        found += _differences("follow-up of person and mailing", pairs, Counter((each.person_id, each.mailing_id) for each in made))
        persons = Counter({each.person_id: 1 for each in self.answered})
        once = Counter(each.person_id for each in follow_ups if each.description == PER_RECIPIENT)
        found += _differences("follow-up of person", persons, once)
        found += [f"follow-up of an unknown click {each.click_id}" for each in follow_ups if each.click_id not in of_click]
        for person_id in persons:
            found += await self._wrong_on_card(person_id)
        return found

    async def events_missing(self) -> list[str]:
        """Clicks whose event has not come yet. Each has to come at least once, always under the same id."""
        requests = await self.receiver.received(0)
        ids = {request.headers["webhook-id"].partition("_")[0] for request in requests}
        return sorted({each.click_id for each in self.answered} - ids)

    async def _wrong_on_card(self, person_id: int) -> list[str]:
        card = await self.campaign.card(person_id)
        told = {
            "INTEREST": [each.id for each in card.interests],
            "SELECTION": [each.id for each in card.selections],
            "PROJECT": [each.id for each in card.projects],
        }
        wrong = [f"person {person_id}: {name} {ids}" for name, ids in told.items() if ids != [self.entries[name]]]
        return wrong if card.extra_fields["clicked"] == card.name else [*wrong, f"person {person_id}: field {dict(card.extra_fields)}"]

    async def _every(self, rpc: str, field: str) -> AsyncIterator[Any]:
        request = getattr(embedded_crm_service_pb2, f"{rpc}Request")(page_size=1000)
        while True:
            page = await getattr(self.campaign.stubs.embedded_crm, rpc)(request)
            for each in getattr(page, field):
                yield each
            request.page_token = page.next_page_token
            if not page.next_page_token:
                return


def _every_kind(entries: Mapping[str, int], receiver: Receiver) -> Iterable[link_pb2.LinkAction]:
    per_mailing = link_pb2.CreateFollowUp(type=CALL, description=PER_MAILING, assign_to_our_contact=True)
    per_recipient = link_pb2.CreateFollowUp(type=TASK, description=PER_RECIPIENT, assign_to_our_contact=True)
    hook = link_pb2.SendWebhook(url=receiver.url("/"), secret="whsec_" + "c2VjcmV0IG9mIHRoZSByZWNlaXZlciBvbmU=")
    return [
        link_pb2.LinkAction(set_field=link_pb2.SetField(field="clicked", value="{{recipient.name}}")),
        link_pb2.LinkAction(interests=link_pb2.ChangeInterests(add=[entries["INTEREST"]], remove=[entries["GONE"]])),
        link_pb2.LinkAction(selection=link_pb2.ChangeSelections(add=[entries["SELECTION"]])),
        link_pb2.LinkAction(project=link_pb2.ChangeProjects(add=[entries["PROJECT"]])),
        link_pb2.LinkAction(follow_up=per_mailing),
        link_pb2.LinkAction(follow_up=per_recipient, repeat_policy=ONCE),
        link_pb2.LinkAction(service_request=link_pb2.CreateServiceRequest(title="Help"), repeat_policy=EVERY_CLICK),
        link_pb2.LinkAction(webhook=hook, repeat_policy=EVERY_CLICK),
    ]


def _differences(what: str, wanted: Counter[Any], found: Counter[Any]) -> list[str]:
    missing = [f"{what} {key}: missing" for key in wanted if not found[key]]
    return missing + [f"{what} {key}: {count} instead of {wanted[key]}" for key, count in found.items() if count != wanted[key] and count]
