"""One action of one click: what it would do, what it takes so that it happens once, and what becomes of it."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from server.model.action import ActionKind, ActionOutcome, ActionState, LinkAction, RepeatPolicy
from server.model.crm import Contact
from server.model.ids import person_of
from server.store.click_rows import NewClick
from server.store.contacts import Contacts

ONCE_OVER_ALL = -1
"""The ledger's scope of what happens once per recipient over all mailings; else the scope is the mailing's id."""

NO_PERSON = "The recipient is not a registered person"
UNKNOWN_PERSON = "The CRM does not know this person"
DO_NOT_TRACK = "The recipient does not want to be tracked"
DONE_BEFORE = "Already done for this recipient"
DONE_IN_MAILING = "Already done for this recipient in this mailing"
NOBODY_CLICKED = "The address is nobody's, so what happens once per recipient does not happen"
GONE = "The other system has said that it wants no more of these (410 Gone)"
LINK_CHANGED = "The link was changed while the click was under way"

LedgerKey = tuple[int, int, int]


@dataclass(slots=True)
class Run:
    """One action of one click; `outcome` = None as long as nothing speaks against it."""

    click: NewClick
    contact: Contact
    position: int
    action: LinkAction
    kind: ActionKind
    claim: LedgerKey | None
    outcome: ActionOutcome | None = None
    log: str = ""

    @property
    def person_id(self) -> int:
        """The registered person who clicked; 0 = none."""
        return person_of(self.click.seen.recipient)

    def end(self, state: ActionState, reason: str = "") -> None:
        """Settles what becomes of it."""
        self.outcome = ActionOutcome(self.action.id, state, reason, self.log)

    def ended(self) -> ActionOutcome:
        """What becomes of it: what nothing speaks against is done."""
        if self.outcome is None:
            self.outcome = ActionOutcome(self.action.id, ActionState.done, "", self.log) if self.log else _done(self.action.id)
        return self.outcome


def runs_of(click: NewClick, contacts: Contacts) -> Iterable[Run]:
    """The runs of a click, in the order of its link's actions. For a recipient who is not to be tracked only what removes is left."""
    seen, destination = click.seen, click.destination
    contact = contacts.of(seen.recipient)
    for position, action in enumerate(destination.link.actions):
        if seen.do_not_track:
            removals = action.kind.only_removals()
            refused = None if removals else ActionOutcome(action.id, ActionState.skipped, DO_NOT_TRACK)
            yield Run(click, contact, position, action, removals or action.kind, None, refused)
        else:
            yield Run(click, contact, position, action, action.kind, _claim_of(action, seen.recipient, destination.mailing.id))


@lru_cache(maxsize=1000)
def _done(action_id: int) -> ActionOutcome:
    return ActionOutcome(action_id, ActionState.done)


def _claim_of(action: LinkAction, recipient: int, mailing_id: int) -> LedgerKey | None:
    match action.policy:
        case RepeatPolicy.every_click:
            return None
        case RepeatPolicy.once_per_recipient:
            return (action.id, recipient, ONCE_OVER_ALL)
        case RepeatPolicy.once_per_recipient_and_mailing:
            return (action.id, recipient, mailing_id)
