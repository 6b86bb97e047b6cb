"""What scripts said at clicks: where they sent the recipient, what they printed, and why they failed. All of it may name the recipient.

So it can be found by click and by recipient, and goes with either: a reset takes it, and so does the deletion of a person. That a script
ran, and whether it failed, stays.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence

from server.model.action import ActionOutcome, ActionState
from server.store.click_rows import NewClick
from server.store.sql import Insert, Statements

NOT_KEPT = "The script failed; what it said is not kept any more"


def said_rows(
    statements: Statements, clicks: Iterable[NewClick], outcomes: Mapping[bytes, Sequence[ActionOutcome]]
) -> list[tuple[object, ...]]:
    """The rows of those of the new clicks at which a script said something that is kept."""
    rows: list[tuple[object, ...]] = []
    for click in clicks:
        seen = click.seen
        if seen.prepared is None or click.keeps_no_words:
            continue
        location = click.chosen.location if click.chosen else None
        if location or any(outcome.log or _failed(outcome, click) for outcome in outcomes.get(seen.id, ())):
            rows.append((statements.click_id(seen.id), seen.recipient, location))
    return rows


def forget_words_of(statements: Statements, recipient: int) -> None:
    """Forgets what scripts said at all clicks of a recipient."""
    rows = statements.rows("SELECT click_id FROM script_said WHERE recipient = ? ORDER BY click_id", (recipient,))
    _forget(statements, [row.click_id for row in rows])


def forget_words_at(statements: Statements, click_ids: Collection[bytes]) -> None:
    """Forgets what scripts said at these clicks."""
    keys = [statements.click_id(click_id) for click_id in sorted(click_ids)]
    _forget(statements, sorted(row.click_id for row in statements.matching("SELECT click_id FROM script_said WHERE click_id IN", keys)))


def _failed(outcome: ActionOutcome, click: NewClick) -> bool:
    decisions = click.seen.prepared.decisions if click.seen.prepared else {}
    return outcome.state is ActionState.failed and outcome.action_id in decisions


def _forget(statements: Statements, keys: Sequence[object]) -> None:
    statements.each(_FORGET_RUNS, [(NOT_KEPT, key) for key in keys])
    statements.each("DELETE FROM script_said WHERE click_id = ?", [(key,) for key in keys])


INSERT_SAID = Insert("script_said", {"click_id": "uuid", "recipient": "bigint", "location": "text"})
_FORGET_RUNS = f"""
UPDATE action_run SET log = NULL, reason = CASE WHEN state = {int(ActionState.failed)} THEN ? ELSE reason END
WHERE click_id = ? AND action_id IN (SELECT id FROM link_action WHERE tag = 'script')
"""
