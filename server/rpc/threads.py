"""The worker threads, in groups: a call never waits for threads that calls of another group hold."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import ContextVar
from enum import Enum
from typing import Any, ParamSpec, TypeVar

from server.turns import gives_way

P = ParamSpec("P")
T = TypeVar("T")


class Group(Enum):
    """Threads of a name, and how many."""

    ordinary = 32
    """Calls that are short. What waits for a remote CRM holds at most half of them; the default of six on two cores six such calls would
    hold (tried)."""
    front = 8
    """What front doors ask for, and recipients wait for."""
    lists = 2
    """Answers of up to 1,000 things: more threads would not make more of them, since only one runs Python at a time."""
    heavy = 4
    """Calls that take long, or write much."""


NAMED: dict[frozenset[str], Group] = {
    frozenset({"RecordClick", "RecordClicks", "WatchPlacements"}): Group.front,
    frozenset({"BatchGetLinks", "BatchGetPersons", "CheckReferences", "GetSubscriptions"}): Group.lists,
    frozenset({"TrackMessage", "BatchCreateLinks", "MintUrls", "RenderMessages"}): Group.heavy,
    frozenset({"AddClickers", "TestActions", "ApplyEffects", "MoveLinks"}): Group.heavy,
}
"""The groups of RPCs whose name does not say it."""

_group: ContextVar[Group] = ContextVar("_group", default=Group.ordinary)


def group_of(method: str) -> Group:
    """The threads of an RPC, by its path (`/trackedlinks.v1.LinkService/GetLink`)."""
    service, _, name = method.rpartition("/")
    if service.endswith(".RecipientService"):
        return Group.front
    named = next((group for names, group in NAMED.items() if name in names), Group.ordinary)
    return Group.lists if name.startswith("List") else named


def belongs_to(group: Group) -> None:
    """Has what the calling task runs in threads from now on run in those of this group, and what the tasks run that it starts."""
    _group.set(group)


class Threads(ThreadPoolExecutor):
    """The default executor of the event loop. What belongs to no group is ordinary."""

    def __init__(self) -> None:
        super().__init__(Group.ordinary.value, Group.ordinary.name, gives_way)
        self._others: dict[Group, ThreadPoolExecutor] = {
            group: ThreadPoolExecutor(group.value, group.name, None if group is Group.front else gives_way)
            for group in Group
            if group is not Group.ordinary
        }

    def submit(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Runs it in a thread of the group that the calling task belongs to."""
        threads = self._others.get(_group.get())
        return super().submit(work, *args, **kwargs) if threads is None else threads.submit(work, *args, **kwargs)

    def shutdown(self, *args: Any, **kwargs: Any) -> None:
        """As its base says, for every group."""
        for threads in self._others.values():
            threads.shutdown(*args, **kwargs)
        super().shutdown(*args, **kwargs)
