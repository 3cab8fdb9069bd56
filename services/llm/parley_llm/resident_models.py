"""Keeps the models loaded that a setting names, as far as their server has them and room for them."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Protocol

from parley_contracts.errors import ParleyError
from parley_contracts.llm import ModelInfo
from parley_contracts.local_models import tagged

from parley_llm.backends.ollama_library import PREFIX, OllamaLibrary

_log = logging.getLogger("parley.llm")


class Loading(Protocol):
    """The part of a server's models that lists and loads them."""

    async def models(self) -> tuple[ModelInfo, ...]:
        """Return the models that are there."""
        ...

    async def prepare(self, model_id: str) -> bool:
        """Load a model; return whether it is loaded."""
        ...


class ResidentModels:
    """Loads what is missing. One that made room for others is left out until these are gone."""

    def __init__(
        self, served: Loading, library: OllamaLibrary, names: Sequence[str], *, period_s: float
    ) -> None:
        self._served = served
        self._library = library
        # The server lists its models with their tags.
        self._names = tuple(tagged(name) for name in names)
        self._period_s = period_s
        self._was_loaded = set[str]()

    async def run(self) -> None:
        """Look for what is missing, until cancelled."""
        while self._names:
            try:
                await self.look()
            except ParleyError as error:
                # The server may be away for a while.
                _log.debug("loaded models not known", extra={"reason": str(error)})
            await asyncio.sleep(self._period_s)

    async def look(self) -> None:
        """Load what is missing now. Raises ParleyError when the server does not tell."""
        loaded = await self._library.loaded()
        there = {info.id for info in await self._served.models()}
        has_others = bool(loaded - set(self._names))
        for name in self._names:
            if name in loaded:
                self._was_loaded.add(name)
                continue
            is_displaced = name in self._was_loaded and has_others
            if f"{PREFIX}{name}" in there and not is_displaced:
                await self._served.prepare(f"{PREFIX}{name}")
