"""Logging a browser in by a provider of OpenID Connect: to it, and back with a code.

The gateway passes on what the browser brings; accounts keeps the secrets and asks the provider.
"""

from html import escape

from fastapi import APIRouter
from parley_contracts import subjects
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.oidc import (
    BeginProviderLogin,
    CompleteProviderLogin,
    LoginProvider,
    ProviderLoginBegun,
    ProviderLoginCompleted,
    ReadLoginProvider,
)
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from parley_gateway.auth_api import ASK_S, client_address, client_name
from parley_gateway.edge import CurrentEdge, Edge
from parley_gateway.identity import is_secure, read_cookie, scheme_of
from parley_gateway.return_path import return_path
from parley_gateway.session_api import PROVIDER_S, put_session

router = APIRouter(prefix="/api/auth/oidc", tags=["auth"])

PROOF_COOKIE = "parley_login"
SECURE_PROOF_COOKIE = "__Host-parley_login"
REFUSED_PAGE = "/login#oidc-refused"
AWAY_PAGE = "/login#oidc-away"
_ANSWERS = ("state", "code", "iss", "error")
_FOREIGN_SITES = frozenset({"cross-site", "same-site"})
_SEE_OTHER = 303


def proof_cookie(scheme: str) -> str:
    """Return the name of the cookie that keeps a login which a browser has begun."""
    return SECURE_PROOF_COOKIE if is_secure(scheme) else PROOF_COOKIE


@router.get("/provider")
async def read_provider(edge: CurrentEdge) -> LoginProvider:
    """Return what the button of the log-in page says; null when there is no provider."""
    asked = ReadLoginProvider()
    return await edge.bus.request(
        subjects.ACCOUNTS_READ_LOGIN_PROVIDER, asked, LoginProvider, timeout_s=ASK_S
    )


@router.get("", status_code=_SEE_OTHER, response_class=RedirectResponse)
async def begin(request: Request, edge: CurrentEdge, next: str = "/") -> Response:
    """Send a browser to the provider; `next` is the path where it goes when it comes back."""
    if request.headers.get("sec-fetch-site") in _FOREIGN_SITES:
        # What one has begun is forgotten when another is: that is for no foreign page to do.
        return RedirectResponse("/login", _SEE_OTHER)
    asked = BeginProviderLogin(return_to=return_path(next))
    try:
        begun = await edge.bus.request(
            subjects.ACCOUNTS_BEGIN_PROVIDER_LOGIN, asked, ProviderLoginBegun, timeout_s=PROVIDER_S
        )
    except ParleyError as error:
        if error.code is ErrorCode.NOT_FOUND:
            raise
        return RedirectResponse(AWAY_PAGE, _SEE_OTHER)
    response = RedirectResponse(begun.address, _SEE_OTHER)
    scheme = scheme_of(request.scope)
    response.set_cookie(
        proof_cookie(scheme),
        begun.proof,
        max_age=begun.lasts_s,
        httponly=True,
        # The provider's page leads back here: what is strict would not be sent then.
        samesite="lax",
        secure=is_secure(scheme),
    )
    return response


@router.get(
    "/callback",
    response_class=HTMLResponse,
    responses={_SEE_OTHER: {"description": "Not logged in; to the log-in page."}},
)
async def complete(request: Request, edge: CurrentEdge) -> Response:
    """Take a browser back from the provider, and log it in."""
    scheme = scheme_of(request.scope)
    response = await _complete(request, edge)
    response.delete_cookie(proof_cookie(scheme), secure=is_secure(scheme), httponly=True, samesite="lax")
    return response


async def _complete(request: Request, edge: Edge) -> Response:
    asked = _asked(request)
    if asked is None:
        return RedirectResponse(REFUSED_PAGE, _SEE_OTHER)
    try:
        completed = await edge.bus.request(
            subjects.ACCOUNTS_COMPLETE_PROVIDER_LOGIN, asked, ProviderLoginCompleted, timeout_s=PROVIDER_S
        )
    except ParleyError as error:
        is_refused = error.code in {ErrorCode.UNAUTHENTICATED, ErrorCode.NOT_FOUND}
        return RedirectResponse(REFUSED_PAGE if is_refused else AWAY_PAGE, _SEE_OTHER)
    response = _page_to(return_path(completed.return_to))
    put_session(response, request, edge, completed.tokens.session_id)
    return response


def _asked(request: Request) -> CompleteProviderLogin | None:
    """Return what the provider and the browser say; None when that is nothing to ask accounts about."""
    proof = read_cookie(request.headers.get("cookie", ""), proof_cookie(scheme_of(request.scope)))
    said = request.query_params
    if not proof or any(len(said.getlist(name)) > 1 for name in _ANSWERS):
        return None
    try:
        return CompleteProviderLogin(
            proof=proof,
            state=said.get("state", ""),
            code=said.get("code"),
            issuer=said.get("iss"),
            error=said.get("error"),
            client=client_name(request),
            address=client_address(request),
        )
    except ValidationError:
        return None


def _page_to(path: str) -> Response:
    """Return a page that goes on to a path by itself.

    A redirect would be the provider's page's still, and browsers send no strict cookie with it.
    """
    there = escape(path, quote=True)
    return HTMLResponse(
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Parley</title>'
        f'<meta http-equiv="refresh" content="0;url={there}"><p><a href="{there}">Go on</a></p></html>'
    )
