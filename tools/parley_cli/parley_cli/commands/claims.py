"""Commands `claims create` and `claims rotate`: the keys by which services say for whom they ask."""

from pathlib import Path
from typing import Annotated

import typer

from parley_cli.commands.options import AsJson
from parley_cli.exits import CliError
from parley_cli.output import Output, command
from parley_cli.settings import read_settings

claims = typer.Typer(help="The keys of claims on the bus.", no_args_is_help=True)


@claims.command()
@command
def create(
    folder: Annotated[Path, typer.Argument(help="Where the keys are made; what is there is kept.")],
    as_json: AsJson = False,
) -> None:
    """Make the keys of an installation that `parley up` does not start."""
    # Other commands do without the library of keys, which takes long to import.
    from parley_identity.claims_files import create_claims_keys  # noqa: PLC0415 - see above

    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        create_claims_keys(folder)
    except (OSError, ValueError) as error:
        raise CliError(f"The keys cannot be made: {error}", code="keys") from None
    names = sorted(path.name for path in folder.glob("claims*"))
    Output(is_json=as_json).data({"folder": str(folder), "files": names})
    if not as_json:
        typer.echo(f"{folder}: {', '.join(names)}")


@claims.command()
@command
def rotate(
    signer: Annotated[str, typer.Option(help="Whose key: gateway or rag.")] = "gateway",
    is_compromised: Annotated[
        bool, typer.Option("--compromised", help="Refuse what the old key has signed from now on.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Have claims signed by a new key; services that run take it within a minute."""
    from parley_identity.claims_files import rotate_claims_key  # noqa: PLC0415 - as in `create`

    folder = read_settings().secrets_dir
    try:
        rotate_claims_key(folder, signer, is_compromised=is_compromised)
    except (OSError, ValueError) as error:
        raise CliError(f"The key cannot be replaced: {error}", code="keys") from None
    Output(is_json=as_json).data({"folder": str(folder), "signer": signer})
    if not as_json:
        typer.echo(f"Claims of {signer} are signed by a new key in {folder}.")
