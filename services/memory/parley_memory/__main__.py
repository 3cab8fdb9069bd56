"""Starts the memory service: `python -m parley_memory`."""

from functools import partial

from parley_identity import open_claims
from parley_messaging import Service, run_service
from parley_storage import migrate, open_database

from parley_memory.attachment_shelf import AttachmentBounds, AttachmentShelf
from parley_memory.conversation_shelf import ConversationShelf
from parley_memory.data_rights import DataRights
from parley_memory.handlers import MemoryHandlers, bind, bind_attachments
from parley_memory.history import HistoryReader
from parley_memory.metrics import MemoryMetrics
from parley_memory.outbox import Outbox
from parley_memory.removals import Removals
from parley_memory.settings import MemorySettings
from parley_memory.tables import STORE
from parley_memory.turn_reader import TurnReader
from parley_memory.turn_store import TurnStore


async def compose(service: Service, settings: MemorySettings) -> None:
    """Open the database, bring its tables up to date and answer requests."""
    database = await service.enter(
        open_database(
            STORE,
            STORE.url(settings.database_url, settings.data_dir),
            pool_size=settings.memory_pool_size,
            pool_wait_s=settings.memory_pool_wait_s,
        )
    )
    await migrate(database, start_wait_s=settings.memory_start_wait_s)
    service.check("database", database.check)

    metrics = MemoryMetrics(service.metrics)
    outbox = Outbox(database, service.bus, metrics, sweep_s=settings.memory_sweep_s)
    shelf = ConversationShelf(database, reply_bytes=settings.memory_reply_bytes)
    store, history, turns = TurnStore(database), HistoryReader(database), TurnReader(database)
    handlers = MemoryHandlers(store, history, turns, shelf, outbox=outbox, metrics=metrics)
    removals = Removals(database, service.bus.objects, sweep_s=settings.memory_sweep_s)
    bind(service, handlers, DataRights(database, removals, page_bytes=settings.memory_reply_bytes))
    bind_attachments(service, AttachmentShelf(database, removals, AttachmentBounds.of(settings)))
    service.spawn(removals.run)
    service.spawn(outbox.run)
    service.spawn(partial(metrics.watch_conversations, shelf.count, every_s=settings.memory_sweep_s))


def main() -> None:
    run_service("memory", MemorySettings, compose, claims=open_claims)


if __name__ == "__main__":
    main()
