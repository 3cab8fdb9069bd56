"""For tests of what is answered: a bus and settings for which a busy machine is never too slow."""

from parley_contracts.model import WireModel
from parley_messaging.bus import Reply
from parley_messaging.memory_bus import MemoryBus

PATIENCE_S = 20.0
GATHERS_ALL = {"gateway_history_s": 10, "gateway_embed_s": 10, "gateway_search_s": 10}
"""Settings of a gateway that waits for all that an answer rests on."""


class PatientBus(MemoryBus):
    """Waits longer for answers than those who ask it would."""

    async def request(
        self, subject: str, request: WireModel, reply_type: type[Reply], *, timeout_s: float = 2.0
    ) -> Reply:
        """Ask whoever answers `subject` in this process."""
        return await super().request(subject, request, reply_type, timeout_s=max(timeout_s, PATIENCE_S))
