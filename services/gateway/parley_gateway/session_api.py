"""Logging a browser in with a key or a password, and out."""

from typing import Self

from fastapi import APIRouter
from parley_contracts.accounts import SessionTokens
from parley_contracts.policy import Permission, effective
from pydantic import BaseModel, Field, model_validator
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from parley_gateway.auth_api import end_own_session, open_by_key, open_by_password
from parley_gateway.edge import CurrentEdge, CurrentPrincipal, Edge
from parley_gateway.identity import SESSION_COOKIE

router = APIRouter(prefix="/api", tags=["session"])


class Login(BaseModel):
    """A key, from the link that `parley up` prints or from `parley token`; or a login and its password."""

    key: str | None = Field(default=None, min_length=1, max_length=500)
    login: str | None = Field(default=None, min_length=1, max_length=320)
    password: str | None = Field(default=None, min_length=1, max_length=1024)

    @model_validator(mode="after")
    def _has_one(self) -> Self:
        shown = tuple(one is not None for one in (self.key, self.login, self.password))
        if shown not in {(True, False, False), (False, True, True)}:
            raise ValueError("either key, or login and password are needed")
        return self


class Identity(BaseModel):
    """Who you are, and what you may do."""

    owner_id: str
    role: str
    permissions: list[Permission]


@router.post("/auth/session")
async def log_in(login: Login, request: Request, edge: CurrentEdge) -> Response:
    """Exchange a key, or a login and its password, for an HttpOnly session cookie."""
    opened = await _open(login, request, edge)
    response = JSONResponse({"owner_id": opened.user.id})
    response.set_cookie(
        SESSION_COOKIE,
        edge.doorkeeper.new_session(opened.session_id),
        max_age=edge.doorkeeper.session_s,
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
    return response


async def _open(login: Login, request: Request, edge: Edge) -> SessionTokens:
    if login.key is not None:
        return await open_by_key(login.key.strip(), request, edge)
    return await open_by_password(login.login or "", login.password or "", request, edge)


@router.delete("/auth/session")
async def log_out(principal: CurrentPrincipal, edge: CurrentEdge) -> Response:
    """End the session, and have the browser forget its cookie."""
    await end_own_session(principal, edge)
    response = JSONResponse({"owner_id": principal.owner_id})
    response.delete_cookie(SESSION_COOKIE)
    return response


@router.get("/users/me")
async def read_identity(principal: CurrentPrincipal) -> Identity:
    """Return who you are, and what you may do with what you have shown."""
    permissions = sorted(effective(principal.role, principal.scopes))
    return Identity(owner_id=principal.owner_id, role=principal.role, permissions=permissions)
