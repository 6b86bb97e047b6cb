"""An index by which the newest clicks of a mailing are found, and not only those of a link."""

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_index("click_of_placement", "click", ["placement_id", "generation", "id"], unique=False)
    op.drop_index("click_of_link", "click")
