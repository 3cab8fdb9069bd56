"""A vector index in a child process of our own: no server needed, and the event loop never waits for it."""

import asyncio
import logging
import marshal
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from parley_contracts.errors import ErrorCode, ParleyError

from parley_rag.backends.edge_shard_protocol import LENGTH
from parley_rag.vectors import Candidate, IndexedPassage, Scope

_log = logging.getLogger("parley.rag")
_CLOSE_S = 10.0


class _ChildDied(Exception):
    """The child ended while it was being asked."""


class _Child:
    """One run of the child: numbered requests out, replies in the same order back."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("the child was started without pipes")
        self.process = process
        self._out, self._in = process.stdin, process.stdout
        self._number = 0
        self._length: int | None = None  # of the frame that is being read

    @property
    def is_alive(self) -> bool:
        return self.process.returncode is None and not self._in.at_eof()

    async def ask(self, operation: str, *arguments: Any) -> Any:
        """Return the child's answer, skipping answers whose askers have gone."""
        self._number += 1
        body = marshal.dumps((self._number, operation, *arguments))
        try:
            self._out.write(LENGTH.pack(len(body)) + body)
            await self._out.drain()
            while True:
                number, succeeded, result = marshal.loads(await self._frame())
                if number == self._number:
                    break
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise _ChildDied from error
        if not succeeded:
            _log.error("vector index refused", extra={"operation": operation, "reason": result})
            raise ParleyError(ErrorCode.INTERNAL, "The search index could not do that.")
        return result

    async def _frame(self) -> bytes:
        """Read a frame; being cancelled half-way leaves the pipe where it can be read on."""
        if self._length is None:
            self._length = int(LENGTH.unpack(await self._in.readexactly(LENGTH.size))[0])
        body = await self._in.readexactly(self._length)
        self._length = None
        return body

    async def close(self) -> None:
        self._out.close()
        try:
            async with asyncio.timeout(_CLOSE_S):
                await self.process.wait()
        except TimeoutError:
            self.process.kill()
            await self.process.wait()


class EdgeIndex:
    """Speaks to the child, one question at a time, and starts it anew when it died."""

    def __init__(self, path: Path, dimensions: int, language: str) -> None:
        self._command = (
            *(sys.executable, "-m", "parley_rag.backends.edge_shard"),
            *(str(path), str(dimensions), language),
        )
        self._turn = asyncio.Lock()
        self._child: _Child | None = None

    @property
    def child_pid(self) -> int | None:
        """The child's process id, while there is one."""
        return self._child.process.pid if self._child else None

    async def _ask(self, operation: str, *arguments: Any) -> Any:
        """Ask the child; every operation may be repeated, so one death in between goes unnoticed."""
        async with self._turn:
            try:
                return await (await self._living()).ask(operation, *arguments)
            except _ChildDied:
                _log.warning("vector index process died; starting it anew")
            try:
                return await (await self._living()).ask(operation, *arguments)
            except _ChildDied as error:
                raise ParleyError(ErrorCode.UNAVAILABLE, "The search index cannot be started.") from error

    async def _living(self) -> _Child:
        if self._child is not None and not self._child.is_alive:
            child, self._child = self._child, None
            await child.close()
        if self._child is None:
            self._child = _Child(
                await asyncio.create_subprocess_exec(
                    *self._command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
                )
            )
        return self._child

    async def put(self, passages: Sequence[IndexedPassage]) -> None:
        await self._ask(
            "put",
            [
                (item.id, item.owner_id, item.collection, item.document_id, item.vector, item.words)
                for item in passages
            ],
        )

    async def search(
        self, words: str, vector: bytes | None, scope: Scope, limit: int
    ) -> tuple[Candidate, ...]:
        inside = (scope.owner_id, scope.collections, scope.document_ids, scope.hidden_document_ids)
        return tuple(Candidate(*found) for found in await self._ask("search", words, vector, inside, limit))

    async def remove_document(self, owner_id: str, document_id: str) -> None:
        await self._ask("remove", owner_id, document_id)

    async def count(self, owner_id: str, document_id: str) -> int:
        return await self._ask("count", owner_id, document_id)

    async def flush(self) -> None:
        await self._ask("flush")

    async def check(self) -> None:
        """Raise when the child cannot be started; a living one is not asked, so that it gets its rest."""
        if self._child is None or not self._child.is_alive:
            await self._ask("check")

    async def close(self) -> None:
        """Let the child write everything and end."""
        async with self._turn:
            if self._child is not None:
                await self._child.close()
                self._child = None


@asynccontextmanager
async def open_edge(path: Path, dimensions: int, language: str) -> AsyncGenerator[EdgeIndex, None]:
    """Yield the index whose shard is at `path`."""
    index = EdgeIndex(path, dimensions, language)
    try:
        await index.check()
        yield index
    finally:
        await index.close()
