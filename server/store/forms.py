"""What clicks are answered by beyond what their link says: a form's URL filled in, or where a script sends the recipient."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from urllib.parse import quote

from server.model.action import ActionOutcome, ActionState, fill_text, text_fields
from server.model.click import Prepared, SeenClick, click_time
from server.model.crm import Contact
from server.model.ids import address_of, person_of
from server.model.link import EXTRA_FIELD, form_fields
from server.model.recorded_click import StoredClick
from server.model.url_fields import MOST_FILLED, fill_url, filled_length
from server.store.click_rows import NewClick
from server.store.destinations import Destination, location
from server.store.kept import kept_fields, kept_key
from server.store.sql import Statements


def fill_forms(statements: Statements, new: Mapping[bytes, NewClick], persons: Mapping[int, Contact]) -> dict[bytes, NewClick]:
    """The clicks, in order, those on a form with its URL filled in. Every value is percent-encoded; what is not known is empty."""
    on_forms = [click for click in new.values() if click.destination.answer.form]
    if not on_forms:
        return {**new}
    kept = kept_fields(statements, (_place(click) for click in on_forms if click.destination.answer.brought))
    emails = addresses(statements, (address_of(click.seen.recipient) for click in on_forms))
    extra = _extra_fields(statements, on_forms)
    filled = dict(new)
    for click in on_forms:
        if click.destination.answer.brought:
            filled[click.seen.id] = _redirect(click, click.destination.answer.form, kept.get(_place(click), {}))
        else:
            filled[click.seen.id] = _filled(click, persons, emails, extra)
    return filled


def filled_again(
    statements: Statements,
    stored: Mapping[bytes, StoredClick],
    again: Iterable[SeenClick],
    destinations: Mapping[int, Destination],
    persons: Mapping[int, Contact],
) -> dict[bytes, StoredClick]:
    """The stored clicks, those whose answers are stored unfilled filled in for who comes again, with what is known now."""
    unfilled = {
        seen.id: NewClick(seen, replace(destinations[seen.placement_id], answer=stored[seen.id].answer))
        for seen in again
        if seen.id in stored and stored[seen.id].answer.form
    }
    filled = fill_forms(statements, unfilled, persons)
    return {click_id: replace(click, answer=filled[click_id].answer) if click_id in filled else click for click_id, click in stored.items()}


def scripts_heard(new: Mapping[bytes, NewClick], outcomes: Mapping[bytes, Sequence[ActionOutcome]]) -> dict[bytes, NewClick]:
    """The clicks, in order, those whose scripts chose a URL answered by it, the last one's: what was not done is not heard."""
    prepared = ((click, click.seen.prepared) for click in new.values() if click.seen.prepared)
    return {**new, **{click.seen.id: _redirected(click, waited, outcomes.get(click.seen.id, ())) for click, waited in prepared}}


def _redirected(click: NewClick, prepared: Prepared, outcomes: Sequence[ActionOutcome]) -> NewClick:
    decisions = prepared.decisions
    done = (outcome.action_id for outcome in outcomes if outcome.state is ActionState.done and outcome.action_id in decisions)
    urls = [url for action_id in done if (url := decisions[action_id].return_url)]
    return replace(click, chosen=location(urls[-1], click.destination.mailing)) if urls else click


def _place(click: NewClick) -> tuple[int, int]:
    return click.destination.mailing.id, kept_key(click.seen.recipient, click.seen.test)


def _redirect(click: NewClick, url: str, kept: Mapping[str, str]) -> NewClick:
    """The click with the merge fields of its link's URL filled in with what the recipient brought; what is not known is empty."""
    values = {"mailing.name": click.destination.mailing.name, **kept}
    if filled_length(url, values) > MOST_FILLED:
        values = {}
    return replace(click, filled=location(fill_url(url, values), click.destination.mailing))


def _filled(click: NewClick, persons: Mapping[int, Contact], emails: Mapping[int, str], extra: Mapping[tuple[int, str], str]) -> NewClick:
    recipient, destination = click.seen.recipient, click.destination
    person = persons.get(person_of(recipient))
    values = text_fields(person.name if person else "", destination.link.name, destination.mailing.name, click_time(click.seen.id))
    values["recipient.email"] = person.email if person else emails.get(address_of(recipient), "")
    for name in form_fields(destination.answer.form):
        if name.startswith(EXTRA_FIELD):
            values[name] = extra.get((person_of(recipient), name.removeprefix(EXTRA_FIELD)), "")
    if click.seen.prepared and (card := click.seen.prepared.card):
        values |= {EXTRA_FIELD + name: value for name, value in card.extra_fields.items()}
    url = fill_text(destination.answer.form, {name: quote(value, safe="") for name, value in values.items()})
    return replace(click, filled=location(url, destination.mailing))


def addresses(statements: Statements, ids: Iterable[int]) -> dict[int, str]:
    """The addresses with these ids; 0 is none."""
    rows = statements.matching("SELECT id, address FROM address WHERE id IN", sorted(set(ids) - {0}))
    return {row.id: row.address for row in rows}


def _extra_fields(statements: Statements, clicks: Iterable[NewClick]) -> dict[tuple[int, str], str]:
    wanted = {
        (person_of(click.seen.recipient), name.removeprefix(EXTRA_FIELD))
        for click in clicks
        for name in form_fields(click.destination.answer.form)
        if name.startswith(EXTRA_FIELD) and person_of(click.seen.recipient)
    }
    rows = statements.matching("SELECT person_id, field, value FROM crm_extra_field WHERE (person_id, field) IN", sorted(wanted))
    return {(row.person_id, row.field): row.value for row in rows}
