"""Brings a database to the newest revision, in the caller's transaction."""

import logging
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection


def script_config() -> Config:
    """Return Alembic's settings for this package's revisions."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    return config


def upgrade(connection: Connection) -> None:
    """Run what is missing."""
    logging.getLogger("alembic").setLevel(logging.WARNING)
    config = script_config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
