"""What callers do with links: check, then store."""

from collections.abc import Callable, Collection, Mapping, Sequence, Set
from datetime import datetime

from server.crm.references import Reference, References, check_actions
from server.model.action import LinkAction
from server.model.errors import DomainError, Reason, Violation, invalid
from server.model.link import CountedLink, Link, LinkQuery
from server.model.webhooks import problem_of_address
from server.store.links import LinkStore
from server.store.pages import Key, Page
from server.store.requests import RequestId
from server.store.scripts import ScriptStore


class Links:
    """The use cases of links. Every method blocks; errors are those that the contract names."""

    def __init__(
        self, store: LinkStore, references: References, scripts: ScriptStore, allowed: Collection[str], clock: Callable[[], datetime]
    ) -> None:
        """`allowed` are `host:port` pairs to which webhooks may go although they are private."""
        self._store = store
        self._references = references
        self._scripts = scripts
        self._allowed = allowed
        self._clock = clock

    def create(self, drafts: Sequence[Link], paths: Sequence[str], user: int, request: RequestId) -> list[CountedLink]:
        """Makes registered links, all or none; `paths` are those of the drafts in the request."""
        now = self._clock()
        if not self._store.made_before(request):
            wanted = {path: draft.actions for path, draft in zip(paths, drafts, strict=True)}
            check_storable(wanted, now)
            self._check(wanted, set())
        stamp = {"creator": user, "updater": user, "create_time": now, "update_time": now, "mailing_id": 0}
        return self._store.create([draft.model_copy(update=stamp) for draft in drafts], request)

    def get(self, ids: Sequence[int]) -> list[CountedLink]:
        """The links with these ids, in this order."""
        return self._store.get(ids)

    def page(self, query: LinkQuery, after: Key | None, size: int) -> Page[CountedLink]:
        """Registered links that pass every filter."""
        return self._store.page(query, after, size)

    def update(self, link_id: int, etag: str, patch: Callable[[Link], Link], user: int) -> CountedLink:
        """Changes a link; the change is seen by the next click."""

        current = self._store.get([link_id])[0]
        known = {(catalog, entry_id) for action in current.actions for _, catalog, entry_id in action.kind.references()}
        # Asked before the transaction, which must not wait for a CRM: an id that goes meanwhile makes its action fail, and say so.
        self._check({"link": patch(current).actions}, _receivers(current.actions), known)
        return self._store.change(link_id, etag, patch, user, self._clock())

    def move(self, ids: Sequence[int], folder_id: int, user: int) -> int:
        """Moves registered links to a folder; how many have moved."""
        return self._store.move(ids, folder_id, user, self._clock())

    def reset(self, link_id: int, etag: str, request: RequestId) -> CountedLink:
        """Sets the link's figures to 0 and has removed who clicked."""
        return self._store.reset(link_id, etag, request, self._clock())

    def delete(self, link_id: int, etag: str, user: int) -> CountedLink:
        """Hides the link; mails already sent go on working."""
        return self._store.set_deleted(link_id, etag, True, user, self._clock())

    def undelete(self, link_id: int, etag: str, user: int) -> CountedLink:
        """Shows a deleted link again."""
        return self._store.set_deleted(link_id, etag, False, user, self._clock())

    def _check(self, actions: Mapping[str, Sequence[LinkAction]], known_urls: Set[str], known: Collection[Reference] = ()) -> None:
        """Raises INVALID_FIELD and REFERENCE_NOT_FOUND for what actions name that cannot be, or is not there; paths are those of links.

        What is known stood in the link before, and is no reason to refuse a change of something else.
        """
        by_path = {
            f"{path}.actions[{index}].{action.kind.tag}": action for path, some in actions.items() for index, action in enumerate(some)
        }
        refused = [
            Violation(f"{path}.{field}", problem)
            for path, action in by_path.items()
            for field, url in action.kind.receivers()
            if url not in known_urls and (problem := problem_of_address(url, self._allowed))
        ]
        if refused:
            raise invalid(*refused)
        wanted = {path: script for path, action in by_path.items() if (script := action.kind.script())}
        missing = self._scripts.missing(wanted.values()) if wanted else set()
        gone = [Violation(f"{path}.script_id", _no_script(*script)) for path, script in wanted.items() if script in missing]
        if gone:
            raise DomainError(Reason.reference_not_found, f"{gone[0].field}: {gone[0].description}", gone)
        check_actions(self._references, actions, known)


def check_storable(actions: Mapping[str, Sequence[LinkAction]], now: datetime) -> None:
    """Raises INVALID_FIELD for new actions that cannot be stored as they are; paths are those of links."""
    refused: list[Violation] = []
    for path, some in actions.items():
        for index, action in enumerate(some):
            try:
                action.kind.stored(None, now)
            except ValueError as error:
                refused.append(Violation(f"{path}.actions[{index}].{action.kind.tag}", str(error)))
    if refused:
        raise invalid(*refused)


def _receivers(actions: Sequence[LinkAction]) -> set[str]:
    return {url for action in actions for _, url in action.kind.receivers()}


def _no_script(script_id: int, version: int) -> str:
    return f"there is no script {script_id}" + (f" in version {version}" if version else "")
