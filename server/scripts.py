"""What callers do with scripts: check that they parse, store them, and try what they decide."""

from asyncio import to_thread
from collections.abc import Awaitable, Callable
from datetime import datetime

from server.clicks.sandbox import Sandbox
from server.model.crm import Person
from server.model.errors import DomainError, Reason, Violation
from server.model.mailing import Recipient
from server.model.script import Script, ScriptDecision, ScriptTrial, problem_of_return_url, variables_of
from server.store.action_run import DO_NOT_TRACK
from server.store.links import LinkStore
from server.store.mailings import MailingStore
from server.store.pages import Key, Page
from server.store.requests import RequestId
from server.store.scripts import ScriptStore

TEST = "The recipient is a test"


Card = Callable[[int], Awaitable[Person | None]]
"""The card of a person of the CRM; None for one whom it does not know. Raises CRM_UNAVAILABLE."""


class Scripts:
    """The use cases of scripts. Errors are those that the contract names."""

    def __init__(
        self, store: ScriptStore, links: LinkStore, mailings: MailingStore, card: Card, sandbox: Sandbox, clock: Callable[[], datetime]
    ) -> None:
        self._store = store
        self._links = links
        self._mailings = mailings
        self._card = card
        self._sandbox = sandbox
        self._clock = clock

    async def create(self, draft: Script, user: int, request: RequestId) -> Script:
        """Makes a script for this user."""
        await self._refuse_problem(draft.source)
        now = self._clock()
        stamp = {"creator": user, "create_time": now, "updater": user, "update_time": now}
        return await to_thread(self._store.create, draft.model_copy(update=stamp), request)

    async def get(self, script_id: int, version: int) -> Script:
        """The script as it is now (version 0), or one of its versions."""
        return await to_thread(self._store.get, script_id, version)

    async def page(self, after: Key | None, size: int) -> Page[Script]:
        """Scripts by name."""
        return await to_thread(self._store.page, after, size)

    async def update(self, script_id: int, etag: str, patch: Callable[[Script], Script], user: int) -> Script:
        """Changes name, description or source for this user; another source is a new version.

        A source that the patch leaves alone parses, whoever changes the script meanwhile: it was checked when it came.
        """
        current = await to_thread(self._store.get, script_id)
        wanted = patch(current)
        if wanted.source != current.source:
            await self._refuse_problem(wanted.source)
        return await to_thread(self._store.change, script_id, etag, patch, user, self._clock())

    async def test(self, trial: ScriptTrial) -> ScriptDecision:
        """What a script would decide for a click; a test or do-not-track recipient's runs none."""
        stored = await to_thread(self._store.get, trial.script_id) if trial.script_id else None
        source = stored.source if stored else trial.source or ""
        script_id, version = (stored.id, stored.version) if stored else (0, 0)
        person_id = trial.recipient.person_id or 0
        card = await self._card(person_id) if person_id else None
        variables = await to_thread(self._variables, trial, card)
        if refusal := _refusal(trial.recipient):
            return ScriptDecision(script_id, version, problem=refusal)
        result = await self._sandbox.run(source, variables)
        problem = result.problem or problem_of_return_url(result.return_url)
        return ScriptDecision(script_id, version, "" if problem else result.return_url, result.log, problem)

    async def _refuse_problem(self, source: str) -> None:
        """Raises SCRIPT_INVALID for a source that does not parse."""
        if problem := await self._sandbox.problem_of(source):
            violation = Violation("script.source", problem)
            raise DomainError(Reason.script_invalid, f"{violation.field}: {violation.description}", [violation])

    def _variables(self, trial: ScriptTrial, card: Person | None) -> dict[str, object]:
        """What the script would read now. Raises LINK_NOT_FOUND, MAILING_NOT_FOUND."""
        link = self._links.get([trial.link_id])[0] if trial.link_id else None
        if trial.mailing_id:
            self._mailings.get(trial.mailing_id)
        hits = link.counts.clicks + 1 if link else 1
        variables = variables_of(link, trial.mailing_id, hits, card, trial.recipient.email or "")
        return variables | {"custId": trial.recipient.person_id or 0}  # also of a person whom the CRM does not know, as at a click


def _refusal(recipient: Recipient) -> str:
    """Why no script runs for this recipient; empty when one does."""
    if recipient.test:
        return TEST
    return DO_NOT_TRACK if recipient.do_not_track else ""
