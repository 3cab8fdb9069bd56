"""Addresses of a provider: which may be used, and with what they are asked."""

from collections.abc import Mapping
from ipaddress import ip_address
from urllib.parse import urlencode, urlsplit


def is_safe_address(url: str) -> bool:
    """Return whether secrets may be sent to an address: over TLS, or without leaving this machine."""
    try:
        found = urlsplit(url)
        host, _ = found.hostname or "", found.port
    except ValueError:
        return False
    if not host or found.username is not None or found.fragment or not url.isprintable() or " " in url:
        return False
    return found.scheme == "https" or (found.scheme == "http" and is_loopback(host))


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def with_query(address: str, added: Mapping[str, str]) -> str:
    """Return an address with more of a query, whatever query it has."""
    return f"{address}{'&' if '?' in address else '?'}{urlencode(added)}"
