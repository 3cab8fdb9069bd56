"""Command `token`: the API key for scripts."""

import typer

from parley_cli.client.access import find_key
from parley_cli.commands.options import AsJson
from parley_cli.output import Output, command
from parley_cli.settings import read_settings


@command
def token(as_json: AsJson = False) -> None:
    """Print the local owner's API key."""
    key = find_key(read_settings())
    Output(is_json=as_json).data({"token": key})
    if not as_json:
        typer.echo(key)
