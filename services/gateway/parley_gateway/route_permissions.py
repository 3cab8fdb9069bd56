"""What the route of a request needs, by the policy."""

from collections.abc import Mapping
from typing import Any

from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.policy import Permission
from parley_contracts.route_policy import ROUTES


def needs_of(scope: Mapping[str, Any]) -> tuple[Permission, ...]:
    """Return what the route of a request needs; ParleyError `forbidden` for a route that is not listed."""
    method = scope["method"] if scope["type"] == "http" else "WEBSOCKET"
    needs = ROUTES.get((method, scope["route"].path))
    if needs is None:
        raise ParleyError(ErrorCode.FORBIDDEN, "Nobody may do this.")
    return needs
