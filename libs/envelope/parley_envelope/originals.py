"""Uploaded originals: put sealed, read as their documents say that they are stored."""

from collections.abc import AsyncGenerator
from typing import BinaryIO

from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.rag import original_key, sealed_key

from parley_envelope.data_keys import DataKeys
from parley_envelope.envelope import SealError
from parley_envelope.sealed_objects import Content, Objects, PlainContent, SealedObjects
from parley_envelope.segments import Name


def name_of(owner_id: str, document_id: str, sha256: str) -> Name:
    """Return what an original is sealed as: no other document's, and no older one, opens in its place."""
    return ("original", owner_id, document_id, sha256)


class Originals:
    """The originals of all owners in an object store."""

    def __init__(self, objects: Objects, keys: DataKeys) -> None:
        self._objects = objects
        self._sealed = SealedObjects(objects, keys)
        self._keys = keys

    async def make_ready(self) -> None:
        """Return when an original can be put; ParleyError `unavailable` when no data key is known."""
        await self._keys.current()

    async def put(self, owner_id: str, document_id: str, sha256: str, data: bytes | BinaryIO) -> None:
        """Keep a document's original; `sha256` is that of the file itself."""
        name = name_of(owner_id, document_id, sha256)
        await self._sealed.put(sealed_key(owner_id, document_id), data, name)

    async def open(self, owner_id: str, document_id: str, sha256: str, *, is_sealed: bool) -> Content:
        """Return a document's original.

        Raises:
            ParleyError: `not_found`; `unavailable` when its data key is not told now; `internal` when it
                cannot be opened.
        """
        if not is_sealed:
            return PlainContent(await self._objects.open(original_key(owner_id, document_id)))
        try:
            name = name_of(owner_id, document_id, sha256)
            return await self._sealed.open(sealed_key(owner_id, document_id), name)
        except SealError as error:
            raise cannot_open() from error

    async def get(self, owner_id: str, document_id: str, sha256: str, *, is_sealed: bool) -> bytes:
        """Return a document's whole original; raises as `open` does."""
        content = await self.open(owner_id, document_id, sha256, is_sealed=is_sealed)
        return b"".join([piece async for piece in self.opened(content)])

    async def opened(self, content: Content) -> AsyncGenerator[bytes]:
        """Yield all pieces of a content; ParleyError `internal` at the first that does not open."""
        try:
            async for piece in content.span(0, content.size_bytes):
                yield piece
        except SealError as error:
            raise cannot_open() from error

    async def delete(self, owner_id: str, document_id: str) -> None:
        """Forget a document's original, however it is stored."""
        await self.delete_plain(owner_id, document_id)
        await self._objects.delete(sealed_key(owner_id, document_id))

    async def delete_plain(self, owner_id: str, document_id: str) -> None:
        """Forget what is stored as it came."""
        await self._objects.delete(original_key(owner_id, document_id))


def cannot_open() -> ParleyError:
    """Return the error for an original that was changed or whose key is gone."""
    return ParleyError(ErrorCode.INTERNAL, "The stored original cannot be opened.", retryable=False)
