"""What benchmarks of retrieval run on: a stack of its own with documents uploaded as a client does."""

import asyncio
import json
import os
import tempfile
import time
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from benchmarks.table import tell
from tests.conftest import fetched_model
from tests.integration.stack import Stack, open_stack

RESULTS = Path(__file__).parent / "results"
_UPLOADS_AT_ONCE = 4
_ASK_AGAIN_S = 1.0
_TELL_S = 15.0
_INGEST_S = 3600.0
_REQUEST_S = 120.0
_PAGE = 1000


@asynccontextmanager
async def open_retrieval_stack(environment: Mapping[str, str] | None = None) -> AsyncGenerator[Stack]:
    """Run a gateway, npu, rag and their brokers in a folder that is removed afterwards."""
    model_dir = (await asyncio.to_thread(fetched_model)).directory
    with tempfile.TemporaryDirectory(prefix="parley-bench-") as folder:
        async with open_stack(
            Path(folder), model_dir=model_dir, services=("npu", "rag"), environment=environment
        ) as stack:
            yield stack


@asynccontextmanager
async def open_client(stack: Stack) -> AsyncGenerator[httpx.AsyncClient]:
    """Open an HTTP client that is patient."""
    async with httpx.AsyncClient(
        base_url=stack.url(), headers=stack.headers, timeout=_REQUEST_S, trust_env=False
    ) as client:
        yield client


async def ingest(
    client: httpx.AsyncClient, documents: Mapping[str, str | bytes], collection: str
) -> dict[str, Any]:
    """Upload texts or files by name and wait until all are ready; return what it took."""
    began_s = time.monotonic()
    await upload_all(client, documents, collection)
    uploaded_s = time.monotonic() - began_s
    tell(f"{len(documents)} documents uploaded in {uploaded_s:.0f} s")
    chunks = await _all_ready(client, len(documents), collection)
    return {
        "documents": len(documents),
        "chunks": chunks,
        "uploaded_s": round(uploaded_s, 1),
        "ready_s": round(time.monotonic() - began_s, 1),
    }


async def upload_all(
    client: httpx.AsyncClient, documents: Mapping[str, str | bytes], collection: str
) -> None:
    """Upload texts or files by name, a few at the same time."""
    door = asyncio.Semaphore(_UPLOADS_AT_ONCE)

    async def upload(name: str, content: str | bytes) -> None:
        data = content if isinstance(content, bytes) else content.encode()
        file = {"file": (name, data, "application/octet-stream")}
        form = {"collection": collection}
        async with door:
            await _patient(lambda: client.post("/api/documents", files=file, data=form))

    async with asyncio.timeout(_INGEST_S), asyncio.TaskGroup() as tasks:
        for name, content in documents.items():
            tasks.create_task(upload(name, content))


async def _patient(ask: Callable[[], Awaitable[httpx.Response]]) -> dict[str, Any]:
    """Return what is answered; while a part is away, as one that is killed is, ask again."""
    while True:
        answer = await ask()
        if not answer.is_server_error:
            return answer.raise_for_status().json()
        await asyncio.sleep(_ASK_AGAIN_S)


async def _all_ready(client: httpx.AsyncClient, wanted: int, collection: str) -> int:
    """Wait until all documents of a collection are ready; return how many passages they have."""
    told_s = time.monotonic()
    async with asyncio.timeout(_INGEST_S):
        while True:
            documents = await list_documents(client, collection)
            states = Counter(document["status"] for document in documents)
            if failed := next((one for one in documents if one["status"] == "failed"), None):
                raise RuntimeError(f"{failed['name']} could not be read: {failed['error']}")
            if states["ready"] == wanted:
                return sum(document["chunks"] for document in documents)
            if len(documents) != wanted:
                raise RuntimeError(f"{wanted} documents were uploaded, and {len(documents)} are there")
            if time.monotonic() - told_s > _TELL_S:
                told_s = time.monotonic()
                tell(f"{states['ready']} of {wanted} documents are ready")
            await asyncio.sleep(_ASK_AGAIN_S)


async def list_documents(client: httpx.AsyncClient, collection: str) -> list[dict[str, Any]]:
    """Return all documents of a collection."""
    found: list[dict[str, Any]] = []
    query: dict[str, str | int] = {"collection": collection, "limit": _PAGE}
    while True:
        page = await _patient(lambda: client.get("/api/documents", params=query))
        found += page["documents"]
        if not page.get("next_cursor"):
            return found
        query["cursor"] = page["next_cursor"]


async def search(client: httpx.AsyncClient, query: str, **fields: object) -> list[dict[str, Any]]:
    """Return the passages that a search finds; RuntimeError when a part did not take part."""
    answer = await client.post("/api/search", json={"query": query, **fields})
    answer.raise_for_status()
    found = answer.json()
    if found["degraded"]:
        raise RuntimeError(f"a search was made without {', '.join(found['degraded'])}")
    return found["results"]


def keep(name: str, result: Mapping[str, Any]) -> Path:
    """Write a result as JSON and return where."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}-{time.strftime('%Y%m%d-%H%M%S')}.json"
    about = {"at": time.strftime("%Y-%m-%dT%H:%M:%S%z"), "cpus": os.cpu_count()}
    path.write_text(json.dumps({**about, **result}, indent=1), encoding="utf-8")
    return path
