"""Attacks on logins by a provider that change what goes to and fro, and why each is refused.

`victim` is the browser that comes back at the end; `other` is an attacker's.
"""

from collections.abc import Awaitable, Callable
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx
from parley_accounts.oidc.faults import LoginFault

from tests.fakes.id_tokens import Draft
from tests.unit.gateway.provider_edge import CALLBACK, Browser, ProviderEdge

Attack = Callable[[ProviderEdge, Browser, Browser], Awaitable[httpx.Response]]


def with_address(address: str, **changed: str | None) -> str:
    """Return an address of the provider as somebody has changed it who stands between."""
    there = urlsplit(address)
    said = {**dict(parse_qsl(there.query)), **changed}
    return there._replace(query=urlencode({k: v for k, v in said.items() if v is not None})).geturl()


async def nothing(edge: ProviderEdge, victim: Browser, _: Browser) -> httpx.Response:
    return await victim.client.get(CALLBACK)


async def without_cookie(edge: ProviderEdge, victim: Browser, other: Browser) -> httpx.Response:
    return await victim.come_back(await other.begun())


async def state_of_another(edge: ProviderEdge, victim: Browser, other: Browser) -> httpx.Response:
    await victim.begin()
    return await victim.come_back(await other.begun())


async def no_state(edge: ProviderEdge, victim: Browser, _: Browser) -> httpx.Response:
    return await victim.come_back({**await victim.begun(), "state": ""})


async def changed_proof(edge: ProviderEdge, victim: Browser, _: Browser) -> httpx.Response:
    said = await victim.begun()
    proof = victim.proof
    victim.show(f"{proof[:-9]}{'B' if proof[-9] == 'A' else 'A'}{proof[-8:]}")
    return await victim.come_back(said)


async def made_up_proof(edge: ProviderEdge, victim: Browser, _: Browser) -> httpx.Response:
    said = await victim.begun()
    victim.show("v1.0123456789abcdef.AAAA")
    return await victim.come_back(said)


async def replayed(edge: ProviderEdge, victim: Browser, _: Browser) -> httpx.Response:
    said, proof = await victim.begun(), victim.proof
    edge.fake.forge = lambda draft: draft.saying(nonce="another").signed()
    await victim.come_back(said)
    victim.show(proof)
    return await victim.come_back(said)


async def code_of_a_used_login(edge: ProviderEdge, victim: Browser, other: Browser) -> httpx.Response:
    first = await other.begun()
    edge.fake.forge = lambda draft: draft.saying(nonce="another").signed()
    await other.come_back(first)
    edge.fake.forge = Draft.signed
    return await victim.come_back({**await victim.begun(), "code": first["code"]})


async def injected_code(edge: ProviderEdge, victim: Browser, other: Browser) -> httpx.Response:
    stolen = await other.begun()
    return await victim.come_back({**await victim.begun(), "code": stolen["code"]})


async def other_issuer(edge: ProviderEdge, victim: Browser, _: Browser) -> httpx.Response:
    return await victim.come_back({**await victim.begun(), "iss": "https://evil.example"})


async def no_issuer(edge: ProviderEdge, victim: Browser, _: Browser) -> httpx.Response:
    said = await victim.begun()
    del said["iss"]
    return await victim.come_back(said)


async def no_challenge(edge: ProviderEdge, victim: Browser, _: Browser) -> httpx.Response:
    address = (await victim.begin()).headers["location"]
    changed = with_address(address, code_challenge=None, code_challenge_method=None)
    return await victim.come_back(await victim.at_provider(changed))


async def plain_challenge(edge: ProviderEdge, victim: Browser, _: Browser) -> httpx.Response:
    address = with_address((await victim.begin()).headers["location"], code_challenge_method="plain")
    return await victim.come_back(await victim.at_provider(address))


async def other_challenge(edge: ProviderEdge, victim: Browser, _: Browser) -> httpx.Response:
    address = with_address((await victim.begin()).headers["location"], code_challenge="x" * 43)
    return await victim.come_back(await victim.at_provider(address))


async def other_nonce(edge: ProviderEdge, victim: Browser, _: Browser) -> httpx.Response:
    address = with_address((await victim.begin()).headers["location"], nonce="chosen")
    return await victim.come_back(await victim.at_provider(address))


async def no_nonce(edge: ProviderEdge, victim: Browser, _: Browser) -> httpx.Response:
    address = with_address((await victim.begin()).headers["location"], nonce=None)
    return await victim.come_back(await victim.at_provider(address))


async def denied(edge: ProviderEdge, victim: Browser, _: Browser) -> httpx.Response:
    edge.fake.denies = "access_denied"
    return await victim.come_back(await victim.begun())


async def denied_in_many_lines(edge: ProviderEdge, victim: Browser, _: Browser) -> httpx.Response:
    said = await victim.begun()
    return await victim.come_back({**said, "error": "a\r\nSet-Cookie: b=c\r\n"})


async def no_code(edge: ProviderEdge, victim: Browser, _: Browser) -> httpx.Response:
    said = await victim.begun()
    del said["code"]
    return await victim.come_back(said)


async def made_up_code(edge: ProviderEdge, victim: Browser, _: Browser) -> httpx.Response:
    return await victim.come_back({**await victim.begun(), "code": "made\r\nup&grant_type=password"})


async def long_state(edge: ProviderEdge, victim: Browser, _: Browser) -> httpx.Response:
    return await victim.come_back({**await victim.begun(), "state": "x" * 513})


async def two_codes(edge: ProviderEdge, victim: Browser, other: Browser) -> httpx.Response:
    said, more = await victim.begun(), await other.begun()
    return await victim.come_back(f"{urlencode(said)}&{urlencode({'code': more['code']})}")


async def too_late(edge: ProviderEdge, victim: Browser, _: Browser) -> httpx.Response:
    said = await victim.begun()
    edge.entered.accounts.clock.advance(601)
    return await victim.come_back(said)


ATTACKS: dict[Attack, LoginFault | None] = {
    nothing: None,
    without_cookie: None,
    state_of_another: LoginFault.OTHER_STATE,
    no_state: LoginFault.OTHER_STATE,
    changed_proof: LoginFault.NO_PROOF,
    made_up_proof: LoginFault.NO_PROOF,
    replayed: LoginFault.USED,
    code_of_a_used_login: LoginFault.BAD_CODE,
    injected_code: LoginFault.BAD_CODE,
    other_issuer: LoginFault.OTHER_PROVIDER,
    no_issuer: LoginFault.OTHER_PROVIDER,
    no_challenge: LoginFault.BAD_CODE,
    plain_challenge: LoginFault.DENIED,
    other_challenge: LoginFault.BAD_CODE,
    other_nonce: LoginFault.NONCE,
    no_nonce: LoginFault.CLAIMS,
    denied: LoginFault.DENIED,
    denied_in_many_lines: LoginFault.DENIED,
    no_code: LoginFault.NO_CODE,
    made_up_code: LoginFault.BAD_CODE,
    long_state: None,
    two_codes: None,
    too_late: LoginFault.TOO_LATE,
}
"""By the fault that accounts counts; None where it is not even asked."""
