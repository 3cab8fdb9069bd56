"""Commands `bus config`, `bus issue` and `bus revoke`: who may do what on the bus."""

import os
import signal
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from parley_contracts import headers, subjects
from parley_contracts.accounts import LOCAL_OWNER
from parley_contracts.bus_permissions import permissions_of
from parley_contracts.bus_rights import (
    SERVICES,
    TOOLS_PREFIX,
    BusRights,
    outside_rights,
    outside_tool_rights,
)
from parley_contracts.subject_permissions import OUTSIDE_SCOPES, OUTSIDE_SUBJECTS
from parley_identity.secret_files import replace_private

from parley_cli.bus_config import BrokerTls, nats_authorization, nats_tls, redis_users
from parley_cli.bus_secrets import BusSecrets
from parley_cli.commands.options import AsJson
from parley_cli.exits import EXIT_CODES_HELP, CliError, ExitCode
from parley_cli.output import Output, command
from parley_cli.settings import CliSettings, read_settings
from parley_cli.supervisor.brokers import AUTHORIZATION, write_authorization
from parley_cli.supervisor.processes import identity
from parley_cli.supervisor.stack_state import is_supervised, read_state

bus = typer.Typer(help="Who may do what on the bus.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="The outside service: lower-case letters, digits and -.")]
OffersTools = Annotated[
    bool, typer.Option("--tools", help="It offers tools to models, and does nothing else; a user of its own.")
]


@bus.command("config", epilog=EXIT_CODES_HELP)
@command
def config(
    *,
    redis: Annotated[bool, typer.Option("--redis", help="Redis's ACL file instead.")] = False,
    tls: Annotated[bool, typer.Option("--tls", help="With the block that wants TLS.")] = False,
    cert: Annotated[Path, typer.Option(help="The server's certificate, as the server finds it.")] = Path(
        "server-cert.pem"
    ),
    key: Annotated[Path, typer.Option(help="Its key.")] = Path("server-key.pem"),
    ca: Annotated[Path | None, typer.Option(help="Clients need certificates that these have signed.")] = None,
) -> None:
    """Print what a nats-server of your own includes, so that each service may do what it must.

    It names the users by their public keys; their seeds stay in the secrets folder, bus/nats.
    """
    users = BusSecrets(read_settings().secrets_dir)
    users.create()
    if redis:
        typer.echo(redis_users(users.redis_hashes()), nl=False)
        return
    if tls:
        files = BrokerTls(cert_file=cert, key_file=key, ca_file=ca or cert, wants_client_cert=ca is not None)
        typer.echo(nats_tls(files), nl=False)
    typer.echo(nats_authorization(users.public_keys()), nl=False)


@bus.command("issue", epilog=EXIT_CODES_HELP)
@command
def issue(
    name: Name,
    owner: Annotated[str, typer.Option(help="The id of the user in whose name it asks.")] = LOCAL_OWNER,
    days: Annotated[int, typer.Option(min=1, max=366, help="How long its claims are good.")] = 90,
    tools: OffersTools = False,
    as_json: AsJson = False,
) -> None:
    """Let another team's service start turns, follow them and have documents ingested; or offer tools.

    Issued again, it keeps its user and gets new claims.
    """
    settings = read_settings()
    users = BusSecrets(settings.secrets_dir)
    rights = _checked(name, offers_tools=tools)
    with _changing(users):
        users.create()
        user = users.issue(rights)
        if not tools:
            _vouch(settings.secrets_dir, users.claims_file(user), owner, days)
        is_known = _tell_bus(settings, users)
    _show_issued(Output(is_json=as_json), users, rights, owner, is_known=is_known)


def _show_issued(output: Output, users: BusSecrets, rights: BusRights, owner: str, *, is_known: bool) -> None:
    user, offers_tools = rights.name, rights.name.startswith(TOOLS_PREFIX)
    allowed = permissions_of(rights, SERVICES.values())
    found: dict[str, Any] = {
        "user": user,
        "nkey_file": str(users.nkey_file(user)),
        "inbox_prefix": rights.inbox_prefix,
        "publish": allowed.publish,
        "subscribe": allowed.subscribe,
        "is_known_to_the_bus": is_known,
    }
    if not offers_tools:
        found["claims_file"] = str(users.claims_file(user))
        found["owner_id"] = owner
        found["asks_for_turns_on"] = subjects.turn_submit(user)
    output.data(found)
    output.show(f"User {user}: its seed is in {found['nkey_file']}. Give it to that service and nobody else.")
    if not offers_tools:
        output.show(
            f"It sends the text of {found['claims_file']} as the header {headers.CLAIMS}, for {owner}."
        )
    output.show(f"It connects with inbox prefix {rights.inbox_prefix}, and may publish and hear:")
    for subject in (*allowed.publish, *allowed.subscribe):
        output.show(f"  {subject}")
    if not found["is_known_to_the_bus"]:
        output.show(
            "The bus learns of it at the next `parley up`; your own nats-server by `parley bus config`."
        )


@bus.command("revoke", epilog=EXIT_CODES_HELP)
@command
def revoke(name: Name, *, tools: OffersTools = False, as_json: AsJson = False) -> None:
    """Take an outside service's credentials back; it is disconnected at once."""
    settings = read_settings()
    users = BusSecrets(settings.secrets_dir)
    rights = _checked(name, offers_tools=tools)
    with _changing(users):
        was_there = users.revoke(rights)
        # Also of one that is gone: the revocation that took it may have ended before the bus was told.
        is_known = _tell_bus(settings, users)
    if not was_there:
        raise CliError(f"There is no user of the name {name!r}.", ExitCode.NOT_FOUND, code="not_found")
    output = Output(is_json=as_json)
    output.data({"revoked": True, "is_known_to_the_bus": is_known})
    output.show("It may connect no more." if is_known else "It may connect no more after the next start.")


@contextmanager
def _changing(users: BusSecrets) -> Generator[None]:
    try:
        with users.changing():
            yield
    except TimeoutError as error:
        raise CliError(f"Not done, since {error}. Try again.", code="timeout") from None


def _vouch(secrets_dir: Path, claims_file: Path, owner_id: str, days: int) -> None:
    # Other commands do without the library of keys, which takes long to import.
    from parley_identity.bus_claims import issue_claims  # noqa: PLC0415 - see above
    from parley_identity.claims_files import create_claims_keys  # noqa: PLC0415 - see above

    create_claims_keys(secrets_dir)
    claims = issue_claims(secrets_dir, owner_id, OUTSIDE_SCOPES, OUTSIDE_SUBJECTS, days=days)
    replace_private(claims_file, claims)


def _checked(name: str, *, offers_tools: bool) -> BusRights:
    try:
        return outside_tool_rights(name) if offers_tools else outside_rights(name)
    except ValueError as error:
        raise CliError(f"That is {error}.", ExitCode.USAGE, code="usage") from None


def _tell_bus(settings: CliSettings, users: BusSecrets) -> bool:
    """Have our own nats-server read its users again; False when none runs here that has any."""
    if not (settings.data_dir / "nats" / AUTHORIZATION).exists():
        return False
    # One that is just being started reads it, too.
    write_authorization(settings.data_dir, users)
    state = read_state(settings.run_dir)
    if state is None or not is_supervised(settings.run_dir):
        return False
    for process in state.processes:
        # It may have ended since, and its number may be another process's: SIGHUP ends most of them.
        if process.name == "nats" and process.pid and identity(process.pid) == process.identity:
            os.kill(process.pid, signal.SIGHUP)
            return True
    return False
