"""Claims of tests: the keys of an installation in a folder, and a desk that says what a test has it say."""

from pathlib import Path

from parley_contracts import headers
from parley_contracts.claims import ClaimsKeys, ClaimsMode
from parley_contracts.model import WireModel
from parley_identity.bus_claims import Signer, Verifier
from parley_identity.claims_files import PUBLIC_FILE
from parley_messaging.claims_desk import ClaimsDesk

GATEWAY_KEY, RAG_KEY = "claims.key", "claims-rag.key"


def keys_of(folder: Path, key_file: str | None = GATEWAY_KEY) -> ClaimsKeys:
    """Return what a service of an installation signs and verifies by."""
    signer = Signer(folder / key_file) if key_file else None
    return ClaimsKeys(signer, Verifier(folder / PUBLIC_FILE))


def gateways_desk(secrets: Path) -> ClaimsDesk:
    """Return a desk of who sits among the gateways of an installation."""
    return ClaimsDesk(keys_of(secrets))


class ToldDesk(ClaimsDesk):
    """Sends what it is told to, and checks as any other."""

    def __init__(self, keys: ClaimsKeys, mode: ClaimsMode = ClaimsMode.REQUIRE) -> None:
        super().__init__(keys, mode)
        self.said: str | None = None

    def of_request(self, subject: str, request: WireModel) -> dict[str, str]:
        """Return the header that the test has told."""
        return {} if self.said is None else {headers.CLAIMS: self.said}
