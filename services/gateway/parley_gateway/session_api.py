"""Logging a browser in with a key or the code of a login link, and out."""

import asyncio
from typing import Self

from fastapi import APIRouter
from parley_contracts.errors import ErrorCode, ParleyError
from pydantic import BaseModel, Field, model_validator
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from parley_gateway.edge import CurrentEdge, CurrentPrincipal, Edge
from parley_gateway.identity import LOCAL_OWNER, Principal, is_secure, scheme_of, session_cookie

router = APIRouter(prefix="/api", tags=["session"])


MAX_KEY_CHARS = 500


class Login(BaseModel):
    """The code of a link that `parley up` prints, good once, or a key, from `parley token`."""

    key: str | None = Field(default=None, min_length=1, max_length=MAX_KEY_CHARS)
    code: str | None = Field(default=None, min_length=1, max_length=MAX_KEY_CHARS)

    @model_validator(mode="after")
    def _has_one(self) -> Self:
        if (self.key is None) == (self.code is None):
            raise ValueError("either key or code is needed")
        return self


@router.post("/auth/session")
async def log_in(login: Login, request: Request, edge: CurrentEdge) -> Response:
    """Exchange a key or a code for an HttpOnly session cookie."""
    # A foreign page must not log a browser in as somebody else.
    edge.doorkeeper.origins.check_key(scheme_of(request.scope), request.headers)
    principal = await _identify(login, edge)
    response = JSONResponse({"owner_id": principal.owner_id})
    response.set_cookie(
        session_cookie(scheme_of(request.scope)),
        edge.doorkeeper.new_session(principal),
        max_age=edge.doorkeeper.session_s,
        httponly=True,
        samesite="strict",
        secure=is_secure(scheme_of(request.scope)),
    )
    return response


async def _identify(login: Login, edge: Edge) -> Principal:
    if login.code is None:
        return edge.doorkeeper.identify_key((login.key or "").strip())
    if not await asyncio.to_thread(edge.login_codes.take, login.code):
        raise ParleyError(ErrorCode.UNAUTHENTICATED, "The link was used already, or it is too old.")
    return Principal(LOCAL_OWNER)


@router.delete("/auth/session")
async def log_out(principal: CurrentPrincipal, request: Request) -> Response:
    """Forget the session cookie."""
    response = JSONResponse({"owner_id": principal.owner_id})
    scheme = scheme_of(request.scope)
    response.delete_cookie(session_cookie(scheme), secure=is_secure(scheme), httponly=True, samesite="strict")
    return response


@router.get("/users/me")
async def read_me(principal: CurrentPrincipal) -> dict[str, str]:
    """Return who you are."""
    return {"owner_id": principal.owner_id}
