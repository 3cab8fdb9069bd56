"""Notices when there are other models than before, and tells everybody who remembers which there are."""

import asyncio
import logging

from parley_contracts import subjects
from parley_contracts.llm import ModelList
from parley_contracts.local_models import ModelsChanged
from parley_messaging import Bus
from parley_messaging.bus import Delivery

from parley_llm.catalogue import Catalogue

_log = logging.getLogger("parley.llm")


class ModelChanges:
    """Has the catalogue asked anew on a period, and whenever somebody tells of a change."""

    def __init__(self, bus: Bus, catalogue: Catalogue, *, period_s: float) -> None:
        self._bus = bus
        self._catalogue = catalogue
        self._period_s = period_s

    async def start(self) -> None:
        """Begin to hear of changes that others have made."""
        await self._bus.subscribe(subjects.LLM_MODELS_CHANGED, self._hear)

    async def run(self) -> None:
        """Look for changes until cancelled."""
        known = await self._catalogue.list()
        while True:
            await asyncio.sleep(self._period_s)
            found = await self._catalogue.list()
            if _shown(found) != _shown(known):
                await self.tell()
            known = found

    async def tell(self) -> None:
        """Forget what is remembered, here and everywhere."""
        self._catalogue.forget()
        try:
            await self._bus.publish(subjects.LLM_MODELS_CHANGED, ModelsChanged().model_dump_json().encode())
        except Exception:  # noqa: BLE001 - everybody asks anew after a few seconds anyway
            _log.warning("change of models not told", exc_info=True)

    async def _hear(self, _: Delivery) -> None:
        self._catalogue.forget()


def _shown(models: ModelList) -> list[object]:
    return [(model.id, model.context_tokens, model.capabilities, model.price) for model in models.models]
