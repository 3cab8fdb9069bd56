"""Notes from where each request comes, for the audit of who answers it, and tells what was refused here."""

import time
from uuid import uuid4

from parley_contracts.audit import (
    Action,
    ActorKind,
    AuditDetails,
    AuditEvent,
    ObjectKind,
    Outcome,
    Provenance,
    as_address,
    as_agent,
    as_id,
    as_route,
)
from parley_contracts.errors import ErrorCode
from parley_messaging.audit_desk import AuditDesk
from parley_messaging.provenance import came_from, coming_from, current_provenance
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from parley_gateway.asked_request import ASKED, REQUEST_ID, Asked
from parley_gateway.principal import Principal

_TOLD = frozenset(
    {
        ErrorCode.UNAUTHENTICATED,
        ErrorCode.FORBIDDEN,
        ErrorCode.OVERLOADED,
        ErrorCode.RATE_LIMITED,
        ErrorCode.QUOTA_EXCEEDED,
    }
)


def came_by(principal: Principal) -> None:
    """Have the rest of the request's work say what its sender has shown."""
    shown = as_id(principal.key_id or principal.session_id)
    came_from(current_provenance().model_copy(update={"credential": shown}))


class AuditDoor:
    """Stands before all that may refuse a request."""

    def __init__(self, app: ASGIApp, desk: AuditDesk) -> None:
        self._app = app
        self._desk = desk

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        asked = scope[ASKED] = Asked(headers.get(REQUEST_ID, "")[:64] or uuid4().hex)
        client = scope.get("client")
        provenance = Provenance(
            address=as_address(client[0] if client else None),
            agent=as_agent(headers.get("user-agent")),
            request_id=as_id(asked.request_id),
        )
        with coming_from(provenance):
            await self._app(scope, receive, send)
            shows_something = bool(headers.get("authorization") or headers.get("cookie"))
            if self._is_told(asked, shows_something=shows_something):
                self._desk.hand_in("gateway", _event(asked, scope, current_provenance()))

    @staticmethod
    def _is_told(asked: Asked, *, shows_something: bool) -> bool:
        """Return whether a refusal is worth a line: whoever shows nothing has not tried anything."""
        if asked.refusal not in _TOLD or asked.is_relayed:
            return False
        return asked.refusal is not ErrorCode.UNAUTHENTICATED or shows_something


def _event(asked: Asked, scope: Scope, provenance: Provenance) -> AuditEvent:
    acting = asked.principal.acting if asked.principal else None
    method = scope["method"] if scope["type"] == "http" else "WEBSOCKET"
    return AuditEvent(
        id=uuid4().hex,
        at_ms=time.time_ns() // 1_000_000,
        action=Action.ROUTE_REQUESTED.value,
        outcome=Outcome.REFUSED,
        actor_kind=ActorKind(acting.kind.value) if acting else ActorKind.UNKNOWN,
        actor_id=as_id(acting.owner_id) if acting else "",
        object_kind=ObjectKind.ROUTE.value,
        provenance=provenance,
        details=AuditDetails(
            code=asked.refusal.value if asked.refusal else None, route=as_route(method, asked.route)
        ),
    )
