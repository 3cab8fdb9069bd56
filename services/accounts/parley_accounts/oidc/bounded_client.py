"""Asks a provider over HTTP: no redirects, a bound on the size of each answer, JSON objects only."""

import json
import ssl
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, cast

import httpx

from parley_accounts.oidc.faults import ProviderAwayError

MAX_ANSWER_BYTES = 256 * 1024
_CONNECTIONS = 16
_OK = 200


@dataclass(frozen=True, slots=True)
class Answer:
    """What was answered."""

    status: int
    body: Mapping[str, Any]

    @property
    def is_good(self) -> bool:
        """Whether it is what was asked for."""
        return self.status == _OK


class BoundedClient:
    """Asks; how long that may take is the caller's."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def get(self, url: str, *, bearer: str | None = None) -> Answer:
        """Return what stands there; ProviderAwayError when that cannot be told."""
        headers = {} if bearer is None else {"Authorization": f"Bearer {bearer}"}
        return await self._ask("GET", url, headers)

    async def post(self, url: str, form: Mapping[str, str], *, basic: str | None = None) -> Answer:
        """Return what a form is answered by; ProviderAwayError when that cannot be told."""
        headers = {} if basic is None else {"Authorization": f"Basic {basic}"}
        return await self._ask("POST", url, headers, dict(form))

    async def _ask(
        self, method: str, url: str, headers: dict[str, str], form: dict[str, str] | None = None
    ) -> Answer:
        try:
            request = self._client.build_request(method, url, data=form, headers=headers)
            response = await self._client.send(request, stream=True)
            try:
                body = await _read(response)
            finally:
                await response.aclose()
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise ProviderAwayError(type(error).__name__) from error
        return Answer(response.status_code, _object(body))


async def _read(response: httpx.Response) -> bytes:
    if response.headers.get("content-encoding", "identity").lower() != "identity":
        # A few packed bytes may be any number of unpacked ones.
        raise ProviderAwayError("the answer is packed, which was not asked for")
    body = b""
    async for part in response.aiter_raw():
        body += part
        if len(body) > MAX_ANSWER_BYTES:
            raise ProviderAwayError(f"the answer is larger than {MAX_ANSWER_BYTES} bytes")
    return body


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise ProviderAwayError("the answer is no JSON object")
    return cast("dict[str, Any]", found)


@cache
def _trusted(ca_file: Path | None) -> ssl.SSLContext:
    """Return who is believed; the usual certificates take 40 ms to read."""
    trusted = httpx.create_ssl_context()
    if ca_file is not None:
        trusted.load_verify_locations(ca_file)
    return trusted


@asynccontextmanager
async def open_bounded_client(ca_file: Path | None, timeout_s: float) -> AsyncGenerator[BoundedClient]:
    """Yield a client that trusts the usual certificates, and those of a file."""
    async with httpx.AsyncClient(
        verify=_trusted(ca_file),
        trust_env=False,
        follow_redirects=False,
        timeout=timeout_s,
        limits=httpx.Limits(max_connections=_CONNECTIONS),
        headers={"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "parley"},
    ) as client:
        yield BoundedClient(client)
