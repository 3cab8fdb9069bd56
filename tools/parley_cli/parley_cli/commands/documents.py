"""Commands `ingest` and `search`: documents in and passages out."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer
from parley_contracts.citations import Passage
from parley_contracts.rag import Document
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from parley_cli.client.access import find_access
from parley_cli.client.gateway import Gateway
from parley_cli.client.ingestion import Result, ingest_all
from parley_cli.client.sources import Source, find_sources
from parley_cli.commands.options import AsJson
from parley_cli.exits import CliError, ExitCode
from parley_cli.output import Output, command
from parley_cli.settings import read_settings

NAME_WIDTH = 40
EXCERPT_CHARS = 300


class IngestBars:
    """A bar for all files and one for each that is on its way."""

    def __init__(self, bars: Progress, total: int) -> None:
        self._bars = bars
        self._all = bars.add_task("all files", total=total)
        self._rows: dict[Source, TaskID] = {}

    def _row(self, source: Source) -> TaskID:
        if source not in self._rows:
            self._rows[source] = self._bars.add_task(escape(source.name[-NAME_WIDTH:]), total=None)
        return self._rows[source]

    def uploading(self, source: Source, sent_bytes: int) -> None:
        total = source.path.stat().st_size
        self._bars.update(self._row(source), completed=sent_bytes, total=total)

    def ingesting(self, source: Source, document: Document) -> None:
        self._bars.update(self._row(source), completed=document.chunks_done, total=document.chunks or None)

    def finished(self, result: Result) -> None:
        self._bars.remove_task(self._row(result.source))
        self._bars.advance(self._all)


def _bars(output: Output) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=output.remarks,
        transient=True,
        disable=output.is_json or not output.remarks.is_terminal,
    )


async def _ingest(sources: list[Source], collection: str, output: Output) -> list[Result]:
    async with Gateway(find_access(read_settings())) as gateway:
        with _bars(output) as bars:
            return await ingest_all(gateway, sources, collection, IngestBars(bars, len(sources)))


@command
def ingest(
    paths: Annotated[list[Path], typer.Argument(help="Files, and folders with everything in them.")],
    collection: Annotated[str, typer.Option("--collection", "-c", help="Where they go.")] = "default",
    as_json: AsJson = False,
) -> None:
    """Upload documents (text, Markdown, HTML, PDF) and wait until they can be searched."""
    output = Output(is_json=as_json)
    sources = find_sources(paths)
    if not sources:
        raise CliError(
            "There is no document that can be read in there.", ExitCode.NOT_FOUND, code="not_found"
        )
    results = asyncio.run(_ingest(sources, collection, output))
    failed = [result for result in results if result.error]
    chunks = sum(result.document.chunks for result in results if result.document and not result.error)
    output.data({"collection": collection, "documents": [result.as_json() for result in results]})
    done = f"{len(results) - len(failed)} of {len(results)} documents"
    output.show(f"{done} are in {escape(collection)} ({chunks} passages).")
    for result in failed:
        output.show(f"  [red]failed[/] {escape(result.source.name)}: {escape(result.error or '')}")
    if failed:
        raise typer.Exit(ExitCode.FAILED)


async def _search(text: str, collection: str | None, limit: int) -> list[Passage]:
    async with Gateway(find_access(read_settings())) as gateway:
        return await gateway.search(text, collection, limit)


def _show_passage(output: Output, rank: int, passage: Passage) -> None:
    place = f"page {passage.page}" if passage.page is not None else (passage.heading or "")
    excerpt = " ".join(passage.text.split())
    shown = excerpt[:EXCERPT_CHARS] + ("…" if len(excerpt) > EXCERPT_CHARS else "")
    output.show(
        f"[bold]{rank}. {escape(passage.document.name)}[/] [dim]{escape(place)}  {passage.score:.3f}[/]"
    )
    output.show(f"   {escape(shown)}\n")


@command
def search(
    text: Annotated[str, typer.Argument(help="What to look for.")],
    collection: Annotated[str | None, typer.Option("--collection", "-c", help="Only in this one.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=100, help="How many passages.")] = 8,
    as_json: AsJson = False,
) -> None:
    """Search the documents. Exit code 4 when there is no result."""
    output = Output(is_json=as_json)
    if not text.strip():
        raise CliError("There is nothing to look for: the text is empty.", ExitCode.USAGE, code="usage")
    results = asyncio.run(_search(text, collection, limit))
    output.data({"results": [passage.model_dump(mode="json") for passage in results]})
    for rank, passage in enumerate(results, start=1):
        _show_passage(output, rank, passage)
    if not results:
        output.show("Nothing was found.")
        raise typer.Exit(ExitCode.NOT_FOUND)
