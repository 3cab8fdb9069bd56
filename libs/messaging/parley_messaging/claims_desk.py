"""The one place where a message that names an owner gets its claims, and where they are checked."""

import logging
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Protocol

from parley_contracts import headers
from parley_contracts.accounts import PrincipalRequest
from parley_contracts.claims import (
    Acting,
    BusClaims,
    ClaimsFault,
    ClaimsKeys,
    ClaimsMode,
    PrincipalKind,
    RefusedClaimsError,
)
from parley_contracts.model import OwnedRequest, WireModel
from parley_contracts.policy import effective
from parley_contracts.subject_permissions import TURN_SUBJECTS, good_for, require_claims

from parley_messaging.acting import current_acting

log = logging.getLogger("parley.messaging")

QUIET_S = 1.0
"""What is refused again and again says so once in this time; each refusal counts."""

MAX_UNKNOWN = 20
"""A job by an unknown key is left to be tried again so often, which takes some minutes."""


class Delivered(Protocol):
    """What is known of a delivery of a job."""

    @property
    def deliveries(self) -> int:
        """1 for the first delivery."""
        ...


def may_be_known_later(error: RefusedClaimsError, job: Delivered) -> bool:
    """Return whether a job is to be tried again: its key may be newer than this process has seen."""
    return error.fault is ClaimsFault.UNKNOWN_KEY and job.deliveries < MAX_UNKNOWN


class ClaimsDesk:
    """What a process sends claims by, and asks of those that it is sent.

    Without keys it neither sends nor checks: for a bus that is shared only with whom one trusts.
    """

    def __init__(self, keys: ClaimsKeys | None = None, mode: ClaimsMode = ClaimsMode.REQUIRE) -> None:
        self._signer, self._verifier = (keys.signer, keys.verifier) if keys else (None, None)
        self._is_checking = keys is not None
        self._refuses = mode is ClaimsMode.REQUIRE
        self.refused: Counter[str] = Counter()
        self._quiet_until_s = dict[ClaimsFault, float]()

    # -- sending -----------------------------------------------------------------------------------

    def of_request(self, subject: str, request: WireModel) -> dict[str, str]:
        """Return the header for a request that is made now; none for what names nobody.

        None either when the work at hand is done for nobody, or for somebody else than the request names:
        whoever answers refuses it then.
        """
        acting = current_acting()
        if self._signer is None or acting is None or not isinstance(request, OwnedRequest):
            return {}
        if acting.owner_id != request.owner_id:
            log.error("a request names another owner than it is made for", extra={"subject": subject})
            return {}
        return {headers.CLAIMS: self._signer.sign(acting, good_for(subject))}

    def of_turn(self, turn_id: str) -> dict[str, str]:
        """Return the header for the command of a turn that is accepted now, and for its job later."""
        acting = current_acting()
        if self._signer is None or acting is None:
            return {}
        own = replace(acting, turn_id=turn_id)
        return {headers.CLAIMS: self._signer.sign_lasting(own, TURN_SUBJECTS)}

    def of_job(self, subject: str) -> dict[str, str]:
        """Return the header for a job that is stored on a subject; it is good for nothing else."""
        acting = current_acting()
        if self._signer is None or acting is None:
            return {}
        return {headers.CLAIMS: self._signer.sign_lasting(acting, (subject,))}

    # -- checking ----------------------------------------------------------------------------------

    def check(self, subject: str, request: WireModel, found: Mapping[str, str]) -> Acting | None:
        """Return for whom a request is made; None for one that names nobody.

        Args:
            subject: Where it is answered, as the catalogue writes it.
            request: What is asked.
            found: Its headers.

        Raises:
            RefusedClaimsError: Its claims do not hold; not where that is only observed.
        """
        if not self._is_checking or not isinstance(request, OwnedRequest):
            return None
        return self._judged(subject, request.owner_id, found, request)

    def check_turn(
        self, subject: str, owner_id: str, turn_id: str, found: Mapping[str, str]
    ) -> Acting | None:
        """Return for whom a turn is run, by the headers of its command or job; raises as `check` does."""
        if not self._is_checking:
            return None
        return self._judged(subject, owner_id, found, None, turn_id)

    def _judged(
        self,
        subject: str,
        owner_id: str,
        found: Mapping[str, str],
        request: OwnedRequest | None,
        turn_id: str | None = None,
    ) -> Acting | None:
        try:
            claims = self._verified(found)
            require_claims(subject, owner_id, claims)
            # Of a turn's own claims nobody makes use for another one, nor for anything but its commands.
            if claims.turn_id != turn_id:
                raise RefusedClaimsError(ClaimsFault.OTHER_TURN)
            if isinstance(request, PrincipalRequest):
                _require_as_claimed(request, claims)
            return claims.acting
        except RefusedClaimsError as error:
            self._note(subject, error.fault)
            if self._refuses:
                raise
            return None

    def _note(self, subject: str, fault: ClaimsFault) -> None:
        self.refused[fault.value] += 1
        now_s = time.monotonic()
        if now_s >= self._quiet_until_s.get(fault, 0.0):
            self._quiet_until_s[fault] = now_s + QUIET_S
            log.warning(
                "claims do not hold",
                extra={"subject": subject, "fault": fault.value, "is_refused": self._refuses},
            )

    def _verified(self, found: Mapping[str, str]) -> BusClaims:
        text = found.get(headers.CLAIMS)
        if not text:
            raise RefusedClaimsError(ClaimsFault.MISSING)
        if self._verifier is None:
            raise RefusedClaimsError(ClaimsFault.UNKNOWN_KEY)
        return self._verifier.verify(text)


def _require_as_claimed(request: PrincipalRequest, claims: BusClaims) -> None:
    """Refuse a request that says more of who asks than its claims do."""
    asked = effective(request.role, request.scopes, request.granted)
    is_more = request.role != claims.role or not asked <= claims.acting.permissions
    if is_more or claims.kind is PrincipalKind.SYSTEM:
        raise RefusedClaimsError(ClaimsFault.NOT_PERMITTED)
