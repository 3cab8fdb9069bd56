"""Logging a browser in with a key, and out."""

from fastapi import APIRouter
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from parley_gateway.edge import CurrentEdge, CurrentPrincipal
from parley_gateway.identity import SESSION_COOKIE

router = APIRouter(prefix="/api", tags=["session"])


class Login(BaseModel):
    """A key, from the link that `parley up` prints or from `parley token`."""

    key: str = Field(min_length=1, max_length=500)


@router.post("/auth/session")
async def log_in(login: Login, request: Request, edge: CurrentEdge) -> Response:
    """Exchange a key for an HttpOnly session cookie."""
    principal = edge.doorkeeper.identify_key(login.key.strip())
    response = JSONResponse({"owner_id": principal.owner_id})
    response.set_cookie(
        SESSION_COOKIE,
        edge.doorkeeper.new_session(principal),
        max_age=edge.doorkeeper.session_s,
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
    return response


@router.delete("/auth/session")
async def log_out(principal: CurrentPrincipal) -> Response:
    """Forget the session cookie."""
    response = JSONResponse({"owner_id": principal.owner_id})
    response.delete_cookie(SESSION_COOKIE)
    return response


@router.get("/users/me")
async def read_me(principal: CurrentPrincipal) -> dict[str, str]:
    """Return who you are."""
    return {"owner_id": principal.owner_id}
