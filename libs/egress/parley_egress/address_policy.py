"""Which addresses may be reached from here: public unicast ones, and what a setting names.

Pure: it resolves no name and opens no socket. Whoever connects asks it about every address beforehand.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import NamedTuple, NoReturn
from urllib.parse import SplitResult, unquote, urlsplit

from parley_contracts.errors import ErrorCode, ParleyError

IpAddress = IPv4Address | IPv6Address
IpNetwork = IPv4Network | IPv6Network

DEFAULT_PORTS = {"http": 80, "https": 443}

# IANA's IPv4 special-purpose registry, multicast, and the public address Azure uses for its host agent.
_REFUSED_V4 = {
    IPv4Network("0.0.0.0/8"): "unspecified",
    IPv4Network("10.0.0.0/8"): "private",
    IPv4Network("100.64.0.0/10"): "carrier-grade NAT",
    IPv4Network("127.0.0.0/8"): "loopback",
    IPv4Network("168.63.129.16/32"): "cloud metadata",
    IPv4Network("169.254.0.0/16"): "link-local",
    IPv4Network("172.16.0.0/12"): "private",
    IPv4Network("192.0.0.0/24"): "reserved",
    IPv4Network("192.0.2.0/24"): "documentation",
    IPv4Network("192.88.99.0/24"): "6to4 relay",
    IPv4Network("192.168.0.0/16"): "private",
    IPv4Network("198.18.0.0/15"): "benchmarking",
    IPv4Network("198.51.100.0/24"): "documentation",
    IPv4Network("203.0.113.0/24"): "documentation",
    IPv4Network("224.0.0.0/4"): "multicast",
    IPv4Network("240.0.0.0/4"): "reserved",
}

# Global unicast is 2000::/3 alone; what lies outside it is refused whether it is named here or not.
_GLOBAL_V6 = IPv6Network("2000::/3")
_REFUSED_V6 = {
    IPv6Network("::/128"): "unspecified",
    IPv6Network("::1/128"): "loopback",
    IPv6Network("2001::/23"): "reserved",
    IPv6Network("2001:db8::/32"): "documentation",
    IPv6Network("2002::/16"): "6to4",
    IPv6Network("3fff::/20"): "documentation",
    IPv6Network("fc00::/7"): "unique-local",
    IPv6Network("fe80::/10"): "link-local",
    IPv6Network("fec0::/10"): "site-local",
    IPv6Network("ff00::/8"): "multicast",
}
# These carry an IPv4 address in their last 32 bits and reach that address.
_V4_CARRIERS = (IPv6Network("::ffff:0:0/96"), IPv6Network("64:ff9b::/96"))

# Top-level names that are never public (RFC 6761, 6762, 8375, 9476 and ICANN's `internal`).
_PRIVATE_NAMES = ("localhost", "local", "internal", "home.arpa", "localdomain")

_NUMBER = re.compile(r"0[xX][0-9a-fA-F]*|[0-9]+")
_OUTSIDE_URLS = re.compile(r"[\x00-\x20\x7f\\]")
_OUTSIDE_NAMES = re.compile(r"[\x00-\x20\x7f#/:<>?@\[\\\]^|%]")


class HostPort(NamedTuple):
    """A host in its canonical spelling, without brackets, and a port."""

    host: str
    port: int


def parse_host(host: str) -> IpAddress | str:
    """Return the address that `host` spells in any form a browser takes, else the name in canonical spelling.

    Follows the host parser of the WHATWG URL standard; ValueError where that fails.
    """
    if host.startswith("["):
        if not host.endswith("]"):
            raise ValueError(f"unclosed bracket in {host!r}")
        return _parse_v6(host[1:-1])
    if ":" in host:
        return _parse_v6(host)
    name = unicodedata.normalize("NFKC", unquote(host)).replace("。", ".").lower()
    name = name.removesuffix(".")
    if not name or _OUTSIDE_NAMES.search(name):
        raise ValueError(f"not a host: {host!r}")
    if _NUMBER.fullmatch(name.rpartition(".")[2]):
        return _parse_v4(name)
    return name


def _parse_v6(text: str) -> IPv6Address:
    if "%" in text:
        raise ValueError("an IPv6 address in a URL carries no zone")
    return IPv6Address(text)


def _parse_v4(text: str) -> IPv4Address:
    """Read one to four decimal, octal or hexadecimal numbers; the last fills the bytes that are left."""
    numbers = [_parse_number(part) for part in text.split(".")]
    *heads, last = numbers
    if len(numbers) > 4 or any(number > 255 for number in heads) or last >= 256 ** (5 - len(numbers)):
        raise ValueError(f"not an IPv4 address: {text!r}")
    for position, number in enumerate(heads):
        last += number * 256 ** (3 - position)
    return IPv4Address(last)


def _parse_number(part: str) -> int:
    if not _NUMBER.fullmatch(part):
        raise ValueError(f"not a number: {part!r}")
    if part[:2] in ("0x", "0X"):
        return int(part[2:] or "0", 16)
    return int(part, 8) if len(part) > 1 and part.startswith("0") else int(part)


def refusal_of_address(address: IpAddress) -> str | None:
    """Return why an address is refused, in a word or two; None when it is public."""
    if isinstance(address, IPv6Address):
        return _refusal_of_v6(address)
    return next((reason for network, reason in _REFUSED_V4.items() if address in network), None)


def _reached_by(address: IpAddress) -> IpAddress:
    """Return the IPv4 address that an IPv6 address only carries, else the address."""
    if isinstance(address, IPv6Address) and any(address in network for network in _V4_CARRIERS):
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address


def _refusal_of_v6(address: IPv6Address) -> str | None:
    if (reached := _reached_by(address)) is not address:
        return refusal_of_address(reached)
    for network, reason in _REFUSED_V6.items():
        if address in network:
            return reason
    return None if address in _GLOBAL_V6 and address.scope_id is None else "reserved"


def parse_allow_hosts(text: str) -> frozenset[HostPort]:
    """Return the hosts and ports of a comma-separated list; ValueError when an entry is not host:port."""
    return frozenset(_parse_allowed(entry.strip()) for entry in text.split(",") if entry.strip())


def _parse_allowed(entry: str) -> HostPort:
    host, colon, port = entry.rpartition(":")
    if not colon or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError(f"not host:port: {entry!r}")
    return HostPort(str(parse_host(host)), int(port))


def parse_networks(text: str) -> tuple[IpNetwork, ...]:
    """Return the networks of a comma-separated list; ValueError when an entry is none."""
    return tuple(ip_network(entry.strip()) for entry in text.split(",") if entry.strip())


class AddressPolicy:
    """Says what may be reached.

    `allow_hosts` names exact exceptions, and `allow_networks` private networks that are reached all the same;
    names that are never public stay refused there, but for those in `allow_hosts`.
    """

    def __init__(
        self,
        allow_hosts: frozenset[HostPort] = frozenset(),
        allow_networks: Sequence[IpNetwork] = (),
    ) -> None:
        self._allow_hosts = allow_hosts
        self._allow_networks = tuple(allow_networks)

    def refusal_of_target(self, target: HostPort) -> str | None:
        """Return why a target is refused before its name is resolved, or None."""
        if target in self._allow_hosts:
            return None
        host = parse_host(target.host)
        if not isinstance(host, str):
            return self._refusal_of(host)
        is_private = any(host == name or host.endswith(f".{name}") for name in _PRIVATE_NAMES)
        return "private name" if is_private else None

    def refusal_of_resolved(self, target: HostPort, addresses: Iterable[IpAddress]) -> str | None:
        """Return why a target is refused for what its name resolves to; one bad address refuses all."""
        if target in self._allow_hosts:
            return None
        reasons = (self._refusal_of(address) for address in addresses)
        return next((reason for reason in reasons if reason is not None), None)

    def _refusal_of(self, address: IpAddress) -> str | None:
        reached = _reached_by(address)
        is_allowed = any(
            reached.version == network.version and reached in network for network in self._allow_networks
        )
        return None if is_allowed else refusal_of_address(address)

    def check_url(self, url: str) -> HostPort:
        """Return whom a URL leads to; ParleyError (invalid_request, refused_address) if not public."""
        target = target_of_url(url)
        if "@" in urlsplit(url).netloc:
            raise _invalid("must not carry a user name or password")
        if self.refusal_of_target(target) is not None:
            refuse_url()
        return target


def refuse_url() -> NoReturn:
    """Raise the error for a URL that leads to an address that is not public.

    It tells neither the address nor its kind, so that it cannot be used to map a private network.
    """
    raise ParleyError(
        ErrorCode.REFUSED_ADDRESS, "url: only public internet addresses may be reached", field="url"
    )


def target_of_url(url: str) -> HostPort:
    """Return the host and port of an http or https URL; ParleyError (invalid_request) for anything else."""
    if _OUTSIDE_URLS.search(url):
        raise _invalid("contains spaces, backslashes or control characters")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise _invalid("is not a URL") from error
    if parts.scheme not in DEFAULT_PORTS:
        raise _invalid("must begin with http:// or https://")
    if port == 0:
        raise _invalid("has no usable port")
    return HostPort(_host_of(parts), port or DEFAULT_PORTS[parts.scheme])


def _host_of(parts: SplitResult) -> str:
    if not parts.hostname:
        raise _invalid("names no host")
    try:
        return str(parse_host(parts.hostname))
    except ValueError as error:
        raise _invalid("names no valid host") from error


def _invalid(what: str) -> ParleyError:
    return ParleyError(ErrorCode.INVALID_REQUEST, f"url: {what}", field="url")
