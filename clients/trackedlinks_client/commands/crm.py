"""`trackedlinks crm …`: the embedded CRM."""

from collections.abc import Callable
from enum import StrEnum
from typing import Annotated

import typer

from trackedlinks.v1 import crm_pb2, embedded_crm_service_pb2
from trackedlinks_client.output import Json, json_line, listing, say
from trackedlinks_client.pages import every
from trackedlinks_client.session import connection


class Catalog(StrEnum):
    """A list of the CRM from which actions take ids."""

    user = "user"
    selection = "selection"
    project = "project"
    interest = "interest"
    category = "category"
    priority = "priority"
    mailing_type = "mailing-type"
    task_type = "task-type"

    @property
    def value_of(self) -> crm_pb2.Catalog.ValueType:
        """The contract's value."""
        return crm_pb2.Catalog.Value(f"CATALOG_{self.name.upper()}")


def add_person(
    ctx: typer.Context,
    name: str,
    email: str = "",
    our_contact: Annotated[int, typer.Option(help="The user who looks after the person.")] = 0,
    as_json: Json = False,
) -> None:
    """Add a person to the embedded CRM."""
    draft = crm_pb2.Person(name=name, email=email, our_contact_id=our_contact)
    with connection(ctx) as service:
        made = service.embedded_crm.CreatePerson(embedded_crm_service_pb2.CreatePersonRequest(person=draft))
    if as_json:
        json_line(made)
    else:
        say(f"person {made.id}: {made.name}")


def persons(
    ctx: typer.Context,
    member_of: Annotated[int, typer.Option(help="Only members of this selection, project or interest.")] = 0,
    as_json: Json = False,
) -> None:
    """List the persons of the embedded CRM."""
    request = embedded_crm_service_pb2.ListPersonsRequest(member_of=member_of)
    with connection(ctx) as service:
        found = every(service.embedded_crm.ListPersons, request, "persons")
        listing(found, as_json, ("ID#", "NAME", "EMAIL", "OUR CONTACT#"), _person_row, "no persons")


def add(ctx: typer.Context, catalog: Catalog, name: str, as_json: Json = False) -> None:
    """Add an entry to a catalogue of the embedded CRM."""
    draft = crm_pb2.CatalogEntry(catalog=catalog.value_of, name=name)
    with connection(ctx) as service:
        made = service.embedded_crm.CreateCatalogEntry(embedded_crm_service_pb2.CreateCatalogEntryRequest(entry=draft))
    if as_json:
        json_line(made)
    else:
        say(f"{catalog} {made.id}: {made.name}")


def list_(ctx: typer.Context, catalog: Catalog, as_json: Json = False) -> None:
    """List a catalogue of the embedded CRM."""
    request = embedded_crm_service_pb2.ListCatalogEntriesRequest(catalog=catalog.value_of)
    with connection(ctx) as service:
        found = every(service.embedded_crm.ListCatalogEntries, request, "entries")
        listing(found, as_json, ("ID#", "NAME"), lambda entry: (entry.id, entry.name), "no entries")


def _person_row(person: crm_pb2.Person) -> tuple[object, ...]:
    return person.id, person.name, person.email, person.our_contact_id or ""


COMMANDS: dict[str, Callable[..., None]] = {"add-person": add_person, "persons": persons, "add": add, "list": list_}
