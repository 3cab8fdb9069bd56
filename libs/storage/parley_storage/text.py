"""Text that every database takes."""

from typing import Any

from sqlalchemy import Text
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator


class StorableText(TypeDecorator[str]):
    """Text in which U+0000, which PostgreSQL refuses, becomes U+FFFD: one bad character loses no row."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Return what is stored."""
        return None if value is None else value.replace("\x00", "\ufffd")

    def process_literal_param(self, value: str | None, dialect: Dialect) -> str:
        """Return what stands in a statement."""
        return "" if value is None else value.replace("\x00", "\ufffd")

    @property
    def python_type(self) -> type[Any]:
        """What it is in Python."""
        return str
