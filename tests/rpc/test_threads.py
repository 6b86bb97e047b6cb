"""Calls of one kind never wait for the threads that calls of another kind hold."""

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path

from server.rpc import threads
from server.rpc.threads import Group, Threads, belongs_to, group_of
from tests.contract.test_contract import methods
from tests.support.campaign import Campaign
from tests.support.held import held
from tests.support.server import serving
from tests.support.special import sent
from trackedlinks.v1 import link_service_pb2, mailing_pb2, mailing_service_pb2, recipient_service_pb2


async def test_recipients_and_short_calls_are_served_while_heavy_calls_hold_all_their_threads(
    sqlite_template: Path, tmp_path: Path
) -> None:
    path = tmp_path / "test.db"
    path.write_bytes(sqlite_template.read_bytes())
    async with serving(f"sqlite:///{path}", tmp_path) as stubs:
        campaign = Campaign(stubs)
        mail = await sent(campaign, mailing_pb2.Recipient(email="a@example.com"))
        link = await campaign.link()
        track = mailing_service_pb2.TrackMessageRequest(mailing_id=mail.mailing_id, html=b"x")
        page = recipient_service_pb2.GetSubscriptionPageRequest(token=mail.unsubscribe[1:])
        with held(f"sqlite:///{path}", ()):
            heavy = [asyncio.ensure_future(stubs.mailings.TrackMessage(track)) for _ in range(40)]
            assert (await stubs.recipients.GetSubscriptionPage(page)).subscriptions
            online = recipient_service_pb2.ViewOnlineRequest(token=mail.online[1:])
            assert (await stubs.recipients.ViewOnline(online)).html
            assert (await stubs.links.GetLink(link_service_pb2.GetLinkRequest(id=link.id))).name
            given_up = sum(call.done() for call in heavy)  # each waits five seconds for the database, one after the other
            assert given_up < 3, "they were served only when heavy calls had made room"
        await asyncio.gather(*heavy, return_exceptions=True)


async def test_a_group_whose_threads_are_all_held_keeps_no_other_waiting() -> None:
    executor, until, loop = Threads(), threading.Event(), asyncio.get_running_loop()

    async def runs(group: Group, work: Callable[[], object]) -> None:
        belongs_to(group)
        await loop.run_in_executor(executor, work)

    for group in Group:
        until.clear()
        holding = [asyncio.create_task(runs(group, until.wait)) for _ in range(group.value)]
        late = asyncio.create_task(runs(group, str))
        for other in set(Group) - {group}:
            await asyncio.create_task(runs(other, str))
        assert not late.done(), "this group has more threads than it says"
        until.set()
        await asyncio.gather(late, *holding)
    executor.shutdown()


def test_the_threads_of_every_call_are_those_of_its_kind() -> None:
    named = {name: group for names, group in threads.NAMED.items() for name in names}
    paths = {path.rpartition("/")[2]: path for path in methods()}
    assert named == {name: group_of(paths[name]) for name in named}, "a name is no RPC's, or another rule comes first"
    assert group_of(paths["ViewOnline"]) is group_of(paths["ChangeSubscriptions"]) is Group.front
    assert group_of(paths["GetLink"]) is group_of(paths["DeletePerson"]) is Group.ordinary
    assert group_of(paths["ListActionRuns"]) is Group.lists
