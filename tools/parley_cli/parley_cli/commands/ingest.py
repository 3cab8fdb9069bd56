"""Command `ingest`: documents in."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer
from parley_contracts.rag import Document
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from parley_cli.client.access import find_access
from parley_cli.client.gateway import Gateway
from parley_cli.client.ingestion import Result, ingest_all
from parley_cli.client.sources import Source, find_sources
from parley_cli.client.terminal_text import told
from parley_cli.commands.options import AsJson
from parley_cli.exits import CliError, ExitCode
from parley_cli.output import Output, command
from parley_cli.settings import read_settings

NAME_WIDTH = 40


class IngestBars:
    """A bar for all files and one for each that is on its way."""

    def __init__(self, bars: Progress, total: int) -> None:
        self._bars = bars
        self._all = bars.add_task("all files", total=total)
        self._rows: dict[Source, TaskID] = {}

    def _row(self, source: Source) -> TaskID:
        if source not in self._rows:
            self._rows[source] = self._bars.add_task(told(source.name[-NAME_WIDTH:]), total=None)
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
    """Upload documents (text, PDF, office files, e-mail, archives) and wait until they can be searched."""
    output = Output(is_json=as_json)
    sources = find_sources(paths)
    if not sources:
        raise CliError(
            "There is no document that can be read in there.", ExitCode.NOT_FOUND, code="not_found"
        )
    results = asyncio.run(_ingest(sources, collection, output))
    failed = [result for result in results if result.error]
    ready = [result.document for result in results if result.document and not result.error]
    output.data({"collection": collection, "documents": [result.as_json() for result in results]})
    done = f"{len(results) - len(failed)} of {len(results)} documents"
    sizes = [f"{sum(document.chunks for document in ready)} passages"]
    if members := sum(document.members or 0 for document in ready):
        sizes.append(f"{members} files of archives")
    output.show(f"{done} are in {told(collection)} ({', '.join(sizes)}).")
    for result in results:
        state, words = ("[red]failed[/]", result.error) if result.error else ("ready", result.remark)
        if words:
            output.show(f"  {state} {told(result.source.name)}: {told(words)}")
    if failed:
        raise typer.Exit(ExitCode.FAILED)
