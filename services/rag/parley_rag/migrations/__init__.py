"""The schema's history; `HEAD` is the revision that this code expects."""

VERSION_TABLE = "alembic_version_rag"
HEAD = "0007"
