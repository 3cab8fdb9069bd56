"""Whether who asks may use the route of his request, by the policy."""

from collections.abc import Mapping
from typing import Any

from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.policy import Permission, require_whole
from parley_contracts.route_policy import ROUTES, WHOLE_ROUTES, Route

from parley_gateway.principal import Principal


def require_route(principal: Principal, scope: Mapping[str, Any]) -> None:
    """Raise ParleyError `forbidden` unless who asks has what the route of a request needs."""
    route = scope["method"] if scope["type"] == "http" else "WEBSOCKET", scope["route"].path
    principal.require(*_needs_of(route))
    if route in WHOLE_ROUTES:
        require_whole(principal.scopes)


def _needs_of(route: Route) -> tuple[Permission, ...]:
    """Return what a route needs; ParleyError `forbidden` for one that is not listed."""
    needs = ROUTES.get(route)
    if needs is None:
        raise ParleyError(ErrorCode.FORBIDDEN, "Nobody may do this.")
    return needs
