"""A faithful fake of an OpenID Connect provider (Core 1.0, Discovery 1.0, RFC 6749, 7636, 9207, 9700).

Whoever comes to its authorisation endpoint is `person`, and has agreed. `forge` writes ID tokens in other
ways, `described` changes what it says of itself, and `failing` has endpoints answer what they should not.
"""

import asyncio
import base64
import contextlib
import gzip
import hashlib
import secrets
import time
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote_plus, urlencode

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from tests.fakes.fake_listener import listening
from tests.fakes.id_tokens import Draft, ProviderKey, access_token_hash, encoded

CLIENT_ID = "parley client"
CLIENT_SECRET = "s3cret: +/%&é"
TOKEN_S = 300
CODE_S = 60
HUGE_BYTES = 400 * 1024

Endpoint = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Grant:
    """What a code stands for."""

    redirect_uri: str
    nonce: str | None
    challenge: str | None
    person: Mapping[str, Any]
    scopes: frozenset[str]
    expires_s: float


@dataclass
class OidcProviderFake:
    """The provider's state."""

    redirect_urls: set[str]
    client_secret: str | None = CLIENT_SECRET
    keys: list[ProviderKey] = field(default_factory=lambda: [ProviderKey()])
    person: dict[str, Any] = field(default_factory=lambda: {"sub": "ada-1"})
    described: dict[str, Any] = field(default_factory=dict[str, Any])
    failing: dict[str, str] = field(default_factory=dict[str, str])
    forge: Callable[[Draft], str] = Draft.signed
    denies: str | None = None
    told_by_userinfo: frozenset[str] = frozenset()
    url: str = ""
    calls: Counter[str] = field(default_factory=Counter[str])
    grants: dict[str, Grant] = field(default_factory=dict[str, Grant])
    used_codes: set[str] = field(default_factory=set[str])
    access_tokens: dict[str, Grant] = field(default_factory=dict[str, Grant])
    token_requests: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    secrets_told: list[str] = field(default_factory=list[str])

    def rotate(self, *, keeps_old: bool = False) -> ProviderKey:
        """Sign by another key from now on; return it."""
        made = ProviderKey(self.keys[0].algorithm)
        self.keys = [made, *self.keys] if keeps_old else [made]
        return made

    def app(self) -> Starlette:
        """Return the ASGI application."""
        paths: dict[str, tuple[Endpoint, str]] = {
            "/.well-known/openid-configuration": (self._describe, "GET"),
            "/authorize": (self._authorise, "GET"),
            "/token": (self._exchange, "POST"),
            "/jwks": (self._publish, "GET"),
            "/userinfo": (self._user_info, "GET"),
            "/elsewhere": (self._publish, "GET"),
        }
        return Starlette(
            routes=[
                Route(path, self._counted(path.rpartition("/")[2], endpoint), methods=[method])
                for path, (endpoint, method) in paths.items()
            ]
        )

    def _counted(self, name: str, endpoint: Endpoint) -> Endpoint:
        async def counted(request: Request) -> Response:
            self.calls[name] += 1
            if (failure := self.failing.get(name)) is not None:
                return await failed(failure, await endpoint(request))
            return await endpoint(request)

        return counted

    @property
    def metadata(self) -> dict[str, Any]:
        """What it says of itself."""
        said: dict[str, Any] = {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize?tenant=one",
            "token_endpoint": f"{self.url}/token",
            "jwks_uri": f"{self.url}/jwks",
            "userinfo_endpoint": f"{self.url}/userinfo",
            "end_session_endpoint": f"{self.url}/logout",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": [key.algorithm for key in self.keys],
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
            "authorization_response_iss_parameter_supported": True,
        }
        changed = {**said, **self.described}
        return {name: value for name, value in changed.items() if value is not None}

    async def _describe(self, _: Request) -> Response:
        return JSONResponse(self.metadata)

    async def _publish(self, _: Request) -> Response:
        return JSONResponse({"keys": [key.jwk for key in self.keys]})

    async def _authorise(self, request: Request) -> Response:
        said = request.query_params
        redirect_uri = said.get("redirect_uri", "")
        if said.get("client_id") != CLIENT_ID or redirect_uri not in self.redirect_urls:
            # Whoever cannot be told is not sent anywhere (RFC 6749, 4.1.2.1).
            return Response("This client is not known.", 400)
        fault = self.denies
        if said.get("response_type") != "code":
            fault = "unsupported_response_type"
        elif "openid" not in said.get("scope", "").split():
            fault = "invalid_scope"
        elif "code_challenge" in said and said.get("code_challenge_method") != "S256":
            fault = "invalid_request"
        answer = {"state": said.get("state", ""), "iss": self.url}
        if fault is not None:
            answer |= {"error": fault, "error_description": "It was not to be."}
        else:
            answer["code"] = self._grant(request)
        return RedirectResponse(f"{redirect_uri}?{urlencode(answer)}", 302)

    def _grant(self, request: Request) -> str:
        said, code = request.query_params, secrets.token_urlsafe(24)
        self.grants[code] = Grant(
            redirect_uri=said["redirect_uri"],
            nonce=said.get("nonce"),
            challenge=said.get("code_challenge"),
            person=dict(self.person),
            scopes=frozenset(said["scope"].split()),
            expires_s=time.time() + CODE_S,
        )
        return code

    async def _exchange(self, request: Request) -> Response:
        form = {name: values[-1] for name, values in parse_qs((await request.body()).decode()).items()}
        self.token_requests.append(form)
        if not self._is_our_client(request, form):
            return refusal("invalid_client", 401)
        if form.get("grant_type") != "authorization_code":
            return refusal("unsupported_grant_type")
        code = form.get("code", "")
        if code in self.used_codes:
            return refusal("invalid_grant")
        grant = self.grants.pop(code, None)
        self.used_codes.add(code)
        if grant is None or grant.expires_s < time.time() or grant.redirect_uri != form.get("redirect_uri"):
            return refusal("invalid_grant")
        if not is_proven(grant.challenge, form.get("code_verifier")):
            return refusal("invalid_grant")
        return JSONResponse(self._tokens(grant), headers={"Cache-Control": "no-store"})

    def _tokens(self, grant: Grant) -> dict[str, Any]:
        access_token, now_s = secrets.token_urlsafe(24), int(time.time())
        self.access_tokens[access_token] = grant
        key = self.keys[0]
        claims: dict[str, Any] = {
            "iss": self.url,
            "aud": CLIENT_ID,
            "azp": CLIENT_ID,
            "iat": now_s,
            "exp": now_s + TOKEN_S,
            "at_hash": access_token_hash(access_token, key.algorithm),
            **{name: value for name, value in grant.person.items() if name not in self.told_by_userinfo},
        }
        if grant.nonce is not None:
            claims["nonce"] = grant.nonce
        id_token = self.forge(Draft(key, claims, access_token))
        self.secrets_told += [access_token, id_token]
        return {
            "access_token": access_token,
            "token_type": "Bearer",
            "expires_in": TOKEN_S,
            "id_token": id_token,
        }

    def _is_our_client(self, request: Request, form: Mapping[str, str]) -> bool:
        kind, _, text = request.headers.get("authorization", "").partition(" ")
        if kind.lower() == "basic":
            name, _, secret = base64.b64decode(text).decode().partition(":")
            found = (unquote_plus(name), unquote_plus(secret))
        else:
            found = (form.get("client_id", ""), form.get("client_secret"))
        return found == (CLIENT_ID, self.client_secret)

    async def _user_info(self, request: Request) -> Response:
        grant = self.access_tokens.get(request.headers.get("authorization", "").removeprefix("Bearer "))
        if grant is None:
            headers = {"WWW-Authenticate": 'Bearer error="invalid_token"'}
            return JSONResponse({"error": "invalid_token"}, 401, headers)
        return JSONResponse(dict(grant.person))


def is_proven(challenge: str | None, verifier: str | None) -> bool:
    """Return whether a verifier is that of the challenge; one without a challenge is a downgrade."""
    if challenge is None or verifier is None:
        return challenge is None and verifier is None
    return encoded(hashlib.sha256(verifier.encode()).digest()) == challenge


def refusal(fault: str, status: int = 400) -> Response:
    """Return an error of the token endpoint (RFC 6749, 5.2)."""
    body = {"error": fault, "error_description": "No."}
    return JSONResponse(body, status, {"Cache-Control": "no-store"})


async def failed(failure: str, right: Response) -> Response:
    """Return an answer that is wrong in the named way."""
    if failure == "slow":
        await asyncio.Event().wait()
    packed = gzip.compress(bytes(right.body))
    answers = {
        "away": Response("Bad gateway", 502),
        "huge": Response(b'{"keys": [' + b" " * HUGE_BYTES + b"]}", media_type="application/json"),
        "packed": Response(packed, headers={"Content-Encoding": "gzip"}),
        "page": Response("<html>Under repair</html>", media_type="text/html"),
        "list": JSONResponse([1, 2]),
        "deep": Response(b"[" * 100_000, media_type="application/json"),
        "redirected": RedirectResponse("/elsewhere", 302),
        "empty": Response(b""),
    }
    return answers[failure]


@contextlib.asynccontextmanager
async def running_provider(redirect_url: str, **changed: Any) -> AsyncGenerator[OidcProviderFake]:
    """Yield a provider that listens on the loopback address."""
    fake = OidcProviderFake({redirect_url}, **changed)
    async with listening(fake.app()) as url:
        fake.url = url
        yield fake
