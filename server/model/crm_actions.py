"""What actions want of a CRM that is asked for it, and what it answers: the embedded one is asked by callers, a remote one by us."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from server.model.effects import CrmEffect

NOT_TAKEN = "The CRM did not take the change"
"""The reason where a CRM gives none."""


class EffectsOutcome(StrEnum):
    """What became of the effects of one action."""

    applied = "applied"
    person_unknown = "person_unknown"
    refused = "refused"


@dataclass(frozen=True, slots=True)
class CrmAction:
    """What one action of one click wants to happen, in order; `key` names it for ever."""

    key: str
    person_id: int
    effects: Sequence[CrmEffect]


@dataclass(frozen=True, slots=True)
class CrmResult:
    """What became of one action; `reason` says why it was refused, in words a marketer understands."""

    outcome: EffectsOutcome
    reason: str = ""
