"""`python -m benchmarks.folder`: a folder of documents of all kinds, ingested quietly and with a kill of rag.

Both runs have a stack of their own and the same files. After the kill the same passages have to be there.
"""

import argparse
import asyncio
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx
import uvloop
from parley_rag.settings import RagSettings

from benchmarks.folder_files import write_folder
from benchmarks.processes import tree_memory_kib
from benchmarks.retrieval_stack import keep, list_documents, open_client, open_retrieval_stack, upload_all
from benchmarks.table import print_table, tell
from tests.integration.ingested import Passage, indexed_passages, per_document, stored_passages
from tests.integration.stack import Stack

COLLECTION = "folder"
FILES, QUICK_FILES = 1000, 60
LEGEND = """\
documents: files, and what is attached to the e-mails among them. documents/s and chunks/s: from the first
upload until the last document is through, reading and embedding included. peak RSS and PSS: rag with its
children (the index, the processes that read files), every 0.5 s; PSS counts shared memory once.
killed: kill -9 of rag and its children when a third of the files were ready, and a restart at once.
same passages: name, ordinal, start, end and text hash of every passage are those of the quiet run.
index: it holds each of them once."""
SLOTS = RagSettings.model_fields["rag_ingest_slots"].default
_SAMPLE_S = 0.5
_ASK_AGAIN_S = 0.5
_TELL_S = 15.0
_INGEST_S = 7200.0
_OVER = ("ready", "failed", "cancelled")


@dataclass(slots=True)
class Peak:
    """The highest memory of rag and its children, in KiB."""

    rss: int = 0
    pss: int = 0


@dataclass(frozen=True, slots=True)
class Run:
    """What a run took and left."""

    took_s: float
    documents: int
    failed: dict[str, str]
    passages: Counter[Passage]
    indexed: Counter[str]
    peak: Peak
    killed_at: int | None


async def _watch_memory(stack: Stack, peak: Peak) -> None:
    while True:
        with suppress(RuntimeError):
            now = await asyncio.to_thread(tree_memory_kib, stack.processes["rag"].pid)
            peak.rss, peak.pss = max(peak.rss, now["rss"]), max(peak.pss, now["pss"])
        await asyncio.sleep(_SAMPLE_S)


async def _follow(
    stack: Stack, client: httpx.AsyncClient, uploading: asyncio.Task[None], kill_at: int | None
) -> tuple[list[dict[str, Any]], int | None]:
    """Return the documents when all are through, and at how many ready ones rag was killed."""
    killed_at: int | None = None
    told_s = time.monotonic()
    async with asyncio.timeout(_INGEST_S):
        while True:
            found = await list_documents(client, COLLECTION)
            states = Counter(document["status"] for document in found)
            if kill_at is not None and killed_at is None and states["ready"] >= kill_at:
                killed_at = states["ready"]
                tell(f"kill -9 of rag at {killed_at} ready documents")
                await stack.processes["rag"].kill()
                await stack.start("rag")
            if uploading.done() and sum(states[one] for one in _OVER) == len(found):
                return found, killed_at
            if time.monotonic() - told_s > _TELL_S:
                told_s = time.monotonic()
                tell(f"{states['ready']} of {len(found)} documents are ready")
            await asyncio.sleep(_ASK_AGAIN_S)


async def _run(files: Mapping[str, bytes], slots: int, *, kill_at: int | None) -> Run:
    peak = Peak()
    async with open_retrieval_stack({"PARLEY_RAG_INGEST_SLOTS": str(slots)}) as stack:
        async with asyncio.TaskGroup() as tasks:
            watching = tasks.create_task(_watch_memory(stack, peak))
            async with open_client(stack) as client:
                began_s = time.monotonic()
                uploading = tasks.create_task(upload_all(client, files, COLLECTION))
                found, killed_at = await _follow(stack, client, uploading, kill_at)
                took_s = time.monotonic() - began_s
            watching.cancel()
        async with stack.without("rag"):
            passages = stored_passages(stack.tables, COLLECTION)
            indexed = (await indexed_passages(stack.tables)).get(COLLECTION, Counter())
    failed = {one["name"]: one["error"] for one in found if one["status"] != "ready"}
    return Run(took_s, len(found), failed, passages, indexed, peak, killed_at)


def _row(name: str, run: Run, quiet: Run) -> dict[str, Any]:
    chunks = run.passages.total()
    is_whole = run.indexed == per_document(run.passages) and max(run.passages.values(), default=0) == 1
    return {
        "run": name,
        "documents": run.documents,
        "not ready": len(run.failed),
        "chunks": chunks,
        "took s": round(run.took_s, 1),
        "documents/s": round(run.documents / run.took_s, 2),
        "chunks/s": round(chunks / run.took_s, 1),
        "peak RSS MiB": run.peak.rss >> 10,
        "peak PSS MiB": run.peak.pss >> 10,
        "killed at": run.killed_at,
        "same passages": "yes" if run.passages == quiet.passages else "NO",
        "index": "whole" if is_whole else "NOT WHOLE",
    }


async def _main(count: int, slots: int) -> None:
    with tempfile.TemporaryDirectory(prefix="parley-folder-") as folder:
        root = Path(folder)
        paths = await asyncio.to_thread(write_folder, root, count)
        files = {str(path.relative_to(root)): path.read_bytes() for path in paths}
    tell(f"{len(files)} files, {sum(map(len, files.values())) >> 10} KiB")
    quiet = await _run(files, slots, kill_at=None)
    killed = await _run(files, slots, kill_at=max(1, count // 3))
    rows = [_row("quiet", quiet, quiet), _row("killed", killed, quiet)]
    print_table(f"A mixed folder, {slots} ingested at the same time", rows)
    print(LEGEND)
    for name, error in sorted((quiet.failed | killed.failed).items()):
        print(f"not ready: {name}: {error}")
    kept = keep(
        "folder", {"slots": slots, "rows": rows, "peaks_kib": [asdict(run.peak) for run in (quiet, killed)]}
    )
    tell(f"kept in {kept}")


def main() -> None:
    """Run as told by the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_FILES} files")
    parser.add_argument("--files", type=int, default=None, help=f"how many; {FILES} by default")
    parser.add_argument(
        "--slots", type=int, default=SLOTS, help=f"ingested at the same time; {SLOTS} by default"
    )
    options = parser.parse_args()
    uvloop.run(_main(options.files or (QUICK_FILES if options.quick else FILES), options.slots))


if __name__ == "__main__":
    main()
