"""What is known of a request while it is answered, for its errors and for the audit."""

from dataclasses import dataclass

from parley_contracts.errors import ErrorCode
from starlette.types import Scope

from parley_gateway.principal import IDENTIFIED, Principal

REQUEST_ID = "x-request-id"
ASKED = "parley.asked"
"""Where the scope of a request keeps it."""


@dataclass(slots=True)
class Asked:
    """A request while it is answered.

    Attributes:
        request_id: What the client knows it by.
        refusal: The error it was answered with.
        is_relayed: Another service has refused it, and told so itself.
        principal: Who asked, where that became known.
        route: The path of its route as it is declared; empty where there is none.
    """

    request_id: str
    refusal: ErrorCode | None = None
    is_relayed: bool = False
    principal: Principal | None = None
    route: str = ""

    def refused(self, code: ErrorCode, scope: Scope) -> None:
        """Note how the request ends, and what was known of it by then."""
        self.refusal, self.principal = code, scope.get(IDENTIFIED)
        self.route = getattr(scope.get("route"), "path", "")
