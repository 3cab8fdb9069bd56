"""Coming in and leaving: browsers get a cookie, programs get tokens."""

from typing import Self

from fastapi import APIRouter
from parley_contracts import subjects
from parley_contracts.accounts import (
    AcceptInvitation,
    ChangePassword,
    EndSession,
    LogIn,
    LogInWithKey,
    RefreshSession,
    ResetPassword,
    SessionTokens,
    User,
)
from parley_contracts.policy import Permission, effective
from parley_contracts.replies import Done
from pydantic import BaseModel, Field, model_validator
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from parley_gateway.edge import CurrentEdge, CurrentPrincipal, Edge
from parley_gateway.identity import SESSION_COOKIE, Principal

router = APIRouter(prefix="/api", tags=["session"])

ASK_S = 5.0
PASSWORD_S = 20.0
"""Passwords are slow to verify, and wait for each other."""


class PasswordLogin(BaseModel):
    """A name or an e-mail address, and its password."""

    login: str = Field(min_length=1, max_length=320)
    password: str = Field(min_length=1, max_length=1024)


class Login(BaseModel):
    """A key, from the link that `parley up` prints or from `parley token`; or a login and its password."""

    key: str | None = Field(default=None, min_length=1, max_length=500)
    login: str | None = Field(default=None, min_length=1, max_length=320)
    password: str | None = Field(default=None, min_length=1, max_length=1024)

    @model_validator(mode="after")
    def _has_one(self) -> Self:
        by_password = self.login is not None and self.password is not None
        if (self.key is None) != by_password:
            raise ValueError("either key, or login and password are needed")
        return self


class Identity(BaseModel):
    """Who you are, and what you may do."""

    owner_id: str
    role: str
    permissions: list[Permission]


@router.post("/auth/session")
async def open_session(login: Login, request: Request, edge: CurrentEdge) -> Response:
    """Exchange a key, or a login and password, for an HttpOnly session cookie."""
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
    client = _client(request)
    if login.key is not None:
        asked = LogInWithKey(key=login.key.strip(), client=client)
        return await edge.bus.request(
            subjects.ACCOUNTS_LOG_IN_WITH_KEY, asked, SessionTokens, timeout_s=ASK_S
        )
    return await _log_in(login.login or "", login.password or "", client, edge)


async def _log_in(login: str, password: str, client: str, edge: Edge) -> SessionTokens:
    asked = LogIn(login=login, password=password, client=client)
    return await edge.bus.request(subjects.ACCOUNTS_LOG_IN, asked, SessionTokens, timeout_s=PASSWORD_S)


def _client(request: Request) -> str:
    return request.headers.get("user-agent", "")[:200]


@router.delete("/auth/session")
async def close_session(principal: CurrentPrincipal, edge: CurrentEdge) -> Response:
    """End the session, and have the browser forget its cookie."""
    await _end(principal, edge)
    response = JSONResponse({"owner_id": principal.owner_id})
    response.delete_cookie(SESSION_COOKIE)
    return response


async def _end(principal: Principal, edge: Edge) -> None:
    if principal.session_id is not None:
        asked = EndSession(**principal.asking, session_id=principal.session_id)
        await edge.bus.request(subjects.ACCOUNTS_END_SESSION, asked, Done, timeout_s=ASK_S)


@router.post("/auth/login")
async def log_in(body: PasswordLogin, request: Request, edge: CurrentEdge) -> SessionTokens:
    """Open a session by a password; the access token is for the `Authorization` header."""
    return await _log_in(body.login, body.password, _client(request), edge)


@router.post("/auth/refresh")
async def refresh(body: RefreshSession, edge: CurrentEdge) -> SessionTokens:
    """Exchange a refresh token for the next pair. It is good once: a second use ends the session."""
    return await edge.bus.request(subjects.ACCOUNTS_REFRESH_SESSION, body, SessionTokens, timeout_s=ASK_S)


@router.post("/auth/logout")
async def log_out(principal: CurrentPrincipal, edge: CurrentEdge) -> Done:
    """End the session of the access token that is shown; every gateway refuses it from then on."""
    await _end(principal, edge)
    return Done()


@router.delete("/auth/sessions/{session_id}")
async def end_session(session_id: str, principal: CurrentPrincipal, edge: CurrentEdge) -> Done:
    """End one of your sessions."""
    asked = EndSession(**principal.asking, session_id=session_id)
    return await edge.bus.request(subjects.ACCOUNTS_END_SESSION, asked, Done, timeout_s=ASK_S)


@router.post("/auth/invitation", status_code=201)
async def accept_invitation(body: AcceptInvitation, edge: CurrentEdge) -> User:
    """Become a user by the token of an invitation."""
    return await edge.bus.request(subjects.ACCOUNTS_ACCEPT_INVITATION, body, User, timeout_s=PASSWORD_S)


@router.post("/auth/reset")
async def reset_password(body: ResetPassword, edge: CurrentEdge) -> Done:
    """Set a new password by the token of a reset link; all sessions end."""
    return await edge.bus.request(subjects.ACCOUNTS_RESET_PASSWORD, body, Done, timeout_s=PASSWORD_S)


class NewPassword(BaseModel):
    """The password you have, unless you have none yet, and the one to come."""

    current_password: str | None = Field(default=None, min_length=1, max_length=1024)
    new_password: str = Field(min_length=1, max_length=1024)


@router.post("/auth/password")
async def change_password(body: NewPassword, principal: CurrentPrincipal, edge: CurrentEdge) -> Done:
    """Change your password; your other sessions end."""
    asked = ChangePassword(
        **principal.asking,
        current_password=body.current_password,
        new_password=body.new_password,
        session_id=principal.session_id,
    )
    return await edge.bus.request(subjects.ACCOUNTS_CHANGE_PASSWORD, asked, Done, timeout_s=PASSWORD_S)


@router.get("/users/me")
async def read_me(principal: CurrentPrincipal) -> Identity:
    """Return who you are, and what you may do with what you have shown."""
    permissions = sorted(effective(principal.role, principal.scopes))
    return Identity(owner_id=principal.owner_id, role=principal.role, permissions=permissions)
