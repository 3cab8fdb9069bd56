"""The rag service's parts over a memory bus, a memory index and SQLite and PostgreSQL."""

from collections.abc import AsyncGenerator
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
from tests.unit.rag.library import Library


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
