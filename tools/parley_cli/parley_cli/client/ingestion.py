"""Uploads files and follows each until it can be searched, a few at a time."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from parley_contracts.rag import Document, DocumentStatus

from parley_cli.client.gateway import Gateway
from parley_cli.client.sources import Source
from parley_cli.exits import CliError, ExitCode

AT_ONCE = 4
FIRST_POLL_S = 0.1
LONGEST_POLL_S = 2.0
STALLED_S = 600.0


class Progress(Protocol):
    """Hears how far each file is."""

    def uploading(self, source: Source, sent_bytes: int) -> None: ...

    def ingesting(self, source: Source, document: Document) -> None: ...

    def finished(self, result: "Result") -> None: ...


@dataclass(frozen=True)
class Result:
    """What became of a file."""

    source: Source
    document: Document | None
    error: str | None

    @property
    def remark(self) -> str | None:
        """What is to be said of a document that is ready: which files of an archive are not, say."""
        return self.document.error if self.document and not self.error else None

    def as_json(self) -> dict[str, Any]:
        return {
            "file": str(self.source.path),
            "name": self.source.name,
            "document_id": self.document.id if self.document else None,
            "status": "failed" if self.error else "ready",
            "pages": self.document.pages if self.document else None,
            "chunks": self.document.chunks if self.document else 0,
            "members": self.document.members if self.document else None,
            "remark": self.remark,
            "error": self.error,
        }


async def _until_done(gateway: Gateway, source: Source, document: Document, progress: Progress) -> Document:
    """Poll with back-off, which starts again when the document moves; CliError when it stands still."""
    interval_s = FIRST_POLL_S
    still_s = 0.0
    while document.status in (DocumentStatus.QUEUED, DocumentStatus.INGESTING):
        progress.ingesting(source, document)
        await asyncio.sleep(interval_s)
        newer = await gateway.document(document.id)
        still_s = still_s + interval_s if newer == document else 0.0
        interval_s = FIRST_POLL_S * 2 if newer != document else min(interval_s * 1.5, LONGEST_POLL_S)
        if still_s > STALLED_S:
            raise CliError(f"no progress for {STALLED_S:g} s", code="timeout")
        document = newer
    return document


async def _ingest_one(gateway: Gateway, source: Source, collection: str, progress: Progress) -> Result:
    def count(sent_bytes: int) -> None:
        progress.uploading(source, sent_bytes)

    try:
        document = await gateway.upload(source.path, source.name, collection, count)
        document = await _until_done(gateway, source, document, progress)
    except CliError as error:
        if error.exit_code is ExitCode.NOT_RUNNING or error.code == "unauthenticated":
            raise
        return Result(source, None, error.message)
    except OSError as error:
        return Result(source, None, f"cannot be read: {error.strerror}")
    if document.status is DocumentStatus.READY:
        return Result(source, document, None)
    return Result(source, document, document.error or f"{document.status} without a reason")


async def ingest_all(
    gateway: Gateway, sources: Iterable[Source], collection: str, progress: Progress
) -> list[Result]:
    """Return a result for each file, in their order. CliError when the stack cannot be used at all."""
    slots = asyncio.Semaphore(AT_ONCE)

    async def one(source: Source) -> Result:
        async with slots:
            result = await _ingest_one(gateway, source, collection, progress)
        progress.finished(result)
        return result

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(source)) for source in sources]
    except* CliError as errors:
        first: BaseException = errors
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        raise first from None
    return [task.result() for task in tasks]
