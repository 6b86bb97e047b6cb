"""A click as its row has it, and one that has just become durable."""

from dataclasses import dataclass

from server.model.action import ActionOutcome, ActionState
from server.model.click import Answer, Click, Evidence, SeenClick, Verdict, click_text
from server.model.ids import NOBODY
from server.model.link import Link
from server.model.mailing import Mailing


@dataclass(frozen=True, slots=True)
class StoredClick:
    """A click as its row has it."""

    placement_id: int
    recipient: int
    verdict: Verdict
    test: bool
    evidence: Evidence
    answer: Answer

    def is_of(self, seen: SeenClick) -> bool:
        """Whether this is that click, and not another one with its id. One without identity may be anybody's."""
        return (self.placement_id, self.test) == (seen.placement_id, seen.test) and self.recipient in (NOBODY, seen.identity)


@dataclass(slots=True)
class RecordedClick:
    """A click that is durable: what was seen of it, where it leads, what its actions did, and what it is answered by.

    `before` is its row where it was stored already, `in_remote_crm` counts its actions that have still to happen in a remote CRM.
    """

    seen: SeenClick
    link: Link
    mailing: Mailing
    before: StoredClick | None
    duplicate: bool
    actions: list[ActionOutcome]
    answer: Answer
    recipient_name: str
    in_remote_crm: int = 0

    @property
    def click(self) -> Click:
        """The click as it is stored; made when it is asked for, since a stream of clicks wants the answers only."""
        seen, before = self.seen, self.before
        return Click.model_construct(
            id=click_text(seen.id),
            placement_id=seen.placement_id,
            link_id=self.link.id,
            mailing_id=self.mailing.id,
            recipient=before.recipient if before else seen.identity,
            verdict=before.verdict if before else seen.verdict,
            evidence=before.evidence if before else seen.evidence,
            test=before.test if before else seen.test,
            actions=self.actions,
        )

    @property
    def leaves_something(self) -> bool:
        """Whether something of it has still to happen in another system."""
        return any(outcome.state is ActionState.waiting for outcome in self.actions) if self.actions else False
