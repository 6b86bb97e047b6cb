"""Every write of the service on the same few rows: what tests of locks, and of who holds the writer, run against each other."""

import itertools
from base64 import b64encode
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from uuid_utils import uuid7

from tests.support import actions
from tests.support.campaign import Campaign, person
from tests.support.stubs import Stubs
from trackedlinks.v1 import (
    action_service_pb2,
    click_pb2,
    click_service_pb2,
    crm_pb2,
    crm_service_pb2,
    embedded_crm_service_pb2,
    folder_pb2,
    folder_service_pb2,
    link_pb2,
    link_service_pb2,
    mailing_pb2,
    mailing_service_pb2,
    recipient_service_pb2,
    script_pb2,
    script_service_pb2,
)

Write = Callable[[Stubs, int], Awaitable[object]]
"""One call that writes; the number says which of the few rows it is about."""

SELECTIONS = 2
SECRET = "whsec_" + b64encode(bytes(32)).decode()


@dataclass(frozen=True, slots=True)
class Few:
    """The few rows: two of each, or three."""

    links: list[int]
    mailings: list[int]
    persons: list[int]
    folders: list[int]
    selections: list[int]
    user: int
    mailing_type: int
    script: int
    tokens: list[str]
    manage: list[str]


def _message(links: list[int], number: int) -> bytes:
    registered = "".join(f'<a href="trackedlink:{link}">{link}</a>' for link in links)
    local = f'<a href="https://example.com/{number}">1</a><a href="https://example.com/both?name={{{{ name }}}}">2</a>'
    special = '<a href="trackedlink:unsubscribe">U</a><a href="trackedlink:manage-subscriptions">M</a>'
    return (registered + local + special + '<a href="trackedlink:view-online">V</a>').encode()


async def few(stubs: Stubs, webhook: str = "") -> Few:
    """Makes the rows; links have an action of each kind, and one that sends to this webhook."""
    at_work = Campaign(stubs)
    selections = [await at_work.entry("SELECTION", f"Selection {number}") for number in range(SELECTIONS)]
    user, category = await at_work.entry("USER", "Liv"), await at_work.entry("CATEGORY", "Help")
    mailing_type = await at_work.entry("MAILING_TYPE", "Newsletter")
    persons = [await at_work.person(f"Person {number}", email=f"{number}@example.com", our_contact_id=user) for number in range(3)]
    folders = [await _folder(stubs, f"Folder {number}", 0) for number in range(2)]
    script = await stubs.scripts.CreateScript(
        script_service_pb2.CreateScriptRequest(script=script_pb2.Script(name="Script", source="log('seen')"))
    )
    done = [
        actions.set_field("clicked", "yes", actions.EVERY),
        actions.set_field("last", "{{mailing.name}}", actions.EVERY),
        actions.service_request(actions.IN_MAILING, category_id=category),
        actions.follow_up(actions.ONCE, created_by=user),
        link_pb2.LinkAction(repeat_policy=actions.EVERY, selection=link_pb2.ChangeSelections(add=selections[:1], remove=selections[1:])),
    ]
    if webhook:
        done.append(link_pb2.LinkAction(repeat_policy=actions.EVERY, webhook=link_pb2.SendWebhook(url=webhook, secret=SECRET)))
    links = [(await at_work.link(f"Link {number}", actions=done, folder_id=folders[number])).id for number in range(2)]
    mailings = [(await at_work.mailing(f"Mailing {number}", mailing_type_id=mailing_type)).id for number in range(2)]
    everybody = [*(person(each, merge_fields={"name": "N"}) for each in persons), mailing_pb2.Recipient(email="guest@example.org")]
    tokens, manage = [], []
    for number, mailing in enumerate(mailings):
        tracked = await at_work.track(mailing, _message(links, number))
        kinds = [each.placement.kind for each in sorted(tracked.tracked, key=lambda each: each.placement.id)]
        for urls in await at_work.send(mailing, everybody):
            for kind, url in zip(kinds, urls, strict=False):
                if kind == mailing_pb2.PLACEMENT_KIND_LINK:
                    tokens.append(url.rpartition("/")[2])
                elif kind == mailing_pb2.PLACEMENT_KIND_MANAGE_SUBSCRIPTIONS:
                    manage.append(url.rpartition("/")[2])
    return Few(links, mailings, persons, folders, selections, user, mailing_type, script.id, tokens, manage)


async def _folder(stubs: Stubs, name: str, parent: int) -> int:
    request = folder_service_pb2.CreateFolderRequest(folder=folder_pb2.Folder(name=name, parent_id=parent))
    return int((await stubs.folders.CreateFolder(request)).id)


def every_write(rows: Few) -> dict[str, Write]:
    """Every write of the contract by the name of its method, on these rows."""
    return _of_links(rows) | _of_folders(rows) | _of_mailings(rows) | _of_clicks(rows) | _of_the_crm(rows)


def _of_links(rows: Few) -> dict[str, Write]:
    def draft(number: int, **fields: Any) -> link_pb2.Link:
        return link_pb2.Link(name=f"New {number}", redirect=link_pb2.Redirect(url="https://example.com/new"), **fields)

    async def update(stubs: Stubs, number: int) -> object:
        link = link_pb2.Link(id=rows.links[number % 2], redirect=link_pb2.Redirect(url=f"https://example.com/{number}"))
        request = link_service_pb2.UpdateLinkRequest(link=link)
        request.update_mask.paths.append("redirect")
        return await stubs.links.UpdateLink(request)

    async def make(stubs: Stubs, number: int) -> object:
        new = draft(number, folder_id=rows.folders[number % 2])
        return await stubs.links.CreateLink(link_service_pb2.CreateLinkRequest(link=new, request_id=str(uuid4())))

    async def make_some(stubs: Stubs, number: int) -> object:
        new = [draft(number, folder_id=folder, actions=[actions.set_field("a", "b")]) for folder in (rows.folders[1], rows.folders[0])]
        return await stubs.links.BatchCreateLinks(link_service_pb2.BatchCreateLinksRequest(links=new, request_id=str(uuid4())))

    async def move(stubs: Stubs, number: int) -> object:
        ids = rows.links if number % 2 else rows.links[::-1]
        return await stubs.links.MoveLinks(link_service_pb2.MoveLinksRequest(ids=ids, folder_id=rows.folders[number % 2]))

    async def reset(stubs: Stubs, number: int) -> object:
        return await stubs.links.ResetLink(link_service_pb2.ResetLinkRequest(id=rows.links[number % 2], request_id=str(uuid4())))

    async def delete(stubs: Stubs, number: int) -> object:
        return await stubs.links.DeleteLink(link_service_pb2.DeleteLinkRequest(id=rows.links[number % 2]))

    async def undelete(stubs: Stubs, number: int) -> object:
        return await stubs.links.UndeleteLink(link_service_pb2.UndeleteLinkRequest(id=rows.links[number % 2]))

    return {
        "UpdateLink": update,
        "CreateLink": make,
        "BatchCreateLinks": make_some,
        "MoveLinks": move,
        "ResetLink": reset,
        "DeleteLink": delete,
        "UndeleteLink": undelete,
    }


def _of_folders(rows: Few) -> dict[str, Write]:
    async def make(stubs: Stubs, number: int) -> object:
        new = folder_pb2.Folder(name=f"Folder {uuid4()}", parent_id=rows.folders[number % 2])
        return await stubs.folders.CreateFolder(folder_service_pb2.CreateFolderRequest(folder=new, request_id=str(uuid4())))

    async def update(stubs: Stubs, number: int) -> object:
        request = folder_service_pb2.UpdateFolderRequest(folder=folder_pb2.Folder(id=rows.folders[number % 2], description=str(number)))
        return await stubs.folders.UpdateFolder(request)

    async def move(stubs: Stubs, number: int) -> object:
        one, other = rows.folders if number % 2 else rows.folders[::-1]
        return await stubs.folders.MoveFolder(folder_service_pb2.MoveFolderRequest(id=one, parent_id=other if number % 4 < 2 else 0))

    async def delete(stubs: Stubs, number: int) -> object:
        folder = await _folder(stubs, f"Folder {uuid4()}", rows.folders[number % 2])
        await stubs.links.MoveLinks(link_service_pb2.MoveLinksRequest(ids=rows.links, folder_id=folder))
        return await stubs.folders.DeleteFolder(folder_service_pb2.DeleteFolderRequest(id=folder, force=True))

    return {"CreateFolder": make, "UpdateFolder": update, "MoveFolder": move, "DeleteFolder": delete}


def _of_mailings(rows: Few) -> dict[str, Write]:
    async def make(stubs: Stubs, number: int) -> object:
        new = mailing_pb2.Mailing(name=f"Mailing {number}", mailing_type_id=rows.mailing_type)
        return await stubs.mailings.CreateMailing(mailing_service_pb2.CreateMailingRequest(mailing=new, request_id=str(uuid4())))

    async def update(stubs: Stubs, number: int) -> object:
        mailing = mailing_pb2.Mailing(id=rows.mailings[number % 2], name=f"Mailing {number}")
        return await stubs.mailings.UpdateMailing(mailing_service_pb2.UpdateMailingRequest(mailing=mailing))

    async def delete(stubs: Stubs, _number: int) -> object:
        mailing = await Campaign(stubs).mailing()
        return await stubs.mailings.DeleteMailing(mailing_service_pb2.DeleteMailingRequest(id=mailing.id))

    async def track(stubs: Stubs, number: int) -> object:
        return await Campaign(stubs).track(rows.mailings[number % 2], _message(rows.links if number % 3 else rows.links[::-1], number))

    async def mint(stubs: Stubs, number: int) -> object:
        known = [person(each, merge_fields={"name": str(number)}) for each in rows.persons]
        unknown = [mailing_pb2.Recipient(email=f"{each}@example.org", merge_fields={"name": "x"}) for each in (number % 5, number % 7, 3)]
        everybody = [*known, *unknown]
        return await Campaign(stubs).send(rows.mailings[number % 2], everybody if number % 3 else everybody[::-1])

    async def mint_outside(stubs: Stubs, number: int) -> object:
        new = await Campaign(stubs).link(f"Outside {number}")
        return [await Campaign(stubs).url(link) for link in (new.id, *rows.links)]

    async def render(stubs: Stubs, number: int) -> object:
        request = mailing_service_pb2.RenderMessagesRequest(mailing_id=rows.mailings[number % 2], recipients=[person(rows.persons[0])])
        call = stubs.mailings.RenderMessages(iter([request]))
        return [response async for response in call]

    return {
        "CreateMailing": make,
        "UpdateMailing": update,
        "DeleteMailing": delete,
        "TrackMessage": track,
        "MintUrls": mint,
        "MintUrls outside": mint_outside,
        "RenderMessages": render,
    }


def _of_clicks(rows: Few) -> dict[str, Write]:
    tokens = itertools.cycle(rows.tokens)

    def click(token: str, **fields: Any) -> click_service_pb2.RecordClickRequest:
        evidence = click_pb2.Evidence(method="GET", user_agent="Mozilla/5.0 (Windows NT 10.0)")
        return click_service_pb2.RecordClickRequest(click_id=str(uuid7()), token=token, evidence=evidence, **fields)

    async def one(stubs: Stubs, _number: int) -> object:
        return await stubs.clicks.RecordClick(click(next(tokens)))

    async def stream(stubs: Stubs, number: int) -> object:
        some = [click(next(tokens), replayed=bool(number % 2)) for _ in range(8)]
        call = stubs.clicks.RecordClicks()
        await call.write(click_service_pb2.RecordClicksRequest(clicks=some))
        left = {each.click_id for each in some}
        async for response in call:
            left -= {answer.click_id for answer in response.answers}
            if not left:
                break
        call.cancel()
        return some

    async def add(stubs: Stubs, number: int) -> object:
        request = click_service_pb2.AddClickersRequest(link_id=rows.links[number % 2], selection_id=rows.selections[number % 2])
        return await stubs.clicks.AddClickers(request)

    async def test(stubs: Stubs, number: int) -> object:
        who = person(rows.persons[number % 3])
        mailing = rows.mailings[number % 2] if number % 3 else 0
        request = action_service_pb2.TestActionsRequest(link_id=rows.links[number % 2], mailing_id=mailing, recipient=who)
        return await stubs.actions.TestActions(request)

    async def retry(stubs: Stubs, number: int) -> object:
        return await stubs.actions.RetryActionRuns(action_service_pb2.RetryActionRunsRequest(link_id=rows.links[number % 2]))

    return {"RecordClick": one, "RecordClicks": stream, "AddClickers": add, "TestActions": test, "RetryActionRuns": retry}


def _of_the_crm(rows: Few) -> dict[str, Write]:
    async def script(stubs: Stubs, number: int) -> object:
        changed = script_pb2.Script(id=rows.script, source=f"log('seen {number}')")
        return await stubs.scripts.UpdateScript(script_service_pb2.UpdateScriptRequest(script=changed))

    async def new_script(stubs: Stubs, _number: int) -> object:
        new = script_pb2.Script(name=f"Script {uuid4()}", source="log('new')")
        return await stubs.scripts.CreateScript(script_service_pb2.CreateScriptRequest(script=new, request_id=str(uuid4())))

    async def apply(stubs: Stubs, number: int) -> object:
        who = rows.persons if number % 2 else rows.persons[::-1]
        pair = ("yes", "") if number % 2 else ("", "yes")
        some = [
            crm_service_pb2.ActionEffects(
                idempotency_key=str(uuid4()),
                person_id=each,
                effects=[
                    crm_service_pb2.Effect(set_extra_field=crm_service_pb2.SetExtraField(field="clicked", value=pair[0])),
                    crm_service_pb2.Effect(set_extra_field=crm_service_pb2.SetExtraField(field="last", value=pair[1])),
                ],
            )
            for each in who
        ]
        return await stubs.crm.ApplyEffects(crm_service_pb2.ApplyEffectsRequest(actions=some))

    async def set_subscription(stubs: Stubs, number: int) -> object:
        who: dict[str, Any] = {"person_id": rows.persons[number % 3]} if number % 2 else {"email": f"{number % 3}@example.com"}
        request = crm_service_pb2.SetSubscriptionRequest(
            subscriber=crm_service_pb2.Subscriber(**who), mailing_type_id=rows.mailing_type, subscribed=bool(number % 3)
        )
        request.change_time.GetCurrentTime()
        return await stubs.crm.SetSubscription(request)

    async def subscribe(stubs: Stubs, number: int) -> object:
        change = recipient_service_pb2.SubscriptionChange(mailing_type_id=rows.mailing_type, subscribed=bool(number % 2))
        request = recipient_service_pb2.ChangeSubscriptionsRequest(token=rows.manage[number % len(rows.manage)], changes=[change])
        return await stubs.recipients.ChangeSubscriptions(request)

    async def new_person(stubs: Stubs, number: int) -> int:
        entries = rows.selections if number % 2 else rows.selections[::-1]
        members = [crm_pb2.NamedReference(id=entry) for entry in entries]
        new = crm_pb2.Person(name="New", our_contact_id=rows.user, selections=members, extra_fields={"clicked": "no"})
        made = await stubs.embedded_crm.CreatePerson(embedded_crm_service_pb2.CreatePersonRequest(person=new, request_id=str(uuid4())))
        return int(made.id)

    async def delete_person(stubs: Stubs, number: int) -> object:
        made = await new_person(stubs, number)
        return await stubs.embedded_crm.DeletePerson(embedded_crm_service_pb2.DeletePersonRequest(id=made))

    async def new_entry(stubs: Stubs, number: int) -> int:
        return await Campaign(stubs).entry("USER" if number % 2 else "SELECTION", f"Entry {uuid4()}")

    async def delete_entry(stubs: Stubs, number: int) -> object:
        made = await new_entry(stubs, number)
        if number % 2:
            await Campaign(stubs).person("Theirs", our_contact_id=made)
        return await stubs.embedded_crm.DeleteCatalogEntry(embedded_crm_service_pb2.DeleteCatalogEntryRequest(id=made))

    return {
        "UpdateScript": script,
        "CreateScript": new_script,
        "ApplyEffects": apply,
        "ChangeSubscriptions": subscribe,
        "SetSubscription": set_subscription,
        "CreatePerson": new_person,
        "DeletePerson": delete_person,
        "CreateCatalogEntry": new_entry,
        "DeleteCatalogEntry": delete_entry,
    }
