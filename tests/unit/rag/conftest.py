"""The rag service's parts over a memory bus, a memory index and SQLite and PostgreSQL."""

import asyncio
import shutil
from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import pytest
from parley_contracts import subjects
from parley_contracts.npu import Embed
from parley_messaging.memory_bus import MemoryBus
from parley_rag.assembly import assemble
from parley_rag.backends.memory import MemoryIndex
from parley_rag.database import Database, open_database
from parley_rag.measures import Measures
from parley_rag.settings import RagSettings
from prometheus_client import CollectorRegistry

from tests.fakes.data_keys import FakeDataKeys
from tests.fakes.embedding import FakeNpu
from tests.postgres import empty_database
from tests.tested_databases import store_params
from tests.unit.rag.library import Library


async def _make_tables(url: str | None, folder: Path) -> None:
    async with open_database(url, folder):
        pass


@pytest.fixture(scope="session")
def rag_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with the empty tables of rag, to be copied: making them takes longer than most tests."""
    folder = tmp_path_factory.mktemp("rag")
    asyncio.run(_make_tables(None, folder))
    return folder / "rag.sqlite"


@pytest.fixture(scope="session")
def rag_template(postgres_url: str) -> Generator[str]:
    """The name of a PostgreSQL database with the empty tables of rag."""
    with empty_database(postgres_url) as address:
        asyncio.run(_make_tables(address, Path()))
        yield address.rpartition("/")[2]


@pytest.fixture(params=store_params())
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[str | None]:
    """The address of a database with empty tables."""
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("rag_file"), tmp_path)
        yield None
        return
    server: str = request.getfixturevalue("postgres_url")
    with empty_database(server, like=request.getfixturevalue("rag_template")) as url:
        yield url


@pytest.fixture
async def database(database_url: str | None, tmp_path: Path) -> AsyncGenerator[Database, None]:
    async with open_database(database_url, tmp_path) as opened:
        yield opened


@pytest.fixture
def settings(tmp_path: Path) -> RagSettings:
    return RagSettings(data_dir=tmp_path, rag_embed_budget_s=0.2)


@pytest.fixture
def library(database: Database, settings: RagSettings) -> Library:
    bus, index, npu, registry = MemoryBus(), MemoryIndex(), FakeNpu(), CollectorRegistry()
    bus.answer(subjects.NPU_EMBED, Embed, npu.embed)
    data_keys = FakeDataKeys().on(bus)
    parts = assemble(database, index, bus, settings, Measures(registry))
    return Library(
        bus=bus, database=database, index=index, npu=npu, parts=parts, registry=registry, data_keys=data_keys
    )
