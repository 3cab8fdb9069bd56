"""Which pages may make a browser send something: those of the gateway's own origin, and those it is told of.

An origin is compared whole: scheme, host and port (RFC 6454). What is none, such as `null`, is nobody's.
"""

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from parley_contracts.errors import ErrorCode, ParleyError

_FORM = re.compile(r"(?P<scheme>https?)://(?P<host>[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::(?P<port>[0-9]{1,5}))?")
_PORTS = {"http": 80, "https": 443}
_OF_SOCKETS = {"ws": "http", "wss": "https"}
_OWN_SITES = frozenset({"same-origin", "none"})
_MAX_CHARS = 300


def whole_origin(text: str) -> str | None:
    """Return an origin with its port, in lower case; None for what is no origin."""
    found = _FORM.fullmatch(text.lower()) if len(text) <= _MAX_CHARS else None
    if found is None:
        return None
    return f"{found['scheme']}://{found['host']}:{int(found['port'] or _PORTS[found['scheme']])}"


def read_origins(text: str) -> tuple[str, ...]:
    """Return the origins of a setting, as browsers send them.

    Raises:
        ValueError: One is no exact origin; `*` and `null` are none.
    """
    found: list[str] = []
    for part in (part.strip() for part in text.split(",")):
        if not part:
            continue
        whole = whole_origin(part)
        if whole is None:
            raise ValueError(f"{part!r} is no exact origin such as https://www.example.org")
        address = urlsplit(whole)
        is_usual = address.port == _PORTS[address.scheme]
        found.append(whole.rpartition(":")[0] if is_usual else whole)
    return tuple(found)


class Origins:
    """Refuses what pages of other origins send."""

    def __init__(self, allowed: tuple[str, ...] = ()) -> None:
        self.allowed = allowed
        self._allowed = frozenset(filter(None, map(whole_origin, allowed)))

    def check_cookie(self, scheme: str, headers: Mapping[str, str]) -> None:
        """Let a request with our cookie pass when it says that it comes from a page of ours.

        Raises:
            ParleyError: `forbidden`.
        """
        if "origin" not in headers or not self._is_own(scheme, headers):
            raise _refusal()

    def check_key(self, scheme: str, headers: Mapping[str, str]) -> None:
        """Let a request with a key pass when it comes from no page, from one of ours or from an allowed one.

        Raises:
            ParleyError: `forbidden`.
        """
        if "origin" in headers:
            is_let_in = whole_origin(headers["origin"]) in self._allowed or self._is_own(scheme, headers)
        else:
            is_let_in = headers.get("sec-fetch-site", "none") in _OWN_SITES
        if not is_let_in:
            raise _refusal()

    def _is_own(self, scheme: str, headers: Mapping[str, str]) -> bool:
        origin = whole_origin(headers["origin"])
        own = whole_origin(f"{_OF_SOCKETS.get(scheme, scheme)}://{headers.get('host', '')}")
        return origin is not None and origin == own


def _refusal() -> ParleyError:
    return ParleyError(ErrorCode.FORBIDDEN, "Requests from pages of other origins are refused.")
