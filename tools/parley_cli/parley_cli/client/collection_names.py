"""Collections named in a command: one that is not there is a slip, and no answer says so."""

from collections.abc import Collection as NameCollection

from parley_cli.client.gateway import Gateway
from parley_cli.exits import CliError, ExitCode

AWAY = frozenset({"unavailable", "timeout", "overloaded"})


async def require_collections(gateway: Gateway, names: NameCollection[str]) -> None:
    """Raise CliError when one is not there. When rag is away nothing is known, and nothing said."""
    try:
        known = {collection.name for collection in await gateway.collections(retries=0)}
    except CliError as error:
        if error.code in AWAY:
            return
        raise
    for name in names:
        if name.strip() not in known:
            raise CliError(f"There is no collection {name!r}.", ExitCode.NOT_FOUND, code="not_found")
