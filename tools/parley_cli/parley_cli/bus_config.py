"""The part of nats-server's and redis-server's configuration that says who may do what, and TLS."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from parley_contracts.bus_permissions import RESPONSE_S, Permissions, permissions_of
from parley_contracts.bus_rights import BusRights, rights_of_user
from parley_contracts.redis_rights import REDIS_USERS

AUTHORIZATION_S = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerTls:
    """Certificates of the brokers.

    Attributes:
        cert_file: The server's certificate.
        key_file: Its key.
        ca_file: By which clients know the server, and the server knows clients.
        wants_client_cert: Whether clients need certificates of their own.
    """

    cert_file: Path
    key_file: Path
    ca_file: Path
    wants_client_cert: bool = False


def quoted(value: object) -> str:
    """Return a string of nats-server's and redis-server's configuration."""
    return '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'


def _rights(user: str) -> BusRights | None:
    """Return a user's rights; None for the operator."""
    return rights_of_user(user)


def _listed(name: str, subjects: tuple[str, ...]) -> Iterator[str]:
    if not subjects:
        # nats-server takes an empty list for no limit.
        yield f'                {name}: {{ deny: [">"] }}'
        return
    yield f"                {name}: {{ allow: ["
    yield from (f"                    {json.dumps(subject)}" for subject in subjects)
    yield "                ] }"


def _user(user: str, public_key: str, permissions: Permissions | None) -> Iterator[str]:
    yield f"        {{   # {user}"
    yield f"            nkey: {public_key}"
    if permissions is not None:
        yield "            permissions: {"
        yield from _listed("publish", permissions.publish)
        yield from _listed("subscribe", permissions.subscribe)
        if permissions.may_respond:
            yield f'                allow_responses: {{ max: 1, expires: "{RESPONSE_S}s" }}'
        yield "            }"
    yield "        }"


def nats_authorization(public_keys: Mapping[str, str]) -> str:
    """Return the block that names every user and lists its permissions."""
    rights = {user: _rights(user) for user in public_keys}
    everybody = [one for one in rights.values() if one is not None]
    lines = ["authorization {", f"    timeout: {AUTHORIZATION_S}", "    users: ["]
    for user, public_key in public_keys.items():
        found = rights[user]
        lines += _user(user, public_key, permissions_of(found, everybody) if found else None)
    return "\n".join([*lines, "    ]", "}", ""])


def nats_tls(tls: BrokerTls) -> str:
    """Return the block that makes nats-server take TLS connections only."""
    lines = [
        "tls {",
        f"    cert_file: {quoted(tls.cert_file)}",
        f"    key_file: {quoted(tls.key_file)}",
        f"    timeout: {AUTHORIZATION_S}",
    ]
    if tls.wants_client_cert:
        lines += [f"    ca_file: {quoted(tls.ca_file)}", "    verify: true"]
    return "\n".join([*lines, "}", ""])


def redis_users(hashes: Mapping[str, str]) -> str:
    """Return redis-server's ACL file; who has no password may ask whether it is there."""
    lines = ["user default on nopass resetkeys resetchannels -@all +ping"]
    for user, digest in hashes.items():
        rights = REDIS_USERS.get(user)
        if rights is None:
            lines.append(f"user {user} on #{digest} ~* &* +@all")
            continue
        keys = " ".join([*(f"~{one}" for one in rights.keys), *(f"%R~{one}" for one in rights.reads)])
        commands = " ".join(f"+{command}" for command in rights.commands)
        lines.append(f"user {user} on #{digest} {keys} resetchannels -@all {commands}")
    return "\n".join([*lines, ""])


def redis_tls(tls: BrokerTls, port: int) -> str:
    """Return the lines that make redis-server take TLS connections only."""
    wants = "yes" if tls.wants_client_cert else "no"
    lines = [
        "port 0",
        f"tls-port {port}",
        f"tls-cert-file {quoted(tls.cert_file)}",
        f"tls-key-file {quoted(tls.key_file)}",
        f"tls-ca-cert-file {quoted(tls.ca_file)}",
        f"tls-auth-clients {wants}",
    ]
    return "\n".join(lines)
