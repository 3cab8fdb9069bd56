"""Tells whoever watches a document how it stands after each change."""

import logging
import time
from typing import Protocol

from parley_contracts import subjects
from parley_contracts.errors import ParleyError
from parley_contracts.model import WireModel
from parley_contracts.notices import DocumentFailed
from parley_contracts.rag import Document, DocumentChanged

from parley_rag.documents import Documents

_log = logging.getLogger("parley.rag")


class Publishing(Protocol):
    """The part of the bus that publishes core messages and events."""

    async def publish(self, subject: str, data: bytes, *, reply: str = "") -> None: ...

    async def publish_event(self, subject: str, event: WireModel, *, message_id: str) -> None: ...


class Progress:
    """Publishes whole documents: a watcher that missed one knows all with the next."""

    def __init__(self, documents: Documents, bus: Publishing) -> None:
        self._documents = documents
        self._bus = bus

    async def tell(self, owner_id: str, document_id: str) -> None:
        """Publish a document as it stands; one that is gone is told by its absence."""
        try:
            document = await self._documents.read(owner_id, document_id)
        except ParleyError:
            return
        await self.tell_of(document)

    async def tell_of(self, document: Document) -> None:
        """Publish a document that was just read."""
        data = DocumentChanged(document=document).model_dump_json(exclude_none=True).encode()
        try:
            await self._bus.publish(subjects.ingest_events(document.id), data)
        except Exception:  # noqa: BLE001 - watchers read the row from time to time; the job goes on without them
            _log.warning("progress not told", extra={"document_id": document.id}, exc_info=True)

    async def tell_failure(self, owner_id: str, document_id: str) -> None:
        """Have the owner told that a document failed, also when he does not watch it."""
        at_ms = time.time_ns() // 1_000_000
        event = DocumentFailed(owner_id=owner_id, document_id=document_id, failed_at_ms=at_ms)
        try:
            await self._bus.publish_event(
                subjects.DOCUMENT_FAILED, event, message_id=f"{document_id}-{at_ms}:failed"
            )
        except Exception:  # noqa: BLE001 - the row says that it failed; the job is done without the notice
            _log.warning("failure not told", extra={"document_id": document_id}, exc_info=True)
