"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_CLICK_ID = sa.LargeBinary(16).with_variant(sa.Uuid(), "postgresql")


def upgrade() -> None:
    op.create_table(
        "action_run",
        sa.Column("click_id", _CLICK_ID, nullable=False),
        sa.Column("position", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("action_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("state", sa.SmallInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("click_id", "position"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "address",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("key", name="address_key"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "click",
        sa.Column("id", _CLICK_ID, nullable=False),
        sa.Column("placement_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("link_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("generation", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("recipient", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("verdict", sa.SmallInteger(), nullable=False),
        sa.Column("test", sa.Boolean(), nullable=False),
        sa.Column("evidence_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("answer_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("id"),
        comment="stored visits; the time of a click is in its id",
        sqlite_with_rowid=False,
    )
    op.create_index("click_of_link", "click", ["link_id", "generation", "id"], unique=False)

    op.create_table(
        "clicker",
        sa.Column("link_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("generation", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("recipient", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("mailing_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("clicks", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("first_time", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("last_time", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("link_id", "generation", "recipient", "mailing_id"),
        comment="recipients with at least one counted click on a link in a mailing; times in microseconds",
        sqlite_with_rowid=False,
    )
    op.create_index("clicker_of_mailing", "clicker", ["mailing_id", "recipient"], unique=False)

    op.create_table(
        "crm_entry",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("catalog", sa.String(length=32), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("name_key", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("catalog", "name_key", name="crm_entry_name"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "crm_extra_field",
        sa.Column("person_id", _ID, autoincrement=False, nullable=False),
        sa.Column("field", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("person_id", "field"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "crm_follow_up",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("person_id", _ID, nullable=False),
        sa.Column("type", sa.String(length=32), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("task_type_id", _ID, nullable=False),
        sa.Column("project_id", _ID, nullable=False),
        sa.Column("created_by", _ID, nullable=False),
        sa.Column("assigned_to", _ID, nullable=False),
        sa.Column("start_time", sa.BigInteger(), nullable=False),
        sa.Column("duration", sa.Integer(), nullable=False),
        sa.Column("as_assignment", sa.Boolean(), nullable=False),
        sa.Column("click_id", sa.Text(), nullable=False),
        sa.Column("create_time", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_crm_follow_up_person_id", "crm_follow_up", ["person_id"], unique=False)

    op.create_table(
        "crm_membership",
        sa.Column("entry_id", _ID, autoincrement=False, nullable=False),
        sa.Column("person_id", _ID, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("entry_id", "person_id"),
        sqlite_with_rowid=False,
    )
    op.create_index("crm_membership_person", "crm_membership", ["person_id"], unique=False)

    op.create_table(
        "crm_person",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("email_key", sa.Text(), nullable=True),
        sa.Column("our_contact_id", _ID, nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("email_key", name="crm_person_email"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "crm_service_request",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("person_id", _ID, nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("priority_id", _ID, nullable=False),
        sa.Column("category_id", _ID, nullable=False),
        sa.Column("owner_id", _ID, nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("click_id", sa.Text(), nullable=False),
        sa.Column("create_time", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_crm_service_request_person_id", "crm_service_request", ["person_id"], unique=False)

    op.create_table(
        "folder",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("parent_id", _ID, nullable=False),
        sa.Column("create_time", sa.BigInteger(), nullable=False),
        sa.Column("update_time", sa.BigInteger(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("name_key", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("parent_id", "name_key", name="folder_sibling_name"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "interned",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("key", sa.LargeBinary(length=16), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("key", name="interned_key"),
        comment="evidence and answers of clicks, each distinct one once",
    )
    op.create_table(
        "ledger",
        sa.Column("action_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("recipient", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("scope", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("click_id", _CLICK_ID, nullable=False),
        sa.PrimaryKeyConstraint("action_id", "recipient", "scope"),
        comment="what a repeat policy remembers; scope -1 = once per recipient, else the mailing",
        sqlite_with_rowid=False,
    )
    op.create_table(
        "link",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("folder_id", _ID, nullable=False),
        sa.Column("response", sa.JSON(), nullable=False),
        sa.Column("actions", sa.JSON(), nullable=False),
        sa.Column("mailing_id", _ID, nullable=False),
        sa.Column("creator", _ID, nullable=False),
        sa.Column("updater", _ID, nullable=False),
        sa.Column("create_time", sa.BigInteger(), nullable=False),
        sa.Column("update_time", sa.BigInteger(), nullable=False),
        sa.Column("last_reset_time", sa.BigInteger(), nullable=True),
        sa.Column("delete_time", sa.BigInteger(), nullable=True),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("name_key", sa.Text(), nullable=False),
        sa.Column("search_key", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sqlite_autoincrement=True,
    )
    op.create_index("link_folder", "link", ["folder_id"], unique=False)
    op.create_index("link_mailing", "link", ["mailing_id", "id"], unique=False)

    op.create_table(
        "link_action",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("link_id", _ID, nullable=False),
        sa.Column("tag", sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_link_action_link_id", "link_action", ["link_id"], unique=False)

    op.create_table(
        "link_count",
        sa.Column("link_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("clicks", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("clickers", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("suspected", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("link_id"),
    )
    op.create_table(
        "mailing",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("language", sa.Text(), nullable=False),
        sa.Column("send_time", sa.BigInteger(), nullable=True),
        sa.Column("public_url", sa.Text(), nullable=False),
        sa.Column("track_all_links", sa.Boolean(), nullable=False),
        sa.Column("google_analytics", sa.JSON(), nullable=True),
        sa.Column("mailing_type_id", _ID, nullable=False),
        sa.Column("test", sa.Boolean(), nullable=False),
        sa.Column("delivered_count", _ID, nullable=False),
        sa.Column("creator", _ID, nullable=False),
        sa.Column("create_time", sa.BigInteger(), nullable=False),
        sa.Column("update_time", sa.BigInteger(), nullable=False),
        sa.Column("delete_time", sa.BigInteger(), nullable=True),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("name_key", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "mailing_count",
        sa.Column("mailing_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("clicks", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("clickers", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("suspected", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("mailing_id"),
    )
    op.create_table(
        "mailing_link_count",
        sa.Column("mailing_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("link_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("clicks", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("clickers", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("suspected", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("first_time", sa.BigInteger(), nullable=True),
        sa.Column("last_time", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("mailing_id", "link_id"),
        sqlite_with_rowid=False,
    )
    op.create_index("mailing_count_of_link", "mailing_link_count", ["link_id"], unique=False)

    op.create_table(
        "message",
        sa.Column("mailing_id", _ID, autoincrement=False, nullable=False),
        sa.Column("charset", sa.String(length=32), nullable=False),
        sa.Column("html", sa.LargeBinary(), nullable=False),
        sa.Column("text", sa.LargeBinary(), nullable=False),
        sa.Column("slots", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("mailing_id"),
    )
    op.create_table(
        "placement",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("mailing_id", _ID, nullable=False),
        sa.Column("link_id", _ID, nullable=False),
        sa.Column("kind", sa.SmallInteger(), nullable=False),
        sa.Column("part", sa.SmallInteger(), nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("mailing_id", "link_id", "kind", "part", "ordinal", name="placement_use"),
        sqlite_autoincrement=True,
    )
    op.create_index("placement_link", "placement", ["link_id"], unique=False)

    op.create_table(
        "request",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("digest", sa.LargeBinary(length=16), nullable=False),
        sa.Column("resource_ids", sa.JSON(), nullable=False),
        sa.Column("create_time", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_request_create_time", "request", ["create_time"], unique=False)

    op.create_table(
        "reset_remains",
        sa.Column("link_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("generation", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("link_id"),
        comment="links with rows below this generation that are still to be removed",
    )
    op.create_table(
        "roll_up",
        sa.Column("placement_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("generation", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("quarter", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("clicks", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("suspected", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("first_clicks", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("placement_id", "generation", "quarter"),
        comment="counts per placement and 15 minutes; quarter = minutes since 1970 ÷ 15; first_clicks = new clickers of link and mailing",
        sqlite_with_rowid=False,
    )
    op.create_table(
        "signing_key",
        sa.Column("id", sa.String(length=1), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
