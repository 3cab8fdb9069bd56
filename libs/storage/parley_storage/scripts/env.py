"""Runs revisions on the connection, and inside the transaction, that `migration` hands over."""

from alembic import context

_given = context.config.attributes

context.configure(
    connection=_given["connection"],
    target_metadata=_given["store"].metadata,
    version_table=_given["store"].version_table,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
