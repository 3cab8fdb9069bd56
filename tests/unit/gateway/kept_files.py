"""The part of memory that keeps attachments, beside scripted neighbours on one bus."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from parley_memory.attachment_shelf import AttachmentBounds
from parley_memory.handlers import bind_attachments
from parley_memory.settings import MemorySettings
from parley_memory.tables import STORE
from parley_messaging import Service
from parley_messaging.memory_bus import MemoryBus

from tests.fakes.data_keys import FakeDataKeys
from tests.unit.memory.stored_turns import Memory, open_memory

BOUNDS = AttachmentBounds(count=100, size_bytes=10**8, lasts_ms=10**6)


@asynccontextmanager
async def keeping_files(
    bus: MemoryBus, folder: Path, *, keys: FakeDataKeys | None = None, bounds: AttachmentBounds = BOUNDS
) -> AsyncGenerator[Memory]:
    """Answer for attachments on a bus, and tell data keys."""
    (keys or FakeDataKeys()).on(bus)
    async with open_memory(STORE.url(None, folder), objects=bus.objects, bounds=bounds) as memory:
        bind_attachments(Service("memory", MemorySettings(data_dir=folder), bus), memory.files)
        yield memory
