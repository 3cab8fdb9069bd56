"""The files that hold the keys of claims: one to sign by for each that signs, one to verify by for all."""

import secrets
import time
from pathlib import Path
from typing import TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from parley_contracts.model import WireModel
from pydantic import Field, ValidationError

from parley_identity.published_key import published
from parley_identity.secret_files import create_once, replace_private

File = TypeVar("File", bound=WireModel)

PUBLIC_FILE = "claims.pub"
GATEWAY, RAG, LLM = "gateway", "rag", "llm"
KEY_FILES = {GATEWAY: "claims.key", RAG: "claims-rag.key", LLM: "claims-llm.key"}
"""By the service whose word a key is. Accounts signs by the gateways' key: both say who somebody is."""

OVERLAP_S = 2 * 86_400
"""How long claims by a key hold that was replaced: longer than any are good for."""


class SigningFile(WireModel):
    """A key to sign by."""

    signer: str
    kid: str
    seed: str = Field(pattern=r"^[0-9a-f]{64}$", repr=False)

    @property
    def key(self) -> Ed25519PrivateKey:
        """The key itself."""
        return Ed25519PrivateKey.from_private_bytes(bytes.fromhex(self.seed))


class VerifyingKey(WireModel):
    """A key to verify by, and whose word it is."""

    signer: str
    kid: str
    x: str = Field(min_length=43, max_length=43)
    until_s: float | None = Field(default=None, description="Unix epoch; None is no end.")


class PublicFile(WireModel):
    """All keys to verify by."""

    keys: tuple[VerifyingKey, ...]


def create_claims_keys(folder: Path) -> None:
    """Make what is missing: a key for each service that signs, and the file to verify by.

    What stands there is kept. Processes that do this at the same moment agree on one of each.
    """
    for signer, name in KEY_FILES.items():
        if not (folder / name).exists():
            create_once(folder / name, _new_key(signer).model_dump_json())
    signing = [read_signing_file(folder / name) for name in KEY_FILES.values()]
    known = {key.kid for key in _standing(folder)}
    if missing := [one for one in signing if one.kid not in known]:
        _write_public(folder, (*_standing(folder), *map(_verifying, missing)))


def rotate_claims_key(folder: Path, signer: str, *, is_compromised: bool = False) -> None:
    """Have a service sign by a new key; claims by the old one hold until they end, or no more at all.

    Raises:
        ValueError: The service signs nothing, or a file cannot be read.
    """
    if signer not in KEY_FILES:
        raise ValueError(f"{signer} signs no claims: {', '.join(KEY_FILES)} do")
    new = _new_key(signer)
    until_s = time.time() + OVERLAP_S
    kept: list[VerifyingKey] = []
    for key in _standing(folder):
        if key.until_s is not None and key.until_s < time.time():
            continue
        if key.signer != signer or key.until_s is not None:
            kept.append(key)
        elif not is_compromised:
            kept.append(key.model_copy(update={"until_s": until_s}))
    if is_compromised:
        kept = [key for key in kept if key.signer != signer]
    _write_public(folder, (*kept, _verifying(new)))
    replace_private(folder / KEY_FILES[signer], new.model_dump_json())


def _new_key(signer: str) -> SigningFile:
    return SigningFile(signer=signer, kid=secrets.token_hex(8), seed=secrets.token_hex(32))


def read_signing_file(path: Path) -> SigningFile:
    """Return a key to sign by; OSError or ValueError says what is wrong with its file."""
    return _read(path, SigningFile)


def read_public_file(path: Path) -> PublicFile:
    """Return the keys to verify by; OSError or ValueError says what is wrong with their file."""
    return _read(path, PublicFile)


def _read(path: Path, kind: type[File]) -> File:
    try:
        return kind.model_validate_json(path.read_bytes())
    except ValidationError:
        raise ValueError(f"{path} holds no keys of claims") from None


def _standing(folder: Path) -> tuple[VerifyingKey, ...]:
    path = folder / PUBLIC_FILE
    return read_public_file(path).keys if path.exists() else ()


def _verifying(key: SigningFile) -> VerifyingKey:
    return VerifyingKey(signer=key.signer, kid=key.kid, x=published(key.kid, key.key.public_key()).x)


def _write_public(folder: Path, keys: tuple[VerifyingKey, ...]) -> None:
    replace_private(folder / PUBLIC_FILE, PublicFile(keys=keys).model_dump_json())
