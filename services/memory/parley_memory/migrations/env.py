"""Runs revisions on the connection, and inside the transaction, that `migration` hands over."""

from alembic import context

from parley_memory.migration import VERSION_TABLE
from parley_memory.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
