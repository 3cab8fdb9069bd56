"""Accounts, as far as it tells data keys."""

import asyncio

from parley_contracts import subjects
from parley_contracts.data_keys import ReadDataKey, ToldDataKey
from parley_contracts.errors import ErrorCode, ParleyError
from parley_envelope import DataKey, DataKeys, ExportFiles, Originals, new_data_key
from parley_envelope.key_delivery import tell_key
from parley_messaging.data_key_asking import asking_for_data_keys
from parley_messaging.memory_bus import MemoryBus


class FakeDataKeys:
    """Keys that are told by whoever has one of these on its bus; the last one seals."""

    def __init__(self) -> None:
        self.keys: list[DataKey] = [new_data_key()]
        self.asked: list[str | None] = []
        self.is_away = False

    async def tell(self, request: ReadDataKey) -> ToldDataKey:
        """Answer as accounts does."""
        self.asked.append(request.key_id)
        await asyncio.sleep(0)  # others ask meanwhile
        if self.is_away:
            raise ParleyError(ErrorCode.UNAVAILABLE, "That part of Parley is away.")
        found = [key for key in self.keys if request.key_id in (None, key.id)]
        if not found:
            raise ParleyError(ErrorCode.NOT_FOUND, "There is no such data key.")
        return tell_key(found[-1], request.public_key)

    def on(self, bus: MemoryBus) -> "FakeDataKeys":
        """Answer on a bus."""
        bus.answer(subjects.ACCOUNTS_READ_DATA_KEY, ReadDataKey, self.tell)
        return self


def originals_on(bus: MemoryBus) -> Originals:
    """Return the originals of a bus, as a process has them that was told nothing yet."""
    return Originals(bus.objects, DataKeys(asking_for_data_keys(bus)))


def exports_on(bus: MemoryBus) -> ExportFiles:
    """Return the files of exports of a bus, as a process has them that was told nothing yet."""
    return ExportFiles(bus.objects, DataKeys(asking_for_data_keys(bus)))
