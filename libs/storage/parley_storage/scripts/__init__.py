"""Alembic's environment; the revisions are the services' own."""
