"""Connects to the outside: a name is resolved here, what it resolves to is checked, and that is connected to.

A name that changes what it resolves to between the check and the connection (DNS rebinding) gains nothing.
"""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from ipaddress import ip_address

from parley_egress.address_policy import AddressPolicy, HostPort, IpAddress

Resolver = Callable[[str, int], Awaitable[list[IpAddress]]]
Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]

_RESOLVE_TIMEOUT_S = 10.0
_CONNECT_TIMEOUT_S = 5.0
_MAX_ADDRESSES = 4
NAMES_AT_ONCE = 16
"""Names asked for at once by a process; a name server may leave each unanswered for half a minute."""


class TargetRefusedError(Exception):
    """The target's address may not be reached; its text says why, for logs alone."""


def resolving_in(threads: Executor | None) -> Resolver:
    """Return the system's resolver, asked in threads that hold nothing else up when it is slow."""

    def ask(host: str, port: int) -> list[IpAddress]:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except UnicodeError as error:
            raise OSError("the name cannot be encoded for DNS") from error
        return [ip_address(sockaddr[0]) for _, _, _, _, sockaddr in found]

    async def resolve(host: str, port: int) -> list[IpAddress]:
        """Return the addresses of a host; OSError when there are none."""
        try:
            # Nobody is asked for an address, and it waits for no name.
            return [ip_address(host)]
        except ValueError:
            return await asyncio.get_running_loop().run_in_executor(threads, ask, host, port)

    return resolve


resolve_name = resolving_in(None)
"""For what resolves few names, and nothing that others have chosen."""


async def dial(
    policy: AddressPolicy,
    target: HostPort,
    resolve: Resolver = resolve_name,
    *,
    tls: ssl.SSLContext | None = None,
) -> Connection:
    """Connect to an address of the target that was checked, and to no other.

    Args:
        policy: What may be reached.
        target: Host and port, the host in its canonical spelling.
        resolve: Tells the addresses of a name.
        tls: With it the target has to prove its name, whichever address is connected to.

    Raises:
        TargetRefusedError: The name, or one of the addresses that it resolves to, may not be reached.
        OSError: None of its addresses answers, or its certificate does not hold; of several, the last one's.
    """
    refusal = policy.refusal_of_target(target)
    if refusal is not None:
        raise TargetRefusedError(refusal)
    async with asyncio.timeout(_RESOLVE_TIMEOUT_S):
        addresses = await resolve(target.host, target.port)
    refusal = policy.refusal_of_resolved(target, addresses)
    if refusal is not None:
        raise TargetRefusedError(refusal)
    name = target.host if tls is not None else None
    failure: OSError = ConnectionError("the name has no address")
    for address in addresses[:_MAX_ADDRESSES]:
        # An address that does not answer gives way to the next one (TimeoutError is an OSError).
        try:
            async with asyncio.timeout(_CONNECT_TIMEOUT_S):
                return await asyncio.open_connection(str(address), target.port, ssl=tls, server_hostname=name)
        except OSError as error:
            failure = error
    raise failure
