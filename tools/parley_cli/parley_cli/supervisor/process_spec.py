"""What one process of the stack is: how it starts, when it is ready, when it stops."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

Probe = Callable[[str], Awaitable[bool]]
"""Answers whether the process of that instance name is ready; never raises, never takes long."""


@dataclass(frozen=True, kw_only=True)
class ProcessSpec:
    """One row of the table that the supervisor runs."""

    name: str
    argv: tuple[str, ...]
    probe: Probe
    port: int = field(
        metadata={"help": "What is shown; for services without a public port their health port."}
    )
    stop_rank: int = field(metadata={"help": "Lower stops first; equal ranks stop together."})
    environment: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    grace_s: float = 30.0
    source: str | None = field(
        default=None, metadata={"help": "Package whose change restarts it (--reload)."}
    )
