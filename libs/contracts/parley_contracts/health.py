"""How a service says how it is."""

from typing import Literal

from pydantic import Field

from parley_contracts.model import WireModel


class HealthQuestion(WireModel):
    """Request: how are you?"""

    type: Literal["health_question"] = "health_question"


class ServiceHealth(WireModel):
    """A service's state and that of what it depends on."""

    type: Literal["service_health"] = "service_health"
    service: str
    version: str
    instance: str
    is_ready: bool
    checks: dict[str, str] = Field(description="Dependency to `ok`, or what is wrong with it.")
    started_at_ms: int | None = Field(default=None, description="Since when it runs, Unix milliseconds.")
    circuits: dict[str, str] = Field(
        default_factory=dict[str, str],
        description="Part that it asks to `closed`, or to `open` or `probing` while that is skipped.",
    )
