"""Alembic's environment and the revisions of the memory service's tables."""
