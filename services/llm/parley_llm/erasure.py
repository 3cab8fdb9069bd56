"""Removes the answers that are kept for a user, and for visitors of his bots."""

from parley_contracts.data_rights import ErasedPart, EraseUser, PlaceCount
from parley_contracts.redis_rights import ANSWER_KEYS

from parley_llm.answer_store import AnswerStore, root_of_visitors

PLACE = f"{ANSWER_KEYS}*"


class AnswerErasure:
    """Erases part by part. Without a cache there is nothing: what was kept before is gone by itself."""

    def __init__(self, store: AnswerStore | None) -> None:
        self._store = store

    async def erase(self, request: EraseUser) -> ErasedPart:
        """Remove a part; raises ParleyError `unavailable` while Redis does not answer."""
        if self._store is None:
            return ErasedPart(is_done=True)
        removed, is_done = 0, True
        for root in (request.owner_id, *map(root_of_visitors, request.bot_ids)):
            count, is_empty = await self._store.erase(root, request.limit - removed)
            removed += count
            if not is_empty or removed >= request.limit:
                is_done = False
                break
        counts = (PlaceCount(place=PLACE, count=removed),) if removed else ()
        return ErasedPart(removed=counts, is_done=is_done)
