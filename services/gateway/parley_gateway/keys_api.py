"""API keys: made, listed and revoked."""

from fastapi import APIRouter
from parley_contracts import subjects
from parley_contracts.credentials import CreateKey, KeyCreated, KeyList, ListKeys, RevokeKey
from parley_contracts.model import UnixMs
from parley_contracts.policy import Permission
from parley_contracts.replies import Done
from pydantic import BaseModel, ConfigDict, Field

from parley_gateway.edge import CurrentEdge, CurrentPrincipal

router = APIRouter(prefix="/api/keys", tags=["keys"])

ASK_S = 5.0


class NewKey(BaseModel):
    """A key to be: without scopes it may do all that you may."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=100)
    scopes: tuple[Permission, ...] | None = Field(default=None, max_length=100)
    expires_at_ms: UnixMs | None = None


@router.get("")
async def list_keys(edge: CurrentEdge, principal: CurrentPrincipal, user_id: str | None = None) -> KeyList:
    """List your API keys that are not revoked, or another user's."""
    asked = ListKeys(**principal.asking, user_id=user_id)
    return await edge.bus.request(subjects.ACCOUNTS_LIST_KEYS, asked, KeyList, timeout_s=ASK_S)


@router.post("", status_code=201)
async def create_key(body: NewKey, edge: CurrentEdge, principal: CurrentPrincipal) -> KeyCreated:
    """Make an API key; it is told once."""
    asked = CreateKey(
        **principal.asking, name=body.name, key_scopes=body.scopes, expires_at_ms=body.expires_at_ms
    )
    return await edge.bus.request(subjects.ACCOUNTS_CREATE_KEY, asked, KeyCreated, timeout_s=ASK_S)


@router.delete("/{key_id}")
async def revoke_key(key_id: str, edge: CurrentEdge, principal: CurrentPrincipal) -> Done:
    """Refuse an API key from now on, on every gateway."""
    asked = RevokeKey(**principal.asking, key_id=key_id)
    return await edge.bus.request(subjects.ACCOUNTS_REVOKE_KEY, asked, Done, timeout_s=ASK_S)
