"""Who somebody is by the word of a provider: read from claims that may hold anything."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from parley_contracts.errors import ParleyError

from parley_accounts.login_names import normal_email

MAX_GROUPS = 2000
_MAX_NAME_CHARS = 100


@dataclass(frozen=True, slots=True)
class Proven:
    """Somebody whom a provider knows.

    Attributes:
        issuer: The provider.
        subject: Its name for him, which never is another's.
        email: His address, None unless the provider has verified it.
        called: What he likes to be called at a login; may be anybody's.
        display_name: His name for people.
        groups: What the claim of groups lists.
    """

    issuer: str
    subject: str
    email: str | None
    called: str
    display_name: str
    groups: frozenset[str]


def read_proven(issuer: str, subject: str, claims: Mapping[str, Any], group_claim: str) -> Proven:
    """Return who the claims are about; what is not of its form is left out."""
    email = _verified_email(claims)
    called = _text(claims.get("preferred_username")) or (email or "")
    return Proven(
        issuer,
        subject,
        email,
        called.partition("@")[0],
        _text(claims.get("name")),
        _groups(_claim(claims, group_claim)),
    )


def _verified_email(claims: Mapping[str, Any]) -> str | None:
    email = claims.get("email")
    # True and nothing else: some providers send words, or an address that its owner has typed in.
    if claims.get("email_verified") is not True or not isinstance(email, str):
        return None
    try:
        return normal_email(email)
    except ParleyError:
        return None


def _text(value: Any) -> str:
    if not isinstance(value, str):
        return ""
    return "".join(one for one in value if one.isprintable()).strip()[:_MAX_NAME_CHARS].strip()


def _claim(claims: Mapping[str, Any], name: str) -> Any:
    """Return a claim by its name, or by its path where it has none of that name."""
    if name in claims:
        return claims[name]
    found: Any = claims
    for part in name.split("."):
        found = cast("dict[str, Any]", found).get(part) if isinstance(found, dict) else None
    return found


def _groups(value: Any) -> frozenset[str]:
    listed = [value] if isinstance(value, str) else value
    if not isinstance(listed, list):
        return frozenset()
    return frozenset(one for one in cast("list[Any]", listed)[:MAX_GROUPS] if isinstance(one, str))
