"""What must hold for folders whoever writes at the same time, on both databases."""

import random
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from threading import Barrier
from typing import Any

from server.model.errors import DomainError, Reason
from server.model.folder import Folder
from server.model.link import CountedLink, Link, LinkQuery, Redirect
from server.store.database import Database
from server.store.folders import FolderStore
from server.store.links import LinkStore
from server.store.requests import RequestId

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
UNNAMED = RequestId("", b"", NOW)


def create(store: FolderStore, name: str, parent_id: int = 0, request: RequestId = UNNAMED) -> Folder:
    return store.create(Folder(name=name, parent_id=parent_id, create_time=NOW, update_time=NOW), request)


def create_link(store: LinkStore, folder_id: int) -> Link:
    link = Link(name="a", folder_id=folder_id, response=Redirect(url="https://example.com"), create_time=NOW, update_time=NOW)
    return store.create([link], UNNAMED)[0]


def at_once(jobs: Sequence[Callable[[], Any]]) -> list[Any]:
    """What the jobs give, each in a thread of its own and begun together; a refusal is its reason."""
    begin = Barrier(len(jobs))

    def run(job: Callable[[], Any]) -> Any:
        begin.wait()
        try:
            return job()
        except DomainError as error:
            return error.reason

    with ThreadPoolExecutor(len(jobs)) as threads:
        return list(threads.map(run, jobs))


def parents(store: FolderStore) -> dict[int, int]:
    """Every folder's parent."""
    return {folder.id: folder.parent_id for folder in store.page(None, "name", False, None, 1000).items}


def assert_tree(store: FolderStore) -> None:
    """Every way up ends at the root."""
    above = parents(store)
    for folder_id in above:
        seen, here = set(), folder_id
        while here:
            assert here not in seen, f"folder {folder_id} lies below itself"
            seen.add(here)
            here = above[here]


def test_of_folders_made_at_once_under_one_name_one_is_made(database: Database) -> None:
    store = FolderStore(database)
    for number in range(5):
        names = [f"Straße {number}", f"STRASSE {number}"] * 4
        results = at_once([partial(create, store, name) for name in names])
        assert sorted(type(result).__name__ for result in results) == ["Folder", *["Reason"] * 7]
        assert {result for result in results if isinstance(result, Reason)} == {Reason.folder_name_taken}
    assert len(parents(store)) == 5


def test_the_same_request_sent_twice_at_once_makes_one_folder(database: Database) -> None:
    store = FolderStore(database)
    for number in range(5):
        request = RequestId(f"request {number}", b"the same", NOW)
        results = at_once([partial(create, store, request.id, request=request)] * 6)
        assert len({result.id for result in results}) == 1
    assert len(parents(store)) == 5


def test_moves_at_once_never_make_a_cycle(database: Database) -> None:
    store = FolderStore(database)
    for number in range(10):
        ring = [create(store, f"{number} {name}").id for name in "abc"]
        results = at_once([partial(store.move, a, b, "", NOW) for a, b in zip(ring, ring[1:] + ring[:1], strict=True)])
        assert [result for result in results if isinstance(result, Reason)] == [Reason.folder_cycle]
        assert_tree(store)


def test_whatever_is_moved_and_deleted_at_once_no_folder_and_no_link_hangs_in_the_air(database: Database) -> None:
    store, links, chance = FolderStore(database), LinkStore(database), random.Random(7)
    for number in range(8):
        made = [create(store, f"{number} root").id]
        for name in "abcdef":
            made.append(create(store, name, chance.choice(made)).id)
        link_ids = [create_link(links, folder_id).id for folder_id in made]

        def one_of_them(made: list[int] = made, link_ids: list[int] = link_ids) -> Callable[[], Any]:
            a, b, link_id = chance.choice(made), chance.choice(made), chance.choice(link_ids)
            return chance.choice(
                [
                    lambda: store.delete(a, True, "", 0, NOW),
                    lambda: store.move(a, b, "", NOW),
                    lambda: create(store, f"new {link_id}", b),
                    lambda: create_link(links, b),
                    lambda: links.move([link_id], a, 0, NOW),
                    lambda: [links.set_deleted(link_id, "", deleted, 0, NOW) for deleted in (True, False)],
                ]
            )

        results = at_once([one_of_them() for _ in range(12)])
        refusals = {result for result in results if isinstance(result, Reason)}
        assert refusals <= {Reason.folder_not_found, Reason.folder_cycle, Reason.folder_name_taken}
        assert_tree(store)
        folders = {0, *parents(store)}
        assert {link.folder_id for link in links.page(LinkQuery(None, False, None, "", True, "name", False), None, 1000).items} <= folders


def test_a_folder_is_not_deleted_unforced_while_something_is_put_into_it(database: Database) -> None:
    store, links = FolderStore(database), LinkStore(database)
    for number in range(15):
        folder = create(store, f"{number}")
        refusal, link = at_once([partial(store.delete, folder.id, False, "", 0, NOW), partial(create_link, links, folder.id)])
        assert (refusal, type(link)) == (Reason.folder_not_empty, CountedLink) or (refusal, link) == (None, Reason.folder_not_found)


def test_a_deep_tree_is_moved_and_searched_to_its_end(database: Database) -> None:
    store, links = FolderStore(database), LinkStore(database)
    top = here = create(store, "top").id
    for depth in range(150):
        here = create(store, f"{depth}", here).id
    link = create_link(links, here)
    other = create(store, "other")
    store.move(top, other.id, "", NOW)
    assert [found.id for found in links.page(LinkQuery(other.id, True, None, "", False, "name", False), None, 10).items] == [link.id]


def test_a_name_is_free_again_when_its_folder_is_deleted_renamed_or_moved(database: Database) -> None:
    store = FolderStore(database)
    first, parent = create(store, "Name"), create(store, "parent")
    store.move(first.id, parent.id, "", NOW)
    second = create(store, "name")
    store.change(second.id, "", lambda folder: folder.model_copy(update={"name": "other"}), NOW)
    third = create(store, "NAME")
    store.delete(third.id, False, "", 0, NOW)
    assert create(store, "Name").name == "Name"


def test_undeleting_a_link_whose_folder_is_gone_shows_it_at_the_root(database: Database) -> None:
    store, links = FolderStore(database), LinkStore(database)
    folder = create(store, "folder")
    link = create_link(links, folder.id)
    links.set_deleted(link.id, "", True, 0, NOW)
    database.write(lambda connection: connection.exec_driver_sql("DELETE FROM folder"))
    shown = links.set_deleted(link.id, "", False, 0, NOW)
    assert (shown.folder_id, shown.delete_time) == (0, None)
