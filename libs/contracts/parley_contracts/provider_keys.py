"""Keys of bots at providers of models, and the key-encryption key over them: requests to accounts.

A provider's key stands only in the request that brings it, and is left out of its repr.
"""

from typing import Annotated, Literal

from pydantic import Field

from parley_contracts.accounts import PrincipalRequest
from parley_contracts.bots import BotId, ProviderName
from parley_contracts.model import WireModel

PRINTABLE = r"^[!-~]+$"
ProviderSecret = Annotated[str, Field(min_length=12, max_length=1000, pattern=PRINTABLE, repr=False)]


class ProviderKey(WireModel):
    """A key as it is listed: never the key itself."""

    type: Literal["provider_key"] = "provider_key"
    provider: str
    last_four: str = Field(description="Its last four characters.")
    created_at_ms: int


class SetProviderKey(PrincipalRequest):
    """Request: the key of one's bot at a provider, in place of the one there is."""

    type: Literal["set_provider_key"] = "set_provider_key"
    bot_id: BotId
    provider: ProviderName
    key: ProviderSecret


class ListProviderKeys(PrincipalRequest):
    """Request: which providers one's bot has keys for."""

    type: Literal["list_provider_keys"] = "list_provider_keys"
    bot_id: BotId


class ProviderKeyList(WireModel):
    """Keys of a bot, by provider."""

    type: Literal["provider_key_list"] = "provider_key_list"
    keys: tuple[ProviderKey, ...]


class DeleteProviderKey(PrincipalRequest):
    """Request: forget a key. `not_found` when there is none."""

    type: Literal["delete_provider_key"] = "delete_provider_key"
    bot_id: BotId
    provider: ProviderName


class RotateKek(PrincipalRequest):
    """Request: seal some of what is sealed by an older key-encryption key by the present one.

    Ask until the answer says that it is done. What was stopped is gone on with.
    """

    type: Literal["rotate_kek"] = "rotate_kek"
    begins: bool = Field(
        default=False, description="Make another key the present one, unless a rotation is under way."
    )
    limit: int = Field(default=200, ge=1, le=1000, description="Secrets to seal anew in this step.")


class KekRotation(WireModel):
    """How far a rotation has come."""

    type: Literal["kek_rotation"] = "kek_rotation"
    key_name: str = Field(description="Names the present key; it tells nothing of it.")
    resealed: int = Field(description="Secrets sealed anew in this step.")
    left: int = Field(description="Secrets that are still sealed by another key.")
    is_done: bool
