"""A delivery for what works off one job of no queue."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass
class LoneDelivery:
    """A job of which nobody hears what became of it."""

    data: bytes
    subject: str
    deliveries: int = 1
    stream_seq: int = 1
    headers: Mapping[str, str] = field(default_factory=dict[str, str])

    async def ack(self) -> None: ...

    async def release(self, delay_s: float) -> None: ...

    async def in_progress(self) -> None: ...
