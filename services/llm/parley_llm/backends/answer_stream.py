"""The bytes of one answer, and its clocks: until the model writes, for its silence, and for the whole."""

import asyncio
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Self

import aiohttp
from parley_contracts.errors import ParleyError

from parley_llm.backends.server_errors import broken_off, late
from parley_llm.language_model import Piece


class AnswerStream:
    """Reads an answer as it comes.

    One timer looks for silence now and then, so that a read costs no timer of its own. Time in which nobody
    reads is no silence of the model.
    """

    def __init__(
        self, content: aiohttp.StreamReader, model: str, *, until_s: float, gap_s: float, ends_s: float
    ) -> None:
        self._content = content
        self._model = model
        self._gap_s = gap_s
        self._until_s = until_s
        self._ends_s = ends_s
        self._is_reading = False
        self._has_begun = False
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_at(min(until_s, ends_s), self._look)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()

    async def read(self) -> bytes:
        """Return what has come, or nothing at the end of the stream. Raises ParleyError."""
        self._is_reading = True
        try:
            return await self._content.readany()
        except TimeoutError as error:
            raise late(self._model) from error
        except (aiohttp.ClientError, OSError) as error:
            raise self.broken_off() from error
        finally:
            self._is_reading = False

    def heard(self, pieces: Iterable[Piece | None]) -> Iterator[Piece]:
        """Yield what is to be shown of what the model has written; its silence counts from each piece."""
        for piece in pieces:
            self._has_begun = True
            if piece is not None:
                yield piece
            self._until_s = self._loop.time() + self._gap_s

    def broken_off(self) -> ParleyError:
        """Return the error of a stream that ends before the answer does."""
        return broken_off(self._model, has_begun=self._has_begun)

    def _look(self) -> None:
        now_s = self._loop.time()
        if not self._is_reading:
            self._until_s = max(self._until_s, now_s + self._gap_s)
        # Also an answer that is never silent ends.
        if now_s >= (until_s := min(self._until_s, self._ends_s)):
            self._content.set_exception(TimeoutError())
        else:
            self._timer = self._loop.call_at(until_s, self._look)
