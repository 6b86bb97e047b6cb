"""Every figure of a batch, against counts made the slow way: one click after the other, in sets."""

import random
from collections import Counter, defaultdict
from typing import Any

import pytest
from sqlalchemy import insert, select

from server.house import now
from server.model.click import SeenClick, Verdict
from server.model.mailing import Mailing, MessagePart, PlacementKind
from server.model.recorded_click import RecordedClick
from server.store.click_tables import clicker, link_count, mailing_count, mailing_link_count, roll_up
from server.store.database import Database
from server.store.messages import MessageStore, StoredMessage, Use
from server.store.recording import Recorder
from server.store.tables import PlacementRow, table_of
from server.store.tally import QUARTER
from tests.store.test_recording import NO_ID, NOW, Setup

Figures = dict[Any, list[int]]


class Slow:
    """The figures, counted as the design words them."""

    def __init__(self) -> None:
        self.links: Figures = defaultdict(lambda: [0, 0, 0])
        self.mailings: Figures = defaultdict(lambda: [0, 0, 0])
        self.pairs: Figures = defaultdict(lambda: [0, 0, 0])
        self.quarters: Figures = defaultdict(lambda: [0, 0, 0])
        self.times: dict[Any, list[int]] = defaultdict(list)
        self.seen: set[Any] = set()

    def count(self, click: SeenClick, link_id: int, mailing_id: int) -> None:
        if click.test:
            return
        figures = [self.links[link_id], self.pairs[mailing_id, link_id]] + ([self.mailings[mailing_id]] if mailing_id else [])
        quarter = self.quarters[click.placement_id, click.microseconds // QUARTER]
        suspected = click.verdict is not Verdict.human
        for each in figures:
            each[2 if suspected else 0] += 1
        quarter[1 if suspected else 0] += 1
        who = click.identity
        if suspected or not who:
            return
        self.times[link_id, who, mailing_id].append(click.microseconds)
        for key, each in [
            ((link_id, who), figures[0]),
            ((mailing_id, link_id, who), figures[1]),
            (("mailing", mailing_id, who), figures[-1]),
        ]:
            if key not in self.seen and (key[0] != "mailing" or mailing_id):
                self.seen.add(key)
                each[1] += 1
                if len(key) == 3 and key[0] != "mailing":
                    quarter[2] += 1


@pytest.mark.parametrize("seed", range(4))
def test_every_figure_is_what_counting_one_by_one_gives(database: Database, seed: int) -> None:
    chance = random.Random(seed)
    setup = Setup(database)
    other = setup.mailings.create(Mailing(name="Other", create_time=NOW, update_time=NOW), NO_ID)
    uses = [Use(MessagePart.html, number, number + 1, "x", link.id) for number, link in enumerate([setup.one, setup.two, setup.one])]
    placements = [
        *setup.placements,
        *MessageStore(database).track(other.id, StoredMessage("utf-8", b"x" * 9, b"", []), uses, 0, NOW).placements,
    ]
    of = {each.id: (each.link_id, each.mailing_id) for each in placements}
    outside = {"mailing_id": 0, "link_id": setup.two.id, "kind": PlacementKind.link, "part": 4, "ordinal": 0, "url": ""}
    placement = table_of(PlacementRow)
    made = database.write(lambda connection: connection.execute(insert(placement).values(**outside).returning(placement.c.id)).scalar_one())
    of[made] = (setup.two.id, 0)
    slow, recorder = Slow(), Recorder(database, now)
    for size in (1, 200, 7, 64, 65, 8, 3):
        batch = []
        for _ in range(size):
            kind: dict[str, Any] = {
                "method": chance.choice(["GET"] * 5 + ["HEAD"]),
                "test": chance.random() < 0.1,
                "do_not_track": chance.random() < 0.1,
            }
            click = setup.click(chance.randint(0, 60), **kind)
            click.placement_id = chance.choice([*of])
            batch.append(click)
        assert all(isinstance(result, RecordedClick) for result in recorder.record(batch))
        for click in batch:
            slow.count(click, *of[click.placement_id])
    assert read(database, link_count, "link_id") == slow.links
    assert read(database, mailing_count, "mailing_id") == slow.mailings
    assert read(database, mailing_link_count, "mailing_id", "link_id") == slow.pairs
    rolled = database.read(lambda connection: connection.execute(select(roll_up)).all())
    assert {(row.placement_id, row.quarter): [row.clicks, row.suspected, row.first_clicks] for row in rolled} == slow.quarters
    rows = database.read(lambda connection: connection.execute(select(clicker)).all())
    found = {(row.link_id, row.recipient, row.mailing_id): (row.clicks, row.first_time, row.last_time) for row in rows}
    assert found == {key: (len(times), min(times), max(times)) for key, times in slow.times.items()}
    assert max(Counter(key[1] for key in found).values()) > 3, "somebody clicks on several links in several mailings"


def read(database: Database, table: Any, *key: str) -> Figures:
    rows = database.read(lambda connection: connection.execute(select(table)).all())
    return {
        (getattr(row, key[0]) if len(key) == 1 else tuple(getattr(row, name) for name in key)): [row.clicks, row.clickers, row.suspected]
        for row in rows
    }
