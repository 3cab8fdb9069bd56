"""Keys that uploaded originals are sealed under: requests to accounts, which keeps them.

A key travels only sealed to a public key that was made for the question.
"""

from typing import Annotated, Literal

from pydantic import Field

from parley_contracts.accounts import LOCAL_OWNER, PrincipalRequest
from parley_contracts.model import OwnedRequest, WireModel

KEY_ID = r"^[0-9a-f]{16}$"
DataKeyId = Annotated[str, Field(pattern=KEY_ID)]


class ReadDataKey(OwnedRequest):
    """Request: the key of an id, or the one that seals now. Services ask, in the installation's name."""

    type: Literal["read_data_key"] = "read_data_key"
    owner_id: str = Field(default=LOCAL_OWNER, min_length=1, description="The installation's owner.")
    public_key: str = Field(
        min_length=44, max_length=44, description="X25519, base64url: only its maker reads the answer."
    )
    key_id: DataKeyId | None = Field(default=None, description="None: the one that seals now.")


class ToldDataKey(WireModel):
    """A data key, sealed to the public key of the question."""

    type: Literal["told_data_key"] = "told_data_key"
    id: DataKeyId
    public_key: str = Field(description="X25519 of the answer, base64url.")
    sealed: str = Field(description="AES-256-GCM, base64url.")


class RotateDataKey(PrincipalRequest):
    """Request: seal what comes from now on by another data key; the old one goes on opening."""

    type: Literal["rotate_data_key"] = "rotate_data_key"


class DataKeyRotation(WireModel):
    """The data key that seals from now on."""

    type: Literal["data_key_rotation"] = "data_key_rotation"
    key_id: str = Field(description="Names the key; it tells nothing of it.")
    keys: int = Field(description="How many there are, with those that only open.")
