"""Logging a browser in with a key, the code of a login link or a password, and out."""

import asyncio
from typing import Self

from fastapi import APIRouter
from parley_contracts import subjects
from parley_contracts.accounts import SessionTokens
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.oidc import ProviderLogout, ReadProviderLogout
from parley_contracts.policy import Permission, effective
from pydantic import BaseModel, ConfigDict, Field, model_validator
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from parley_gateway.auth_api import end_own_session, open_by_key, open_by_password
from parley_gateway.edge import CurrentEdge, CurrentPrincipal, Edge
from parley_gateway.identity import is_secure, scheme_of, session_cookie
from parley_gateway.principal import Principal

router = APIRouter(prefix="/api", tags=["session"])


MAX_KEY_CHARS = 500
PROVIDER_S = 20.0
"""Accounts asks the provider, and has its own bound on that."""
PROOFS = ({"key"}, {"code"}, {"login", "password"})


class Login(BaseModel):
    """The code of a link that `parley up` prints, good once; a key, from `parley token`; or a password."""

    model_config = ConfigDict(extra="forbid")

    key: str | None = Field(default=None, min_length=1, max_length=MAX_KEY_CHARS)
    code: str | None = Field(default=None, min_length=1, max_length=MAX_KEY_CHARS)
    login: str | None = Field(default=None, min_length=1, max_length=320)
    password: str | None = Field(default=None, min_length=1, max_length=1024)

    @model_validator(mode="after")
    def _has_one(self) -> Self:
        if {name for name, value in self if value is not None} not in PROOFS:
            raise ValueError("either key, or code, or login and password are needed")
        return self


class Identity(BaseModel):
    """Who you are, and what you may do."""

    owner_id: str
    role: str
    permissions: list[Permission]


@router.post("/auth/session")
async def log_in(login: Login, request: Request, edge: CurrentEdge) -> Response:
    """Exchange a key, a code, or a login and its password, for an HttpOnly session cookie."""
    # A foreign page must not log a browser in as somebody else.
    edge.doorkeeper.origins.check_key(scheme_of(request.scope), request.headers)
    opened = await _open(login, request, edge)
    response = JSONResponse({"owner_id": opened.user.id})
    put_session(response, request, edge, opened.session_id)
    return response


def put_session(response: Response, request: Request, edge: Edge, session_id: str) -> None:
    """Give a browser the cookie of a session that was opened for it."""
    scheme = scheme_of(request.scope)
    response.set_cookie(
        session_cookie(scheme),
        edge.doorkeeper.new_session(session_id),
        max_age=edge.doorkeeper.session_s,
        httponly=True,
        samesite="strict",
        secure=is_secure(scheme),
    )


async def _open(login: Login, request: Request, edge: Edge) -> SessionTokens:
    if login.key is not None:
        return await open_by_key(login.key.strip(), request, edge)
    if login.code is None:
        return await open_by_password(login.login or "", login.password or "", request, edge)
    if not await asyncio.to_thread(edge.login_codes.take, login.code):
        raise ParleyError(ErrorCode.UNAUTHENTICATED, "The link was used already, or it is too old.")
    # Who could write the code could read the owner's key as well.
    return await open_by_key(edge.doorkeeper.owner_key, request, edge)


@router.delete("/auth/session")
async def log_out(principal: CurrentPrincipal, request: Request, edge: CurrentEdge) -> Response:
    """End the session, and have the browser forget its cookie."""
    address = await _provider_logout(principal, edge)
    await end_own_session(principal, edge)
    response = JSONResponse({"owner_id": principal.owner_id, "provider_logout": address})
    scheme = scheme_of(request.scope)
    response.delete_cookie(session_cookie(scheme), secure=is_secure(scheme), httponly=True, samesite="strict")
    return response


async def _provider_logout(principal: Principal, edge: Edge) -> str | None:
    """Return where the browser ends its session at the provider; whatever happens, here it ends."""
    if principal.session_id is None:
        return None
    asked = ReadProviderLogout(**principal.asking, session_id=principal.session_id)
    try:
        told = await edge.bus.request(
            subjects.ACCOUNTS_READ_PROVIDER_LOGOUT, asked, ProviderLogout, timeout_s=PROVIDER_S
        )
    except ParleyError:
        return None
    return told.address


@router.get("/users/me")
async def read_identity(principal: CurrentPrincipal) -> Identity:
    """Return who you are, and what you may do with what you have shown."""
    permissions = sorted(effective(principal.role, principal.scopes, principal.granted))
    return Identity(owner_id=principal.owner_id, role=principal.role, permissions=permissions)
