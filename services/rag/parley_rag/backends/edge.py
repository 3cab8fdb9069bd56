"""A vector index in a child process of our own: no server needed, and the event loop never waits for it."""

import asyncio
import logging
import marshal
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from parley_contracts.errors import ErrorCode, ParleyError

from parley_rag.backends.edge_pipe import LENGTH, framed
from parley_rag.backends.edge_shard import StoredPassage
from parley_rag.backends.edge_store import Growth, State
from parley_rag.vectors import Candidate, IndexedPassage, Scope
from parley_rag.words import Terms

_log = logging.getLogger("parley.rag")
_CLOSE_S = 10.0
_PUT = 1_000  # passages written at a time: no search is answered meanwhile
_IDLE_S = 20.0  # after which the child indexes what is left
_CHECK_S = 1.5
_READ_S = 1.0  # in which an answer is read that has been waiting in the pipe


@dataclass(frozen=True, slots=True)
class Patience:
    """How long the child may be silent while it is asked, before it counts as hung."""

    start_s: float = 90.0  # it may have to wait for another run to let go of the index
    read_s: float = 20.0
    write_s: float = 120.0


class _ChildDied(Exception):
    """The child ended while it was being asked."""


class _ChildHung(Exception):
    """The child has been silent for longer than is bearable."""


class _Child:
    """One run of the child: numbered requests out, replies in the same order back."""

    def __init__(self, process: asyncio.subprocess.Process, start_s: float) -> None:
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("the child was started without pipes")
        self.process = process
        self._out, self._in = process.stdin, process.stdout
        self._number = 0
        self._length: int | None = None  # of the frame that is being read
        # When it has to be heard of again. It outlives askers: their deadlines are shorter than its patience.
        self._due_s: float | None = _now_s() + start_s

    @property
    def is_alive(self) -> bool:
        return self.process.returncode is None and not self._in.at_eof()

    async def ask(self, patience_s: float, operation: str, *arguments: Any) -> Any:
        """Return the child's answer, skipping answers whose askers have gone."""
        self._number += 1
        if self._due_s is None:
            self._due_s = _now_s() + patience_s
        try:
            async with asyncio.timeout_at(max(self._due_s, _now_s() + min(_READ_S, patience_s))) as limit:
                # Not drained: a child that writes an answer nobody has read takes nothing until it is.
                self._out.write(framed((self._number, operation, *arguments)))
                succeeded, result = await self._answer(patience_s, limit)
        except TimeoutError as error:
            raise _ChildHung from error
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise _ChildDied from error
        if not succeeded:
            _log.error("vector index refused", extra={"operation": operation, "reason": result})
            raise ParleyError(ErrorCode.INTERNAL, "The search index could not do that.")
        return result

    async def _answer(self, patience_s: float, limit: asyncio.Timeout) -> tuple[bool, Any]:
        """Return the answer to the last request; every sign of life moves the limit."""
        while True:
            number, succeeded, result = marshal.loads(await self._frame())
            if number == self._number:
                self._due_s = None
                return succeeded, result
            self._due_s = _now_s() + patience_s
            limit.reschedule(self._due_s)

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
            await self.kill()

    async def kill(self) -> None:
        """End it at once; what it had written is in its log."""
        with suppress(ProcessLookupError):
            self.process.kill()
        try:
            async with asyncio.timeout(_CLOSE_S):
                await self.process.wait()
        except TimeoutError:  # a disk that does not answer holds it; the next run waits for its lock
            _log.warning("vector index process does not end")


def _now_s() -> float:
    return asyncio.get_running_loop().time()


class EdgeIndex:
    """Speaks to the child, one question at a time, and starts it anew when it died or hung."""

    def __init__(
        self, path: Path, dimensions: int, patience: Patience, idle_s: float, growth: Growth
    ) -> None:
        self.made_anew = False
        self._command = (
            *(sys.executable, "-m", "parley_rag.backends.edge_process"),
            *(str(path), str(dimensions), str(idle_s)),
            *map(str, (growth.written, growth.idle, growth.largest)),
        )
        self._patience = patience
        self._turn = asyncio.Lock()
        self._child: _Child | None = None

    async def _read(self, operation: str, *arguments: Any) -> Any:
        return await self._ask(self._patience.read_s, operation, *arguments)

    async def _write(self, operation: str, *arguments: Any) -> Any:
        return await self._ask(self._patience.write_s, operation, *arguments)

    async def _ask(self, patience_s: float, operation: str, *arguments: Any) -> Any:
        """Ask the child; every operation may be repeated, so one death in between goes unnoticed."""
        async with self._turn:
            try:
                return await self._ask_once(patience_s, operation, *arguments)
            except _ChildDied:
                _log.warning("vector index process died; starting it anew")
            try:
                return await self._ask_once(patience_s, operation, *arguments)
            except _ChildDied as error:
                raise ParleyError(ErrorCode.UNAVAILABLE, "The search index cannot be started.") from error

    async def _ask_once(self, patience_s: float, operation: str, *arguments: Any) -> Any:
        child = await self._living()
        try:
            return await child.ask(patience_s, operation, *arguments)
        except _ChildHung as error:
            _log.warning("vector index process hangs; ending it", extra={"operation": operation})
            self._child = None
            await child.kill()
            raise ParleyError(ErrorCode.UNAVAILABLE, "The search index does not answer.") from error

    async def _living(self) -> _Child:
        if self._child is not None and not self._child.is_alive:
            child, self._child = self._child, None
            await child.close()
        if self._child is None:
            self._child = _Child(
                await asyncio.create_subprocess_exec(
                    *self._command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
                ),
                self._patience.start_s,
            )
        return self._child

    async def put(self, passages: Sequence[IndexedPassage]) -> None:
        for at in range(0, len(passages), _PUT):
            await self._write("put", [_stored(passage) for passage in passages[at : at + _PUT]])

    async def search(
        self, terms: Terms, vector: bytes | None, scope: Scope, limit: int
    ) -> tuple[Candidate, ...]:
        inside = (
            *(scope.owner_id, scope.collections, scope.document_ids, scope.hidden_document_ids),
            *(scope.content_types, scope.dated_from_ms, scope.dated_before_ms),
        )
        return tuple(Candidate(*found) for found in await self._read("search", terms, vector, inside, limit))

    async def vectors(self, ids: Sequence[str]) -> dict[str, bytes]:
        return await self._read("vectors", list(ids))

    async def remove_document(self, owner_id: str, document_id: str) -> None:
        await self._write("remove", owner_id, document_id)

    async def count(self, owner_id: str, document_id: str) -> int:
        return await self._read("count", owner_id, document_id)

    async def flush(self) -> None:
        await self._write("flush")

    async def total(self) -> int:
        return (await self.state())["passages"]

    async def page(self, cursor: str | None, limit: int) -> tuple[tuple[IndexedPassage, ...], str | None]:
        passages, following = await self._read("page", cursor, limit)
        return tuple(IndexedPassage(*passage) for passage in passages), following

    async def settle(self) -> None:
        await self._write("settle")
        self.made_anew = False

    async def state(self) -> State:
        """Return how many passages and shards there are, and how many of them are not indexed yet."""
        return await self._read("state")

    async def start(self) -> None:
        """Start the child and wait for its first answer."""
        self.made_anew = await self._read("is_new")

    async def check(self) -> None:
        """Raise when the child cannot be started or does not answer; one that is asked is let be."""
        if self._turn.locked():
            return
        try:
            async with asyncio.timeout(_CHECK_S):
                await self._read("check")
        except TimeoutError as error:
            raise ParleyError(ErrorCode.UNAVAILABLE, "The search index does not answer.") from error

    async def close(self) -> None:
        """Let the child write everything and end."""
        async with self._turn:
            if self._child is not None:
                await self._child.close()
                self._child = None


def _stored(passage: IndexedPassage) -> StoredPassage:
    return (
        *(passage.id, passage.owner_id, passage.collection, passage.document_id),
        *(passage.content_type, passage.dated_ms, passage.vector, passage.terms),
    )


@asynccontextmanager
async def open_edge(
    path: Path,
    dimensions: int,
    patience: Patience | None = None,
    *,
    idle_s: float = _IDLE_S,
    growth: Growth | None = None,
) -> AsyncGenerator[EdgeIndex, None]:
    """Yield the index at `path`; `made_anew` says that it was made empty, until `settle` is called."""
    index = EdgeIndex(path, dimensions, patience or Patience(), idle_s, growth or Growth())
    try:
        await index.start()
        yield index
    finally:
        await index.close()
