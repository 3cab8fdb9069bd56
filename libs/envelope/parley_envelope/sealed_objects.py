"""Content in an object store: sealed on its way there, opened on its way back, whole in memory at neither."""

import io
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import BinaryIO, Protocol, cast

from parley_envelope.data_keys import DataKeys
from parley_envelope.sealed_stream import Opening, SealingReader
from parley_envelope.segments import HEADER_BYTES, Header, Layout, Name, SegmentCipher


class Stored(Protocol):
    """What an object store keeps under a key."""

    @property
    def size_bytes(self) -> int:
        """How much is stored."""
        ...

    @property
    def pieces(self) -> Callable[[], AsyncGenerator[bytes]]:
        """Reads it from the beginning."""
        ...


class Objects(Protocol):
    """An object store."""

    async def put(self, key: str, data: bytes | BinaryIO) -> None:
        """Keep `data` under `key`."""
        ...

    async def open(self, key: str) -> Stored:
        """Return what is kept under `key`; ParleyError `not_found` when nothing is."""
        ...

    async def delete(self, key: str) -> None:
        """Forget `key`; one that is not there is fine."""
        ...


class Content(Protocol):
    """A stored content, however it is stored."""

    @property
    def size_bytes(self) -> int:
        """The length of the content itself."""
        ...

    def span(self, start: int, stop: int) -> AsyncGenerator[bytes]:
        """Yield the bytes from `start` on, up to `stop`; it is called once."""
        ...

    async def close(self) -> None:
        """Read no more; one that is not read has to be closed."""
        ...


class PlainContent:
    """Content that is stored as it came."""

    def __init__(self, stored: Stored) -> None:
        self._stored = stored

    @property
    def size_bytes(self) -> int:
        """Its length."""
        return self._stored.size_bytes

    async def span(self, start: int, stop: int) -> AsyncGenerator[bytes]:
        """Yield the bytes from `start` on, up to `stop`."""
        at = 0
        async with aclosing(self._stored.pieces()) as pieces:
            async for piece in pieces:
                if wanted := piece[max(0, start - at) : max(0, stop - at)]:
                    yield wanted
                at += len(piece)
                if at >= stop:
                    return

    async def close(self) -> None:
        """Nothing is open that is not read."""


class SealedContent:
    """Content that is opened while it is read."""

    def __init__(
        self, layout: Layout, cipher: SegmentCipher, begun: bytes, pieces: AsyncGenerator[bytes]
    ) -> None:
        self._layout = layout
        self._cipher = cipher
        self._begun = begun
        self._pieces = pieces

    @property
    def size_bytes(self) -> int:
        """Its length."""
        return self._layout.plain_bytes

    async def span(self, start: int, stop: int) -> AsyncGenerator[bytes]:
        """Yield the bytes from `start` on, up to `stop`; SealError at the first that was changed."""
        opening = Opening(self._cipher, self._layout, start, stop)
        async with aclosing(self._pieces) as pieces:
            skipped = opening.offset
            for plain in opening.feed(self._begun[skipped:]):
                yield plain
            skipped = max(0, skipped - len(self._begun))
            while not opening.is_done and (piece := await anext(pieces, None)) is not None:
                for plain in opening.feed(piece[skipped:]):
                    yield plain
                skipped = max(0, skipped - len(piece))
        opening.finish()

    async def close(self) -> None:
        """Read no more."""
        await self._pieces.aclose()


class SealedObjects:
    """An object store whose content is sealed under data keys, each object under its name."""

    def __init__(self, objects: Objects, keys: DataKeys) -> None:
        self._objects = objects
        self._keys = keys

    async def put(self, key: str, data: bytes | BinaryIO, name: Name) -> None:
        """Keep content; ParleyError `unavailable`, and nothing is written, when no data key is known."""
        source = io.BytesIO(data) if isinstance(data, bytes) else data
        reader = SealingReader(source, await self._keys.current(), name)
        await self._objects.put(key, cast("BinaryIO", reader))

    async def open(self, key: str, name: Name) -> SealedContent:
        """Return content, to be read piece by piece.

        Raises:
            ParleyError: `not_found`; `unavailable` when its data key is not told now.
            SealError: It was sealed by no key that there is, or never sealed.
        """
        stored = await self._objects.open(key)
        pieces, begun = stored.pieces(), b""
        try:
            while len(begun) < HEADER_BYTES and (piece := await anext(pieces, None)) is not None:
                begun += piece
            header, layout = Header.read(begun), Layout(stored.size_bytes)
            cipher = SegmentCipher(header, await self._keys.find(header.key_id), name)
        except BaseException:
            await pieces.aclose()
            raise
        return SealedContent(layout, cipher, begun, pieces)
