"""What scripts said at clicks is found by recipient, and goes with one; that of nobody's clicks and of persons who are gone goes now.

Where no person is in the embedded CRM it is not used, and nobody is known to be gone.
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"

_OF_SCRIPTS = "action_run.action_id IN (SELECT id FROM link_action WHERE tag = 'script')"
_GONE = """
recipient = 0 OR (recipient % 2 = 0 AND EXISTS (SELECT 1 FROM crm_person) AND recipient / 2 NOT IN (SELECT id FROM crm_person))
"""


def upgrade() -> None:
    connection = op.get_bind()
    postgresql = connection.dialect.name == "postgresql"
    op.create_table(
        "script_said",
        sa.Column("click_id", sa.Uuid() if postgresql else sa.LargeBinary(16), nullable=False),
        sa.Column("recipient", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("location", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("click_id"),
        sqlite_with_rowid=False,
        comment="clicks at which a script said something that may name the recipient",
    )
    op.create_index("script_said_of_recipient", "script_said", ["recipient"], unique=False)
    failed = "CASE WHEN state = 3 THEN 'The script failed; what it said is not kept any more' ELSE reason END"
    forget = f"UPDATE action_run SET log = NULL, reason = {failed} WHERE {_OF_SCRIPTS} AND (log IS NOT NULL OR state = 3)"
    connection.execute(sa.text(f"{forget} AND click_id IN (SELECT id FROM click WHERE {_GONE})"))
    said = f"SELECT DISTINCT click.id, click.recipient FROM action_run JOIN click ON click.id = action_run.click_id WHERE {_OF_SCRIPTS}"
    kept = f"{said} AND (log IS NOT NULL OR state = 3) AND NOT ({_GONE})"
    connection.execute(sa.text(f"INSERT INTO script_said (click_id, recipient) {kept}"))
