"""Commands `documents list`, `show` and `delete`: what was read in."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Annotated, TypeVar

import typer
from parley_contracts.rag import Document
from rich.table import Table

from parley_cli.client.access import find_access
from parley_cli.client.collection_names import require_collections
from parley_cli.client.gateway import Gateway
from parley_cli.client.terminal_text import told
from parley_cli.commands.options import AsJson
from parley_cli.exits import EXIT_CODES_HELP
from parley_cli.output import Output, command
from parley_cli.settings import read_settings

T = TypeVar("T")
STATES = {"ready": "green", "failed": "red"}
DocumentId = Annotated[str, typer.Argument(help="A document's id, as `parley documents list` shows it.")]

documents = typer.Typer(help="List, show and delete documents.", no_args_is_help=True)


async def _with_gateway(ask: Callable[[Gateway], Awaitable[T]]) -> T:
    async with Gateway(find_access(read_settings())) as gateway:
        return await ask(gateway)


def _day(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).astimezone().strftime("%Y-%m-%d %H:%M")


def _table(found: list[Document]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("id", "name", "collection", "state"):
        table.add_column(name, overflow="fold")
    for name in ("passages", "KB", "added"):
        table.add_column(name, justify="right")
    for document in found:
        table.add_row(
            document.id,
            told(document.name),
            told(document.collection),
            f"[{STATES.get(document.status, 'yellow')}]{document.status}[/]",
            str(document.chunks),
            f"{document.size_bytes / 1024:.1f}",
            _day(document.created_at_ms),
        )
    return table


@documents.command("list", epilog=EXIT_CODES_HELP)
@command
def list_documents(
    collection: Annotated[str | None, typer.Option("--collection", "-c", help="Only of this one.")] = None,
    as_json: AsJson = False,
) -> None:
    """List your documents, newest first."""

    async def ask(gateway: Gateway) -> list[Document]:
        found = await gateway.documents(collection)
        if not found and collection is not None:
            await require_collections(gateway, [collection])
        return found

    output = Output(is_json=as_json)
    found = asyncio.run(_with_gateway(ask))
    output.data({"documents": [document.model_dump(mode="json") for document in found]})
    output.show(_table(found) if found else "There are no documents.")


@documents.command("show", epilog=EXIT_CODES_HELP)
@command
def show_document(document_id: DocumentId, as_json: AsJson = False) -> None:
    """Show one document with its state, and why it failed if it did."""
    output = Output(is_json=as_json)
    document = asyncio.run(_with_gateway(lambda gateway: gateway.document(document_id)))
    output.data(document.model_dump(mode="json"))
    values = document.model_dump(mode="json", exclude_none=True)
    for name, value in values.items():
        said = _day(value) if name.endswith("_at_ms") else str(value)
        output.show(f"[dim]{name.removesuffix('_at_ms').replace('_', ' '):<13}[/] {told(said)}")


@documents.command("delete", epilog=EXIT_CODES_HELP)
@command
def delete_document(document_id: DocumentId, as_json: AsJson = False) -> None:
    """Delete a document with everything that was made of it."""
    output = Output(is_json=as_json)
    asyncio.run(_with_gateway(lambda gateway: gateway.delete_document(document_id)))
    output.data({"deleted": document_id})
    output.show("Deleted.")
