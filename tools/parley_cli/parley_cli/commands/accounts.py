"""Commands `accounts rotate-kek` and `accounts rotate-data-key`: other keys, while everything runs."""

import asyncio

import typer
from parley_contracts.data_keys import DataKeyRotation
from parley_contracts.provider_keys import KekRotation
from rich.progress import Progress

from parley_cli.client.access import find_access
from parley_cli.client.gateway import Gateway
from parley_cli.commands.options import AsJson
from parley_cli.exits import EXIT_CODES_HELP
from parley_cli.output import Output, command
from parley_cli.settings import read_settings

accounts = typer.Typer(help="Look after what accounts keeps.", no_args_is_help=True)


async def _rotate(output: Output) -> KekRotation:
    is_shown = not output.is_json and output.remarks.is_terminal
    async with Gateway(find_access(read_settings())) as gateway:
        with Progress(console=output.remarks, transient=True, disable=not is_shown) as bars:
            bar = bars.add_task("sealing anew", total=None)
            step = await gateway.rotate_kek(begins=True)
            resealed = step.resealed
            while not step.is_done:
                bars.update(bar, completed=resealed, total=resealed + step.left)
                step = await gateway.rotate_kek(begins=False)
                resealed += step.resealed
    return step.model_copy(update={"resealed": resealed})


@accounts.command("rotate-kek", epilog=EXIT_CODES_HELP)
@command
def rotate_kek(as_json: AsJson = False) -> None:
    """Seal all secrets by another key-encryption key, while Parley runs.

    A rotation that was stopped goes on where it was. The old key opens nothing any more when it is done; a
    backup of the database from before needs it.
    """
    output = Output(is_json=as_json)
    done = asyncio.run(_rotate(output))
    output.data({"key_name": done.key_name, "resealed": done.resealed})
    output.show(f"{done.resealed} secrets are sealed by the key {done.key_name}.")


async def _new_data_key() -> DataKeyRotation:
    async with Gateway(find_access(read_settings())) as gateway:
        return await gateway.rotate_data_key()


@accounts.command("rotate-data-key", epilog=EXIT_CODES_HELP)
@command
def rotate_data_key(as_json: AsJson = False) -> None:
    """Seal what is uploaded from now on by another data key, while Parley runs.

    Within a minute every gateway does. What is stored stays as it is, and the keys that open it are kept.
    """
    output = Output(is_json=as_json)
    made = asyncio.run(_new_data_key())
    output.data({"key_id": made.key_id, "keys": made.keys})
    output.show(f"The data key {made.key_id} seals from now on; {made.keys - 1} more still open.")
