"""Command `audit verify`: whether an export of the audit is what was written, away from Parley."""

from pathlib import Path
from typing import Annotated

import typer
from parley_contracts.credentials import PublishedKey
from parley_identity.audit_export import ExportVerdict, UnreadableExportError, verify_export
from parley_identity.published_key import public_key

from parley_cli.commands.options import AsJson
from parley_cli.exits import EXIT_CODES_HELP, CliError, refusals_as_errors
from parley_cli.output import Output, command

audit = typer.Typer(help="Verify exports of the audit.", no_args_is_help=True)


@audit.callback()
def _audit() -> None:
    """Keep `verify` a word of its own, though it is the only one."""


def _public_key(text: str) -> str:
    """Return the `x` of a public key, which is given as such or as the JWK that an export names."""
    try:
        found = (
            PublishedKey.model_validate_json(text)
            if "{" in text
            else PublishedKey(kid="noted", x=text.strip())
        )
        public_key(found)
    except ValueError:
        raise CliError(
            "That is no public key: give the `key` of an export, or its `x`.", code="bad_key"
        ) from None
    return found.x


def _verified(path: Path, key: str | None) -> ExportVerdict:
    with refusals_as_errors(), path.open(encoding="utf-8") as lines:
        try:
            return verify_export(lines, trusted_key=key)
        except UnreadableExportError as error:
            raise CliError(str(error), code="unreadable_export") from None
        except UnicodeDecodeError:
            raise CliError("The file is no text.", code="unreadable_export") from None


@audit.command("verify", epilog=EXIT_CODES_HELP)
@command
def verify(
    file: Annotated[Path, typer.Option("--file", help="What GET /api/admin/audit/export answered.")],
    key: Annotated[
        str | None,
        typer.Option(
            "--key", help="The `key` that you noted of an earlier export, or its `x`; else the file's own."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Verify an export: every row, every signature, and that none is missing."""
    output = Output(is_json=as_json)
    found = _verified(file, None if key is None else _public_key(key))
    output.data(found.model_dump(mode="json"))
    if not found.is_whole:
        message = f"The audit is broken at row {found.broken_seq}: {found.fault}."
        raise CliError(message, code="broken_audit")
    end = "the end" if found.reaches_head else f"row {found.last_seq}, where the export was to end"
    begin = "the oldest" if found.begins_at_oldest else f"row {found.first_seq}, where it was to begin,"
    whose = "" if key else ", which is the one that the file names"
    output.show(
        f"{found.rows} rows from {begin} up to {end} are as they were written; "
        f"signed up to row {found.anchored_seq} by the key {found.key}{whose}."
    )
