"""The object store of a bus for one process."""

from collections.abc import AsyncGenerator
from typing import BinaryIO

from parley_contracts.errors import ErrorCode, ParleyError

from parley_messaging.bus import StoredObject

PIECE_BYTES = 128 * 1024


class MemoryObjects:
    """Objects in a dictionary."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}

    async def put(self, key: str, data: bytes | BinaryIO) -> None:
        """Keep `data` under `key`."""
        self.kept[key] = data if isinstance(data, bytes) else data.read()

    async def get(self, key: str) -> bytes:
        """Return what is kept under `key`."""
        if key not in self.kept:
            raise ParleyError(ErrorCode.NOT_FOUND, "There is no such object.")
        return self.kept[key]

    async def open(self, key: str) -> StoredObject:
        """Return what is kept under `key`, to be read piece by piece."""
        kept = await self.get(key)

        async def pieces() -> AsyncGenerator[bytes]:
            for at in range(0, len(kept), PIECE_BYTES):
                yield kept[at : at + PIECE_BYTES]

        return StoredObject(len(kept), pieces)

    async def fetch(self, key: str, into: BinaryIO) -> None:
        """Write what is kept under `key` into a file."""
        into.write(await self.get(key))

    async def delete(self, key: str) -> None:
        """Forget `key`."""
        self.kept.pop(key, None)
