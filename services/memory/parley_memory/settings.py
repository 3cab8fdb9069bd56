"""What the memory service is told by its environment."""

from pathlib import Path

from parley_messaging import ServiceSettings
from pydantic import Field, field_validator

from parley_memory.tables import STORE


class MemorySettings(ServiceSettings):
    """Settings of the memory service; where the data is kept comes from DATABASE_URL or PARLEY_DATA_DIR."""

    memory_pool_size: int = Field(default=4, ge=2, le=64, description="Database connections kept open.")
    memory_pool_wait_s: float = Field(
        default=5.0,
        gt=0,
        description="How long a request waits for a connection, then for who else writes SQLite's file.",
    )
    memory_start_wait_s: float = Field(
        default=60.0, gt=0, description="How long a start waits for another one that is migrating."
    )
    memory_sweep_s: float = Field(
        default=30.0, gt=0, description="How often events that a dead process left behind are looked for."
    )
    memory_reply_bytes: int = Field(
        default=1_000_000,
        ge=10_000,
        description="How much of a conversation is read at once; below the bus's largest message.",
    )

    @field_validator("database_url")
    @classmethod
    def _names_a_database(cls, database_url: str | None) -> str | None:
        STORE.url(database_url, Path())
        return database_url
