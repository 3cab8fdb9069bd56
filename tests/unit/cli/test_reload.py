"""`parley up --reload`: which edit restarts what."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Protocol

import pytest
from parley_cli.supervisor import reload
from parley_cli.supervisor.process_spec import ProcessSpec
from parley_cli.supervisor.supervisor import Supervisor


class Journal(Protocol):
    def lines(self, what: str) -> list[str]: ...


def test_a_library_belongs_to_every_service_and_a_service_to_itself() -> None:
    root = Path("/clone")
    assert reload.package_of(root / "services/rag/parley_rag/chunking.py", root) == "parley_rag"
    assert reload.package_of(root / "libs/messaging/parley_messaging/bus.py", root) is None


async def test_an_edited_source_restarts_its_service_and_no_other(  # noqa: PLR0917 - fixtures
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    spec: Callable[..., ProcessSpec],
    supervisor_of: Callable[..., Supervisor],
    journal: Journal,
    running: Callable[[Supervisor], AbstractAsyncContextManager[asyncio.Task[None]]],
    eventually: Callable[..., Awaitable[None]],
) -> None:
    folders = [tmp_path / "libs", tmp_path / "services"]
    package = tmp_path / "services/rag/parley_rag"
    for folder in (*folders, package):
        folder.mkdir(parents=True, exist_ok=True)
    monkeypatch.setattr(reload, "watched_folders", lambda: (tmp_path, folders))
    supervisor = supervisor_of([spec("rag"), spec("npu")])

    def edit_until_seen() -> bool:
        # The watch begins at some moment after the task: an edit before it is not seen.
        (package / "chunking.py").write_text(f"x = {len(journal.lines('start'))}")
        return journal.lines("start").count("rag") > 1

    async with running(supervisor):
        watching = asyncio.create_task(reload.reload_on_change(supervisor))
        await eventually(edit_until_seen)
        watching.cancel()
        await asyncio.wait({watching})
    assert journal.lines("start").count("npu") == 1
