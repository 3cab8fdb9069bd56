"""Command `search`: passages out."""

import asyncio
from typing import Annotated

import typer
from parley_contracts.citations import Passage
from parley_contracts.rag import SearchResults

from parley_cli.client.access import find_access
from parley_cli.client.degraded_words import degraded_words
from parley_cli.client.gateway import Gateway
from parley_cli.client.place_words import place_words
from parley_cli.client.terminal_text import told
from parley_cli.commands.options import AsJson
from parley_cli.exits import CliError, ExitCode
from parley_cli.output import Output, command
from parley_cli.settings import read_settings

EXCERPT_CHARS = 300


async def _search(text: str, collection: str | None, limit: int) -> SearchResults:
    async with Gateway(find_access(read_settings())) as gateway:
        return await gateway.search(text, collection, limit)


def _show_passage(output: Output, rank: int, passage: Passage) -> None:
    excerpt = " ".join(passage.text.split())
    shown = excerpt[:EXCERPT_CHARS] + ("…" if len(excerpt) > EXCERPT_CHARS else "")
    name, place = told(passage.document.name), told(place_words(passage))
    output.show(f"[bold]{rank}. {name}[/] [dim]{place}  {passage.score:.3f}[/]")
    output.show(f"   {told(shown)}\n")


@command
def search(
    text: Annotated[str, typer.Argument(help="What to look for.")],
    collection: Annotated[str | None, typer.Option("--collection", "-c", help="Only in this one.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=100, help="How many passages.")] = 8,
    as_json: AsJson = False,
) -> None:
    """Search the documents. Exit code 4 when there is no result, or no such collection."""
    output = Output(is_json=as_json)
    if not text.strip():
        raise CliError("There is nothing to look for: the text is empty.", ExitCode.USAGE, code="usage")
    found = asyncio.run(_search(text, collection, limit))
    output.data(found.model_dump(mode="json", include={"results", "degraded"}))
    for rank, passage in enumerate(found.results, start=1):
        _show_passage(output, rank, passage)
    if words := degraded_words(found.degraded):
        output.remark(words)
    if not found.results:
        output.show("Nothing was found.")
        raise typer.Exit(ExitCode.NOT_FOUND)
