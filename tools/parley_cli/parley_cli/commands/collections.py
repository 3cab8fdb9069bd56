"""Commands `collections list` and `delete`: named sets of documents."""

import asyncio
from typing import Annotated

import typer
from parley_contracts.rag import Collection
from rich.table import Table

from parley_cli.client.access import find_access
from parley_cli.client.gateway import Gateway
from parley_cli.client.terminal_text import told
from parley_cli.commands.options import AsJson
from parley_cli.exits import EXIT_CODES_HELP, CliError
from parley_cli.output import Output, command
from parley_cli.settings import read_settings

collections = typer.Typer(help="List and delete collections.", no_args_is_help=True)


def _table(found: list[Collection]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("name", overflow="fold")
    table.add_column("language")
    for name in ("documents", "passages"):
        table.add_column(name, justify="right")
    for collection in found:
        name, language = told(collection.name), collection.language
        table.add_row(name, language, str(collection.documents), str(collection.chunks))
    return table


async def _list() -> list[Collection]:
    async with Gateway(find_access(read_settings())) as gateway:
        return await gateway.collections()


async def _delete(name: str) -> None:
    async with Gateway(find_access(read_settings())) as gateway:
        await gateway.delete_collection(name)


@collections.command("list", epilog=EXIT_CODES_HELP)
@command
def list_collections(as_json: AsJson = False) -> None:
    """List your collections, by name."""
    output = Output(is_json=as_json)
    found = asyncio.run(_list())
    output.data({"collections": [collection.model_dump(mode="json") for collection in found]})
    output.show(_table(found) if found else "There are no collections.")


@collections.command("delete", epilog=EXIT_CODES_HELP)
@command
def delete_collection(
    name: Annotated[str, typer.Argument(help="Its name.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Delete a collection with all its documents."""
    output = Output(is_json=as_json)
    if not yes and not typer.confirm(f"Delete {name!r} with all its documents?", err=True):
        raise CliError("Nothing was deleted.", code="refused")
    asyncio.run(_delete(name))
    output.data({"deleted": name})
    output.show("Deleted.")
