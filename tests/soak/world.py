"""What the mixed load is about: links, people, and the mailings that were sent to them; and its clock."""

import asyncio
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar
from uuid import uuid4

import grpc

from redirect.token import Verifier, load
from tests.soak.ledger import Ledger
from tests.soak.subjects import SCRIPT, Person, Subject, Ticket
from tests.support.campaign import Campaign
from tests.support.house import House
from tests.support.receivers import Receiver
from tests.support.stubs import Stubs
from trackedlinks.v1 import (
    crm_pb2,
    embedded_crm_service_pb2,
    link_pb2,
    link_service_pb2,
    mailing_pb2,
    mailing_service_pb2,
    script_pb2,
    script_service_pb2,
)

EVERY_CLICK, ONCE = link_pb2.REPEAT_POLICY_EVERY_CLICK, link_pb2.REPEAT_POLICY_ONCE_PER_RECIPIENT
CALL, TASK = link_pb2.FOLLOW_UP_TYPE_PHONE_CALL, link_pb2.FOLLOW_UP_TYPE_TASK
SECRET = "whsec_" + "c2VjcmV0IG9mIHRoZSByZWNlaXZlciBvbmU="
PLAIN = 6
"""Links that only redirect: these are reset, deleted, moved and edited all the time."""
TICKETS = 30_000
"""URLs that may be clicked: those of the newest mailings."""
AGAIN = 0.2
T = TypeVar("T")
_FOR_NOW = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.DEADLINE_EXCEEDED}


class World:
    """One house under mixed load. What is asked of it while it restarts is asked again."""

    def __init__(self, house: House, receiver: Receiver, people: int, seed: int) -> None:
        self.house = house
        self.receiver = receiver
        self.chance = random.Random(seed)
        self.ledger = Ledger()
        self.subjects: list[Subject] = []
        self.people: list[Person] = []
        self.entries: dict[str, int] = {}
        self.tickets: deque[Ticket] = deque(maxlen=TICKETS)
        self.mailings: list[int] = []
        self.events: set[str] = set()
        """Clicks whose event has come."""
        self.calls = self.again = 0
        self.aways: list[list[float]] = []
        """From when to when the front door may not have reached the server."""
        self.shown = asyncio.Lock()
        """Held while a link is deleted: no message can be tracked then in which it stands."""
        self.calm = asyncio.Event()
        """Not set: a restart is near, and nothing is edited."""
        self.calm.set()
        self._many = people
        self._stubs = Stubs(house.address)
        self.campaign = Campaign(self._stubs)

    async def close(self) -> None:
        """Closes the connection."""
        await self._stubs.channel.close()

    async def call(self, what: Callable[[], Awaitable[T]]) -> T:
        """What a call answers, asked again for as long as the server is away or refuses it for now."""
        while True:
            self.calls += 1
            try:
                return await what()
            except grpc.aio.AioRpcError as error:
                if error.code() not in _FOR_NOW:
                    raise
            except asyncio.CancelledError:
                if asyncio.current_task().cancelling():  # type: ignore[union-attr]
                    raise
            self.again += 1
            await asyncio.sleep(AGAIN)

    def take_events(self) -> None:
        """Notes which clicks' events have come, and forgets the rest of them."""
        self.events |= {request.headers["webhook-id"].partition("_")[0] for request in self.receiver.requests}
        self.receiver.requests.clear()

    def was_away(self, asked: float, answered: float) -> bool:
        """Whether the front door may not have reached the server at some moment between the two."""
        return any(start <= answered and asked <= end for start, end in self.aways)

    async def prepare(self) -> None:
        """Makes the links and the people."""
        for name in ("USER", "SELECTION", "PROJECT", "INTEREST", "MAILING_TYPE"):
            self.entries[name] = await self.campaign.entry(name, name)
        self.entries["GONE"] = await self.campaign.entry("INTEREST", "Gone")
        request = script_service_pb2.CreateScriptRequest(script=script_pb2.Script(name="Own page", source=SCRIPT))
        script = await self._stubs.scripts.CreateScript(request)
        kinds = ["field", "form", "text", "script", "acting", *["plain"] * PLAIN]
        actions = {"script": [link_pb2.LinkAction(script=link_pb2.RunScript(script_id=script.id))], "acting": self._every_kind()}
        for place, kind in enumerate(kinds):
            subject = Subject(kind, f"{kind}{place}")
            number = subject.begin_edit(time.time())
            draft = link_pb2.Link(name=f"Link {kind}", actions=actions.get(kind, ()), **subject.response(number))
            subject.link_id = (await self._stubs.links.CreateLink(link_service_pb2.CreateLinkRequest(link=draft))).id
            self.subjects.append(subject)
        for number in range(self._many):
            self.people.append(await self._person(number))

    async def send(self, to: int) -> None:
        """Makes a mailing of all the links, sends it to so many people, by URLs or whole messages, and has them click from now on."""
        name = str(uuid4())
        draft = mailing_pb2.Mailing(name=name, track_all_links=True, mailing_type_id=self.entries["MAILING_TYPE"])
        create = mailing_service_pb2.CreateMailingRequest(mailing=draft, request_id=name)
        mailing_id: int = (await self.call(lambda: self._stubs.mailings.CreateMailing(create))).id
        html = f'<p>Dear {{{{code}}}}</p><a href="https://example.com/local/1/{mailing_id}">own</a>' + "".join(
            f'<a href="trackedlink:{subject.link_id}">x</a>' for subject in self.subjects
        )
        track = mailing_service_pb2.TrackMessageRequest(mailing_id=mailing_id, html=html.encode())
        async with self.shown:
            tracked = (await self.call(lambda: self._stubs.mailings.TrackMessage(track))).tracked
        links = {each.placement.id: each.placement.link_id for each in tracked}
        subjects = {subject.link_id: subject for subject in self.subjects}
        (local,) = set(links.values()) - subjects.keys()
        subjects[local] = Subject("local", "local", local)
        subjects[local].begin_edit(0)
        people = self.chance.sample(self.people, min(to, len(self.people)))
        send = self._rendered if self.chance.random() < 0.5 else self._minted
        tokens = await self.call(lambda: send(mailing_id, people))
        verifier = Verifier(load(self.house.directory / "keys.json"))
        for person, some in zip(people, tokens, strict=True):
            for token in some:
                claims = verifier.verify(token.encode())
                assert claims is not None
                if claims.placement_id in links:
                    subject = subjects[links[claims.placement_id]]
                    self.tickets.append(Ticket(token, claims.placement_id, mailing_id, person, subject))
        self.mailings.append(mailing_id)

    async def _minted(self, mailing_id: int, people: Sequence[Person]) -> list[list[str]]:
        urls = await self.campaign.send(mailing_id, [_recipient(person) for person in people])
        assert all(urls), "somebody got no URLs"
        return [[url.rpartition("/")[2] for url in each] for each in urls]

    async def _rendered(self, mailing_id: int, people: Sequence[Person]) -> list[list[str]]:
        call = self._stubs.mailings.RenderMessages()
        recipients = [_recipient(person) for person in people]
        await call.write(mailing_service_pb2.RenderMessagesRequest(mailing_id=mailing_id, recipients=recipients))
        await call.done_writing()
        htmls = [message.html.decode() async for answer in call for message in answer.messages]
        start = f'href="{self.house.url}/'
        found = [[piece.partition('"')[0] for piece in html.split(start)[1:]] for html in htmls]
        assert all(found), "somebody got no message"
        assert all(f"Dear {person.code}<" in html for person, html in zip(people, htmls, strict=True)), "somebody got another's message"
        return found

    async def _person(self, number: int) -> Person:
        """Of twenty, twelve with a card who are tracked, one test, two who are not, four known by address only, and nobody."""
        kind = number % 20
        email = f"p{number}@example.com"
        if kind == 19:
            return Person()
        if kind >= 15:
            return Person(email=email)
        gone, user = [crm_pb2.NamedReference(id=self.entries["GONE"])], self.entries["USER"]
        card = crm_pb2.Person(name=f"Person {email}", email=email, our_contact_id=user, interests=gone)
        made = await self._stubs.embedded_crm.CreatePerson(embedded_crm_service_pb2.CreatePersonRequest(person=card))
        return Person(made.id, email, test=kind == 12, do_not_track=kind in (13, 14))

    def _every_kind(self) -> Sequence[link_pb2.LinkAction]:
        ids = self.entries
        hook = link_pb2.SendWebhook(url=self.receiver.url("/"), secret=SECRET)
        call = link_pb2.CreateFollowUp(type=CALL, description="once per mailing", assign_to_our_contact=True)
        task = link_pb2.CreateFollowUp(type=TASK, description="once over all mailings", assign_to_our_contact=True)
        return [
            link_pb2.LinkAction(set_field=link_pb2.SetField(field="clicked", value="{{recipient.name}}")),
            link_pb2.LinkAction(interests=link_pb2.ChangeInterests(add=[ids["INTEREST"]])),
            link_pb2.LinkAction(interests=link_pb2.ChangeInterests(remove=[ids["GONE"]])),
            link_pb2.LinkAction(selection=link_pb2.ChangeSelections(add=[ids["SELECTION"]])),
            link_pb2.LinkAction(project=link_pb2.ChangeProjects(add=[ids["PROJECT"]])),
            link_pb2.LinkAction(follow_up=call),
            link_pb2.LinkAction(follow_up=task, repeat_policy=ONCE),
            link_pb2.LinkAction(service_request=link_pb2.CreateServiceRequest(title="Help"), repeat_policy=EVERY_CLICK),
            link_pb2.LinkAction(webhook=hook, repeat_policy=EVERY_CLICK),
        ]


def _recipient(person: Person) -> mailing_pb2.Recipient:
    who: Mapping[str, Any] = {"person_id": person.person_id} if person.person_id else {"email": person.email} if person.email else {}
    return mailing_pb2.Recipient(**who, test=person.test, do_not_track=person.do_not_track, merge_fields={"code": person.code})
