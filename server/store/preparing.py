"""What clicks wait for before they can be recorded: the scripts of their links, and cards that a remote CRM has."""

from collections.abc import Iterable, Mapping

from server.model.click import Answer, SeenClick
from server.model.ids import address_of, person_of
from server.model.link import EXTRA_FIELD, form_fields
from server.model.recorded_click import StoredClick
from server.model.script import ScriptCall, Unprepared, variables_of
from server.store.click_rows import NewClick
from server.store.crm import cards
from server.store.destinations import Destination
from server.store.forms import addresses
from server.store.scripts import sources
from server.store.sql import Statements

ScriptReference = tuple[int, int]


def unprepared(statements: Statements, new: Iterable[NewClick], crm_is_remote: bool) -> dict[bytes, Unprepared]:
    """Those of the clicks that have to wait for something first, by click; none that is final."""
    found: dict[bytes, Unprepared] = {}
    scripted: list[NewClick] = []
    for click in new:
        prepared = click.seen.prepared
        if prepared is not None and prepared.final:
            continue
        if crm_is_remote and prepared is None and (person_id := _card_wanted(click.seen, click.destination, click.acts)):
            found[click.seen.id] = Unprepared([], person_id)
        if click.acts and not click.seen.do_not_track and any(action.kind.script() for action in click.destination.link.actions):
            scripted.append(click)
    if scripted:
        for click_id, calls in _calls(statements, scripted, crm_is_remote).items():
            found[click_id] = Unprepared(calls, found[click_id].person_id if click_id in found else 0)
    return found


def shown_without_name(again: Iterable[SeenClick], stored: Mapping[bytes, StoredClick]) -> dict[bytes, Unprepared]:
    """Those of the clicks that come again whose answer names a person of a remote CRM."""
    found: dict[bytes, Unprepared] = {}
    for seen in again:
        if seen.prepared is None and (person_id := _named_in(seen, stored[seen.id].answer)):
            found[seen.id] = Unprepared([], person_id)
    return found


def _card_wanted(seen: SeenClick, destination: Destination, acts: bool) -> int:
    """The person whose card the answer or a script needs; 0 when none does."""
    runs_script = acts and not seen.do_not_track and any(action.kind.script() for action in destination.link.actions)
    return person_of(seen.recipient) if runs_script else _named_in(seen, destination.answer)


def _named_in(seen: SeenClick, answer: Answer) -> int:
    """The person whose card the answer needs; 0 when it needs none."""
    is_form = answer.form and not answer.brought
    in_form = is_form and any(name.startswith(("recipient.", EXTRA_FIELD)) for name in form_fields(answer.form))
    return person_of(seen.recipient) if in_form or "recipient.name" in answer.text else 0


def _calls(statements: Statements, scripted: Iterable[NewClick], crm_is_remote: bool) -> dict[bytes, list[ScriptCall]]:
    """The scripts of these clicks that have not decided yet, in their newest or the chosen version."""
    clicks = list(scripted)
    references = {reference for click in clicks for action in click.destination.link.actions if (reference := action.kind.script())}
    existing = sources(statements, sorted(references))
    waiting: dict[bytes, tuple[NewClick, list[tuple[int, int, int, str]]]] = {}
    for click in clicks:
        decisions = click.seen.prepared.decisions if click.seen.prepared else {}
        for action in click.destination.link.actions:
            reference = action.kind.script()
            if reference is None or reference not in existing:
                continue
            version, source = existing[reference]
            decided = decisions.get(action.id)
            if decided is None or (decided.script_id, decided.version) != (reference[0], version):
                waiting.setdefault(click.seen.id, (click, []))[1].append((action.id, reference[0], version, source))
    if not waiting:
        return {}
    open_clicks = [click for click, _ in waiting.values()]
    hits = _hits(statements, {click.destination.link.id for click in open_clicks})
    persons = {} if crm_is_remote else cards(statements.connection, {person_of(click.seen.recipient) for click in open_clicks})
    emails = addresses(statements, (address_of(click.seen.recipient) for click in open_clicks))
    calls: dict[bytes, list[ScriptCall]] = {}
    for click_id, (click, scripts) in waiting.items():
        person_id, to = person_of(click.seen.recipient), click.destination
        email = emails.get(address_of(click.seen.recipient), "")
        variables = variables_of(to.link, to.mailing.id, hits.get(to.link.id, 0) + 1, persons.get(person_id), email)
        calls[click_id] = [ScriptCall(*script, variables | {"custId": person_id}) for script in scripts]
    return calls


def _hits(statements: Statements, link_ids: Iterable[int]) -> dict[int, int]:
    rows = statements.matching("SELECT link_id, clicks FROM link_count WHERE link_id IN", sorted(link_ids))
    return {row.link_id: row.clicks for row in rows}
