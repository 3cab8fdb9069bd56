"""Programs come in by a password and get tokens; links are used; what is one's own is seen and changed."""

from fastapi import APIRouter
from parley_contracts import subjects
from parley_contracts.accounts import (
    AcceptInvitation,
    ChangePassword,
    ChangeUser,
    EndSession,
    EndSessions,
    ForgotPassword,
    ListSessions,
    LogIn,
    LogInWithKey,
    ReadUser,
    RefreshSession,
    ResetPassword,
    SessionList,
    SessionTokens,
    User,
)
from parley_contracts.replies import Done
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request

from parley_gateway.edge import CurrentEdge, CurrentPrincipal, Edge
from parley_gateway.principal import Principal

router = APIRouter(prefix="/api/auth", tags=["auth"])

ASK_S = 5.0
PASSWORD_S = 20.0
"""Passwords are slow to verify, and wait for each other."""


class PasswordLogin(BaseModel):
    """A name or an e-mail address, and its password."""

    model_config = ConfigDict(extra="forbid")

    login: str = Field(min_length=1, max_length=320)
    password: str = Field(min_length=1, max_length=1024)


class NewPassword(BaseModel):
    """The password you have, unless you have none yet, and the one to come."""

    model_config = ConfigDict(extra="forbid")

    current_password: str | None = Field(default=None, min_length=1, max_length=1024)
    new_password: str = Field(min_length=1, max_length=1024)


class RefreshToken(BaseModel):
    """The refresh token of the last pair."""

    model_config = ConfigDict(extra="forbid")

    refresh_token: str = Field(min_length=1, max_length=512)


class NewAccount(BaseModel):
    """The token of an invitation, and who you are to be."""

    model_config = ConfigDict(extra="forbid")

    token: str = Field(min_length=1, max_length=512)
    name: str = Field(min_length=1, max_length=64)
    email: str | None = Field(default=None, max_length=254)
    display_name: str = Field(default="", max_length=100)
    password: str = Field(min_length=1, max_length=1024)


class ForgottenLogin(BaseModel):
    """The name or the e-mail address of whoever has forgotten his password."""

    model_config = ConfigDict(extra="forbid")

    login: str = Field(min_length=1, max_length=320)


class PasswordByLink(BaseModel):
    """The token of a reset link, and the password to come."""

    model_config = ConfigDict(extra="forbid")

    token: str = Field(min_length=1, max_length=512)
    password: str = Field(min_length=1, max_length=1024)


class OwnChange(BaseModel):
    """What you are to be called."""

    model_config = ConfigDict(extra="forbid")

    display_name: str = Field(min_length=1, max_length=100)


async def open_by_key(key: str, request: Request, edge: Edge) -> SessionTokens:
    """Open a session by an API key; ParleyError `unauthenticated` when it is not a good one."""
    asked = LogInWithKey(key=key, client=client_name(request), address=client_address(request))
    return await edge.bus.request(subjects.ACCOUNTS_LOG_IN_WITH_KEY, asked, SessionTokens, timeout_s=ASK_S)


async def open_by_password(login: str, password: str, request: Request, edge: Edge) -> SessionTokens:
    """Open a session by a password; ParleyError `unauthenticated` when it may not be."""
    client, address = client_name(request), client_address(request)
    asked = LogIn(login=login, password=password, client=client, address=address)
    return await edge.bus.request(subjects.ACCOUNTS_LOG_IN, asked, SessionTokens, timeout_s=PASSWORD_S)


async def end_own_session(principal: Principal, edge: Edge) -> None:
    """End the session that somebody came in by; a key is no session, and stays."""
    if principal.session_id is not None:
        asked = EndSession(**principal.asking, session_id=principal.session_id)
        await edge.bus.request(subjects.ACCOUNTS_END_SESSION, asked, Done, timeout_s=ASK_S)


def client_address(request: Request) -> str | None:
    """Return where a client is."""
    return request.client.host[:64] if request.client is not None else None


def client_name(request: Request) -> str:
    """Return what a session of this client is shown as in a list."""
    return request.headers.get("user-agent", "")[:200]


@router.post("/login")
async def log_in(body: PasswordLogin, request: Request, edge: CurrentEdge) -> SessionTokens:
    """Open a session by a password; the access token is for the `Authorization` header."""
    return await open_by_password(body.login, body.password, request, edge)


@router.post("/refresh")
async def refresh(body: RefreshToken, edge: CurrentEdge) -> SessionTokens:
    """Exchange a refresh token for the next pair. It is good once: a second use ends the session."""
    asked = RefreshSession(refresh_token=body.refresh_token)
    return await edge.bus.request(subjects.ACCOUNTS_REFRESH_SESSION, asked, SessionTokens, timeout_s=ASK_S)


@router.post("/logout")
async def log_out(principal: CurrentPrincipal, edge: CurrentEdge) -> Done:
    """End the session of the access token that is shown; every gateway refuses it from then on."""
    await end_own_session(principal, edge)
    return Done()


@router.get("/me")
async def read_me(principal: CurrentPrincipal, edge: CurrentEdge) -> User:
    """Return your account."""
    asked = ReadUser(**principal.asking)
    return await edge.bus.request(subjects.ACCOUNTS_READ_USER, asked, User, timeout_s=ASK_S)


@router.patch("/me")
async def change_me(body: OwnChange, principal: CurrentPrincipal, edge: CurrentEdge) -> User:
    """Be called something else."""
    asked = ChangeUser(**principal.asking, display_name=body.display_name)
    return await edge.bus.request(subjects.ACCOUNTS_CHANGE_USER, asked, User, timeout_s=ASK_S)


@router.get("/sessions")
async def list_sessions(principal: CurrentPrincipal, edge: CurrentEdge) -> SessionList:
    """List your open sessions, the latest used first."""
    asked = ListSessions(**principal.asking)
    return await edge.bus.request(subjects.ACCOUNTS_LIST_SESSIONS, asked, SessionList, timeout_s=ASK_S)


@router.delete("/sessions")
async def end_sessions(principal: CurrentPrincipal, edge: CurrentEdge) -> Done:
    """Log yourself out everywhere."""
    asked = EndSessions(**principal.asking)
    return await edge.bus.request(subjects.ACCOUNTS_END_SESSIONS, asked, Done, timeout_s=ASK_S)


@router.delete("/sessions/{session_id}")
async def end_session(session_id: str, principal: CurrentPrincipal, edge: CurrentEdge) -> Done:
    """End one of your sessions."""
    asked = EndSession(**principal.asking, session_id=session_id)
    return await edge.bus.request(subjects.ACCOUNTS_END_SESSION, asked, Done, timeout_s=ASK_S)


@router.post("/password")
async def change_password(body: NewPassword, principal: CurrentPrincipal, edge: CurrentEdge) -> Done:
    """Change your password; your other sessions end."""
    asked = ChangePassword(
        **principal.asking,
        current_password=body.current_password,
        new_password=body.new_password,
        session_id=principal.session_id,
    )
    return await edge.bus.request(subjects.ACCOUNTS_CHANGE_PASSWORD, asked, Done, timeout_s=PASSWORD_S)


@router.post("/invitation", status_code=201)
async def accept_invitation(body: NewAccount, edge: CurrentEdge) -> User:
    """Become a user by the token of an invitation."""
    asked = AcceptInvitation(**body.model_dump())
    return await edge.bus.request(subjects.ACCOUNTS_ACCEPT_INVITATION, asked, User, timeout_s=PASSWORD_S)


@router.post("/forgot", status_code=202)
async def forgot_password(body: ForgottenLogin, edge: CurrentEdge) -> Done:
    """Have a link mailed that sets a new password; the answer is the same whoever asks."""
    asked = ForgotPassword(login=body.login)
    return await edge.bus.request(subjects.ACCOUNTS_FORGOT_PASSWORD, asked, Done, timeout_s=ASK_S)


@router.post("/reset")
async def reset_password(body: PasswordByLink, edge: CurrentEdge) -> Done:
    """Set a new password by the token of a reset link; all sessions end."""
    asked = ResetPassword(token=body.token, password=body.password)
    return await edge.bus.request(subjects.ACCOUNTS_RESET_PASSWORD, asked, Done, timeout_s=PASSWORD_S)
