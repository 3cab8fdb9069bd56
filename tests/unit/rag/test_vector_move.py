"""All vectors from one store to another, with a stop on the way."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from parley_contracts.errors import ErrorCode, ParleyError
from parley_rag.backends.edge import open_edge
from parley_rag.backends.memory import MemoryIndex
from parley_rag.backends.server import open_server
from parley_rag.move import MoveRefused, move_passages, settle_index
from parley_rag.settings import RagSettings
from parley_rag.vectors import IndexedPassage

from tests.fakes.embedding import DIMENSIONS
from tests.fakes.fake_listener import listening
from tests.fakes.qdrant_server import QdrantFake
from tests.unit.rag.test_vector_indexes import many

BETWEEN = ("here", "there")


def silent(moved: int, total: int) -> None:
    """Hear how far a move is."""


class Dying(MemoryIndex):
    """An index that takes so many passages, and then dies."""

    left = 7_000

    async def put(self, passages: Sequence[IndexedPassage]) -> None:
        self.left -= len(passages)
        if self.left < 0:
            raise ParleyError(ErrorCode.UNAVAILABLE, "Gone.")
        await super().put(passages)


async def same(first: MemoryIndex, second: MemoryIndex) -> bool:
    return await first.page(None, 100_000) == await second.page(None, 100_000)


async def test_a_move_that_was_stopped_goes_on_where_it_was(tmp_path: Path) -> None:
    source, target, note = MemoryIndex(), Dying(), tmp_path / "move.json"
    await source.put(many(9_000))
    with pytest.raises(ParleyError):
        await move_passages(source, target, BETWEEN, note, silent)
    assert json.loads(note.read_text())["moved"] == 5_000
    target.left, told = 9_000, list[tuple[int, int]]()

    def tell(moved: int, total: int) -> None:
        told.append((moved, total))

    moved = await move_passages(source, target, BETWEEN, note, tell)
    assert moved == 9_000
    assert target.left == 5_000  # what had been noted was not put again
    assert told == [(9_000, 9_000)]
    assert await same(source, target)
    assert not note.exists()


async def test_a_store_that_holds_something_is_not_moved_into(tmp_path: Path) -> None:
    source, target = MemoryIndex(), MemoryIndex()
    await source.put(many(10))
    await target.put(many(1))
    with pytest.raises(MoveRefused, match="there already"):
        await move_passages(source, target, BETWEEN, tmp_path / "move.json", silent)


async def test_an_index_that_was_made_anew_is_not_moved(tmp_path: Path) -> None:
    source, target = MemoryIndex(), MemoryIndex()
    source.made_anew = target.made_anew = True
    with pytest.raises(MoveRefused, match="no vectors in here"):
        await move_passages(source, target, BETWEEN, tmp_path / "move.json", silent)
    assert target.made_anew  # its documents are still to be indexed


async def test_a_move_that_was_stopped_at_its_very_end_comes_to_it(tmp_path: Path) -> None:
    class Unsettled(MemoryIndex):
        is_dying = True

        async def settle(self) -> None:
            if self.is_dying:
                raise ParleyError(ErrorCode.UNAVAILABLE, "Gone.")
            self.made_anew = False

    source, target, note = MemoryIndex(), Unsettled(), tmp_path / "move.json"
    target.made_anew = True
    await source.put(many(10))
    with pytest.raises(ParleyError, match="Gone"):
        await move_passages(source, target, BETWEEN, note, silent)
    target.is_dying = False
    assert await move_passages(source, target, BETWEEN, note, silent) == 10
    assert not target.made_anew
    assert not note.exists()


async def test_a_move_that_does_not_come_out_even_is_no_success(tmp_path: Path) -> None:
    class Forgetful(MemoryIndex):
        async def put(self, passages: Sequence[IndexedPassage]) -> None:
            await super().put(passages[1:])

    source = MemoryIndex()
    await source.put(many(10))
    with pytest.raises(MoveRefused, match="holds 10 passages, but there 9"):
        await move_passages(source, Forgetful(), BETWEEN, tmp_path / "move.json", silent)


@pytest.mark.parametrize(
    ("place", "made_anew", "is_indexed_again"),
    [("embedded", False, False), ("http://there:6333", False, True), ("embedded", True, True)],
)
async def test_a_start_of_the_service_ends_a_move_that_was_stopped(
    tmp_path: Path, place: str, made_anew: bool, is_indexed_again: bool
) -> None:
    source, target, note = MemoryIndex(), Dying(), tmp_path / "vectors" / "move.json"
    note.parent.mkdir()
    await source.put(many(9_000))
    with pytest.raises(ParleyError):
        await move_passages(source, target, ("embedded", "http://there:6333"), note, silent)
    settings = RagSettings(data_dir=tmp_path, qdrant_url=None if place == "embedded" else place)
    index, asked = MemoryIndex(), list[str]()
    index.made_anew = made_anew

    async def index_all_again() -> None:
        assert note.exists()  # a crash on the way has it done by the next start
        asked.append("again")

    for _ in range(2):
        await settle_index(index, settings, index_all_again)
        index.made_anew = False
    assert asked == ["again"] * is_indexed_again
    assert not note.exists()


def run(data: Path, *words: str) -> tuple[int, dict[str, object]]:
    """Run the module as the command does, and return its exit code and what it said last."""
    ran = subprocess.run(
        [sys.executable, "-m", "parley_rag.move", *words],
        env={"PARLEY_DATA_DIR": str(data)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return ran.returncode, json.loads(ran.stdout.splitlines()[-1])


async def test_the_embedded_store_is_moved_to_a_server_and_back(tmp_path: Path) -> None:
    put = many(700)
    folder = tmp_path / "old" / "vectors" / "rag"
    async with open_edge(folder, DIMENSIONS) as index:
        await index.settle()
        await index.put(put)
    async with listening(QdrantFake().app()) as url:
        code, said = await asyncio.to_thread(run, tmp_path / "old", "--to", url)
        assert (code, said["total"], said["kept"]) == (0, 700, str(folder)), said
        async with open_server(url, "parley_passages", DIMENSIONS) as server:
            assert await server.total() == 700
        code, said = await asyncio.to_thread(run, tmp_path / "old", "--to", url)
        assert (code, said["error"]) == (1, f"There are vectors in {url} already.")
        code, said = await asyncio.to_thread(run, tmp_path / "new", "--from", url, "--to", "embedded")
        assert (code, said["total"], said["kept"]) == (0, 700, url), said
    async with open_edge(tmp_path / "new" / "vectors" / "rag", DIMENSIONS) as index:
        assert not index.made_anew
        got, _ = await index.page(None, 1_000)
        assert [passage.id for passage in got] == sorted(passage.id for passage in put)
