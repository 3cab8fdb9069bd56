"""ID tokens that are not what they should be, by what is wrong with them, and why each is refused."""

import json
import time
from collections.abc import Callable

from parley_accounts.oidc.faults import LoginFault as F

from tests.fakes.id_tokens import Draft, ProviderKey, access_token_hash, encoded
from tests.fakes.oidc_provider import CLIENT_ID, CLIENT_SECRET

Forge = Callable[[Draft], str]

OTHER = ProviderKey()
HOUR_S = 3600


def _by_a_key_of_its_own(draft: Draft) -> str:
    return draft.headed(jwk=OTHER.jwk, kid=OTHER.kid).signed(OTHER)


def _by_an_rsa_key(draft: Draft) -> str:
    key = ProviderKey("RS256", kid=draft.key.kid)
    return draft.headed(alg="RS256").signed(key, algorithm="RS256")


def _as_json(draft: Draft, payload: object) -> str:
    draft.claims = payload  # pyright: ignore[reportAttributeAccessIssue] - that it is no object is the case
    return draft.signed()


def _cut(draft: Draft) -> str:
    head, payload, signature = draft.signed().split(".")
    return f"{head}.{payload}.{signature[:40]}"


def _unsigned_under_its_name(draft: Draft) -> str:
    return f"{draft.signed().rpartition('.')[0]}."


def _now_s() -> int:
    return int(time.time())


_SIGNATURES: dict[str, tuple[Forge, F]] = {
    "none": (lambda d: d.unsigned(), F.ALGORITHM),
    "None": (lambda d: d.unsigned("None"), F.ALGORITHM),
    "nOnE": (lambda d: d.unsigned("nOnE"), F.ALGORITHM),
    "no algorithm": (lambda d: d.headed(alg=None).signed(), F.ALGORITHM),
    "an algorithm that is no text": (lambda d: d.headed(alg=["ES256"]).signed(), F.ALGORITHM),
    "no signature": (_unsigned_under_its_name, F.SIGNATURE),
    "HS256 by the public key": (lambda d: d.keyed(d.key.public_pem), F.ALGORITHM),
    "HS256 by the published key": (lambda d: d.keyed(json.dumps(d.key.jwk).encode()), F.ALGORITHM),
    "HS256 by the client's secret": (lambda d: d.keyed(CLIENT_SECRET.encode()), F.ALGORITHM),
    "HS512": (lambda d: d.keyed(d.key.public_pem, "HS512"), F.ALGORITHM),
    "another key under the name of ours": (lambda d: d.signed(OTHER), F.SIGNATURE),
    "another key under another name": (lambda d: d.headed(kid=OTHER.kid).signed(OTHER), F.UNKNOWN_KEY),
    "a key of its own": (_by_a_key_of_its_own, F.UNKNOWN_KEY),
    "a key of its own under the name of ours": (lambda d: d.headed(jwk=OTHER.jwk).signed(OTHER), F.SIGNATURE),
    "a key at an address": (lambda d: d.headed(jku="https://evil.example/").signed(OTHER), F.SIGNATURE),
    "a key of another type": (_by_an_rsa_key, F.UNKNOWN_KEY),
    "another algorithm named": (lambda d: d.headed(alg="ES384").signed(), F.UNKNOWN_KEY),
    "a name that is no text": (lambda d: d.headed(kid=5).signed(), F.MALFORMED),
    "a path for a name": (lambda d: d.headed(kid="../../dev/null").signed(), F.UNKNOWN_KEY),
    "an extension that is critical": (lambda d: d.headed(crit=["x"], x=1).signed(), F.MALFORMED),
    "an access token": (lambda d: d.headed(typ="at+jwt").signed(), F.MALFORMED),
    "a logout token": (lambda d: d.headed(typ="logout+jwt").signed(), F.MALFORMED),
    "a cut signature": (_cut, F.SIGNATURE),
    "claims changed afterwards": (lambda d: d.changed_after({"sub": "eve"}), F.SIGNATURE),
    "two parts": (lambda d: d.signed().rpartition(".")[0], F.MALFORMED),
    "five parts": (lambda d: d.signed() + ".a.b", F.MALFORMED),
    "no token": (lambda _: "", F.MALFORMED),
    "anything": (lambda _: "\r\nSet-Cookie: a=b", F.MALFORMED),
    "too long": (lambda d: d.saying(more="x" * 40_000).signed(), F.MALFORMED),
    "deep": (lambda d: f"{encoded(b'[' * 9000)}.{encoded(b'{}')}.AAAA", F.MALFORMED),
}

_PLACES: dict[str, tuple[Forge, F]] = {
    "another issuer": (lambda d: d.saying(iss="https://evil.example").signed(), F.ISSUER),
    "an issuer with a slash": (lambda d: d.saying(iss=d.claims["iss"] + "/").signed(), F.ISSUER),
    "an issuer in capitals": (lambda d: d.saying(iss=d.claims["iss"].upper()).signed(), F.ISSUER),
    "issuers": (lambda d: d.saying(iss=[d.claims["iss"]]).signed(), F.CLAIMS),
    "another audience": (lambda d: d.saying(aud="other").signed(), F.AUDIENCE),
    "ours and another audience": (lambda d: d.saying(aud=[CLIENT_ID, "other"]).signed(), F.AUDIENCE),
    "other audiences": (lambda d: d.saying(aud=["other"]).signed(), F.AUDIENCE),
    "no audiences": (lambda d: d.saying(aud=[]).signed(), F.AUDIENCE),
    "an audience in an object": (lambda d: d.saying(aud={CLIENT_ID: 1}).signed(), F.CLAIMS),
    "an audience that is no text": (lambda d: d.saying(aud=[CLIENT_ID, 5]).signed(), F.CLAIMS),
    "another party": (lambda d: d.saying(azp="other").signed(), F.AUTHORISED_PARTY),
    "a party that is no text": (lambda d: d.saying(azp=5).signed(), F.CLAIMS),
    "another login's nonce": (lambda d: d.saying(nonce="x" * 43).signed(), F.NONCE),
    "nonces": (lambda d: d.saying(nonce=[d.claims["nonce"]]).signed(), F.CLAIMS),
    "an empty nonce": (lambda d: d.saying(nonce="").signed(), F.CLAIMS),
    "of another access token": (
        lambda d: d.saying(at_hash=access_token_hash("other", "ES256")).signed(),
        F.ACCESS_TOKEN_HASH,
    ),
    "a longer hash": (
        lambda d: d.saying(at_hash=access_token_hash(d.access_token, "ES512")).signed(),
        F.ACCESS_TOKEN_HASH,
    ),
    "a hash that is no text": (lambda d: d.saying(at_hash=0).signed(), F.CLAIMS),
    "a subject that is no text": (lambda d: d.saying(sub=1).signed(), F.CLAIMS),
    "an empty subject": (lambda d: d.saying(sub="").signed(), F.CLAIMS),
    "a long subject": (lambda d: d.saying(sub="x" * 256).signed(), F.CLAIMS),
    "a subject in many lines": (lambda d: d.saying(sub="a\nb").signed(), F.CLAIMS),
    "a subject with a zero": (lambda d: d.saying(sub="ada-1\0").signed(), F.CLAIMS),
    "a list": (lambda d: _as_json(d, [1]), F.CLAIMS),
    "a word": (lambda d: _as_json(d, "ada-1"), F.CLAIMS),
    "nothing": (lambda d: _as_json(d, None), F.CLAIMS),
}

_TIMES: dict[str, tuple[Forge, F]] = {
    "expired": (lambda d: d.saying(exp=_now_s() - 60).signed(), F.EXPIRED),
    "expired long ago": (lambda d: d.saying(exp=0).signed(), F.EXPIRED),
    "from the future": (lambda d: d.saying(iat=_now_s() + HOUR_S).signed(), F.NOT_YET_VALID),
    "good later": (lambda d: d.saying(nbf=_now_s() + HOUR_S).signed(), F.NOT_YET_VALID),
    "from before the login": (lambda d: d.saying(iat=_now_s() - HOUR_S).signed(), F.TOO_OLD),
    "an end in words": (lambda d: d.saying(exp="9999999999").signed(), F.CLAIMS),
    "an end that is true": (lambda d: d.saying(exp=True).signed(), F.CLAIMS),
    "an end that is no number": (lambda d: d.saying(exp=float("nan")).signed(), F.CLAIMS),
    "an endless end": (lambda d: d.saying(exp=float("inf")).signed(), F.CLAIMS),
    "an end beyond numbers": (lambda d: d.saying(exp=10**400).signed(), F.CLAIMS),
    "a time below zero": (lambda d: d.saying(iat=-1).signed(), F.CLAIMS),
    "a beginning in words": (lambda d: d.saying(nbf="now").signed(), F.CLAIMS),
}


def _missing(name: str) -> tuple[Forge, F]:
    return lambda draft: draft.without(name).signed(), F.CLAIMS


FORGERIES: dict[str, tuple[Forge, F]] = {
    **_SIGNATURES,
    **_PLACES,
    **_TIMES,
    **{f"no {name}": _missing(name) for name in ("iss", "sub", "aud", "exp", "iat", "nonce")},
}
