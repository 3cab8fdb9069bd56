"""What the routes of the edge share: who asks, whether he may, and the bus."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends
from parley_contracts.errors import ParleyError
from parley_envelope import ExportFiles, Originals
from parley_messaging import Bus, Service
from parley_messaging.acting import act_for
from starlette.requests import HTTPConnection

from parley_gateway.audit_door import came_by
from parley_gateway.bot_turns import BotTurns
from parley_gateway.identity import Doorkeeper, scheme_of
from parley_gateway.limits import Limits
from parley_gateway.login_codes import LoginCodes
from parley_gateway.models import Models
from parley_gateway.principal import IDENTIFIED, Principal
from parley_gateway.route_permissions import require_route
from parley_gateway.settings import GatewaySettings
from parley_gateway.sites import Sites
from parley_gateway.sockets import Sockets
from parley_gateway.turn_door import TurnDoor
from parley_gateway.turn_stopper import TurnStopper


@dataclass(frozen=True, slots=True)
class Edge:
    """The parts of a gateway process that its routes use; kept in `app.state.edge`."""

    service: Service
    settings: GatewaySettings
    doorkeeper: Doorkeeper
    models: Models
    door: TurnDoor
    stopper: TurnStopper
    sockets: Sockets
    login_codes: LoginCodes
    sites: Sites
    originals: Originals
    exports: ExportFiles

    @property
    def bus(self) -> Bus:
        return self.service.bus

    @property
    def bot_turns(self) -> BotTurns:
        return BotTurns(self.bus, self.door)

    @property
    def limits(self) -> Limits:
        return self.door.limits


def _edge(connection: HTTPConnection) -> Edge:
    return connection.app.state.edge


async def _principal(connection: HTTPConnection) -> Principal:
    principal = connection.scope.get(IDENTIFIED) or await _identified(connection)
    connection.scope[IDENTIFIED] = principal
    came_by(principal)
    require_route(principal, connection.scope)
    # What the request or the socket asks of others from here on, it asks for him.
    act_for(principal.acting)
    return principal


async def _identified(connection: HTTPConnection) -> Principal:
    # A WebSocket handshake is a GET that browsers send across origins with our cookie.
    method, scheme = connection.scope.get("method", "POST"), scheme_of(connection.scope)
    return await _edge(connection).doorkeeper.identify(method, connection.headers, scheme)


async def is_still(principal: Principal, connection: HTTPConnection) -> bool:
    """Return whether a client would come in now as who he came in as; where nobody can tell he would not."""
    try:
        return await _identified(connection) == principal
    except ParleyError:
        return False


CurrentEdge = Annotated[Edge, Depends(_edge)]
CurrentPrincipal = Annotated[Principal, Depends(_principal)]
