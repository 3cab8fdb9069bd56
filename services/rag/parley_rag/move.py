"""`python -m parley_rag.move --from PLACE --to PLACE`: all vectors from one store to another.

The service must not run. What was moved is noted beside the data, so that a stopped run goes on where it was
unless the service was started in between: it changes what is to be moved.
Each line of the output is a JSON object: `moved` and `total` on the way, last `is_done`, or `error`.
"""

import argparse
import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from parley_contracts.errors import ParleyError

from parley_rag.index_places import EMBEDDED, embedded_folder, open_place, place_of
from parley_rag.settings import RagSettings
from parley_rag.vectors import VectorIndex

_PAGE = 500
_PAGES_A_NOTE = 10  # a note needs everything before it on disk
Tell = Callable[[int, int], None]


class MoveRefused(Exception):
    """The move cannot be made; the text says why."""


@dataclass(frozen=True, slots=True)
class _Note:
    """How far a move is."""

    source: str
    target: str
    cursor: str | None = None
    moved: int = 0


async def move_passages(
    source: VectorIndex, target: VectorIndex, between: tuple[str, str], note_path: Path, tell: Tell
) -> int:
    """Put all passages of one index into another and return how many; `between` names both."""
    if source.made_anew:
        raise MoveRefused(f"There are no vectors in {between[0]}.")
    total = await source.total()
    note = _read_note(note_path)
    if note is None or (note.source, note.target) != between:
        if await target.total():
            raise MoveRefused(f"There are vectors in {between[1]} already.")
        note = _Note(*between)
        _write_note(note_path, note)
    cursor, moved = note.cursor, note.moved
    for number in range(1, total + 2):  # a page has one passage at least
        passages, cursor = await source.page(cursor, _PAGE)
        await target.put(passages)
        moved += len(passages)
        if cursor is None:
            break
        if number % _PAGES_A_NOTE == 0:
            await target.flush()
            _write_note(note_path, _Note(*between, cursor, moved))
            tell(moved, total)
    await target.flush()
    if (found := await target.total()) == total:
        await target.settle()
    await asyncio.to_thread(note_path.unlink)
    if found != total:
        raise MoveRefused(
            f"{between[0]} holds {total} passages, but {between[1]} {found}: empty it and move again."
        )
    tell(total, total)
    return total


async def settle_index(
    index: VectorIndex, settings: RagSettings, index_all_again: Callable[[], Awaitable[None]]
) -> None:
    """Have everything indexed again if the index was made anew, or a stopped move has filled a part of it."""
    note_path = _note_path(settings)
    note = _read_note(note_path)
    if index.made_anew or (note and note.source != place_of(settings)):
        await index_all_again()
        await index.settle()
    await asyncio.to_thread(note_path.unlink, missing_ok=True)


def _note_path(settings: RagSettings) -> Path:
    return embedded_folder(settings).with_name("move.json")


def _read_note(path: Path) -> _Note | None:
    """Return how far a move is; None when there is none that was begun."""
    try:
        return _Note(**json.loads(path.read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def _write_note(path: Path, note: _Note) -> None:
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps(asdict(note)))
    draft.replace(path)


async def _move(source: str, target: str, settings: RagSettings) -> int:
    if source == target:
        raise MoveRefused(f"The vectors are in {target} already.")
    folder = embedded_folder(settings)
    if source == EMBEDDED and not folder.exists():
        raise MoveRefused(f"There are no vectors in {folder}.")
    note_path = _note_path(settings)
    note_path.parent.mkdir(parents=True, exist_ok=True)
    async with open_place(source, settings) as old, open_place(target, settings) as new:
        return await move_passages(
            old, new, (source, target), note_path, lambda moved, total: _say(moved=moved, total=total)
        )


def _say(**fields: object) -> None:
    sys.stdout.write(json.dumps(fields) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Move as the command line says; the exit code is 0 when everything is there."""
    settings = RagSettings()
    parser = argparse.ArgumentParser(prog="parley_rag.move", description="Move all vectors to another store.")
    parser.add_argument("--from", dest="source", default=place_of(settings))
    parser.add_argument("--to", dest="target", required=True)
    arguments = parser.parse_args()
    try:
        total = asyncio.run(_move(arguments.source, arguments.target, settings))
    except (MoveRefused, ParleyError) as error:
        _say(error=str(error))
        sys.exit(1)
    kept = str(embedded_folder(settings)) if arguments.source == EMBEDDED else arguments.source
    _say(is_done=True, total=total, source=arguments.source, target=arguments.target, kept=kept)


if __name__ == "__main__":
    main()
