"""The command line: which commands there are.

`up` lives as long as the stack, so neither its start nor its memory should pay for the HTTP and WebSocket
clients: when the command asked for is known, only its module is imported.
"""

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Annotated

import typer

from parley_cli import __version__
from parley_cli.exits import EXIT_CODES_HELP
from parley_cli.output import PIPE_COLUMNS

MODULE_OF = {
    "up": "stack",
    "down": "stack",
    "status": "stack",
    "logs": "logs",
    "token": "token",
    "ask": "chat",
    "chat": "chat",
    "ingest": "ingest",
    "search": "search",
    "documents": "documents",
    "collections": "collections",
    "events": "events",
    "doctor": "doctor",
    "vectors": "vectors",
    "bus": "bus",
    "claims": "claims",
    "accounts": "accounts",
    "audit": "audit",
    "reset": "stack",
}


def _show_version(is_asked: bool) -> None:
    if is_asked:
        typer.echo(f"parley {__version__}")
        raise typer.Exit


def parley(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Parley: an AI assistant as independent services on a NATS bus."""


def build_app(words: Sequence[str]) -> typer.Typer:
    """Return the application that can obey `words`, the command line without the program's name."""
    is_piped = not sys.stdout.isatty()
    app = typer.Typer(
        epilog=EXIT_CODES_HELP,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        # Who searches the help in a pipe wants whole lines, not boxes of 80 columns.
        rich_markup_mode=None if is_piped else "rich",
        context_settings={"terminal_width": PIPE_COLUMNS} if is_piped else {},
    )
    app.callback(epilog=EXIT_CODES_HELP)(parley)
    for name in [word for word in words[:1] if word in MODULE_OF] or MODULE_OF:
        module = import_module(f"parley_cli.commands.{MODULE_OF[name]}")
        found = getattr(module, name)
        if isinstance(found, typer.Typer):
            app.add_typer(found, name=name, epilog=EXIT_CODES_HELP)
        else:
            app.command(name, epilog=EXIT_CODES_HELP)(found)
    return app
