"""Command `search`: passages out."""

import asyncio
from typing import Annotated

import typer
from parley_contracts.citations import Passage
from rich.markup import escape

from parley_cli.client.access import find_access
from parley_cli.client.collection_names import require_collections
from parley_cli.client.gateway import Gateway
from parley_cli.commands.options import AsJson
from parley_cli.exits import CliError, ExitCode
from parley_cli.output import Output, command
from parley_cli.settings import read_settings

EXCERPT_CHARS = 300


async def _search(text: str, collection: str | None, limit: int) -> list[Passage]:
    async with Gateway(find_access(read_settings())) as gateway:
        found = await gateway.search(text, collection, limit)
        if not found and collection is not None:
            await require_collections(gateway, [collection])
        return found


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
    """Search the documents. Exit code 4 when there is no result, or no such collection."""
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
