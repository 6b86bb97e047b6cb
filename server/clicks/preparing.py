"""What a click waits for before it is recorded, with a bound on each: its recipient's card in a remote CRM, then its scripts."""

from collections.abc import Awaitable, Callable

from server.clicks.sandbox import Sandbox
from server.model.click import Prepared
from server.model.crm import Person
from server.model.script import ScriptCall, ScriptDecision, Unprepared, problem_of_return_url, recipient_variables

Cards = Callable[[int], Awaitable[Person | None]]
"""The card of a person in a remote CRM; None when it is not to be had in the time that a recipient waits."""


class Preparing:
    """Runs scripts, and gets cards."""

    def __init__(self, sandbox: Sandbox, card: Cards) -> None:
        self._sandbox = sandbox
        self._card = card

    async def prepare(self, before: Prepared | None, unprepared: Unprepared, final: bool) -> Prepared:
        """What the click has waited for; what was decided before and still stands is kept. Never raises."""
        card = before.card if before else None
        if unprepared.person_id and card is None:
            card = await self._card(unprepared.person_id)
        decisions = dict(before.decisions) if before else {}
        for call in unprepared.calls:
            decisions[call.action_id] = await self._decide(call, card)
        return Prepared(decisions, card, final)

    async def _decide(self, call: ScriptCall, card: Person | None) -> ScriptDecision:
        variables = call.variables | {"recipient": recipient_variables(card, "")} if card else call.variables
        result = await self._sandbox.run(call.source, variables)
        problem = result.problem or (problem_of_return_url(result.return_url) if result.return_url else "")
        return ScriptDecision(call.script_id, call.version, "" if problem else result.return_url, result.log, problem)
