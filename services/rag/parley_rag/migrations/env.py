"""What Alembic runs: the revisions, on the connection that the service hands over."""

from alembic import context

from parley_rag.migrations import VERSION_TABLE
from parley_rag.tables import Row

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Row.metadata,
    version_table=VERSION_TABLE,
    transactional_ddl=False,  # the caller's transaction holds it all
)
context.run_migrations()
