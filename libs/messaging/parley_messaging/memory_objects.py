"""An object store inside one process, for tests."""

from typing import BinaryIO

from parley_contracts.errors import ErrorCode, ParleyError


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

    async def fetch(self, key: str, into: BinaryIO) -> None:
        """Write what is kept under `key` into a file."""
        into.write(await self.get(key))

    async def delete(self, key: str) -> None:
        """Forget `key`."""
        self.kept.pop(key, None)
