"""Mailings in the database: each method is one transaction."""

from typing import Any

from server.model.mailing import Mailing
from server.store.tables import MailingRow, table_of

mailing = table_of(MailingRow)


def as_mailing(row: Any) -> Mailing:
    """A row of the table as a plain mailing."""
    return Mailing.model_construct(**{name: getattr(row, name) for name in Mailing.model_fields})
