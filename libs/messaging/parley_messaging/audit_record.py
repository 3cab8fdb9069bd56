"""What one request writes into the audit, put together from the policy, the request and what came of it."""

import time
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from uuid import uuid4

from parley_contracts.audit import (
    Action,
    ActorKind,
    AuditDetails,
    AuditEvent,
    ObjectKind,
    Outcome,
    Provenance,
    as_id,
    as_names,
)
from parley_contracts.audit_policy import Written, changed_in, found_in
from parley_contracts.claims import Acting
from parley_contracts.errors import ErrorBody, ErrorCode
from pydantic import BaseModel

_REFUSED = frozenset(
    {
        ErrorCode.UNAUTHENTICATED,
        ErrorCode.FORBIDDEN,
        ErrorCode.NOT_FOUND,
        ErrorCode.CONFLICT,
        ErrorCode.REFUSED_ADDRESS,
        ErrorCode.OVERLOADED,
        ErrorCode.RATE_LIMITED,
        ErrorCode.QUOTA_EXCEEDED,
        ErrorCode.TOO_LARGE,
    }
)
_NOT_TRIED = frozenset({ErrorCode.INVALID_REQUEST})
"""What is no request yet: nothing was tried on anything."""


def outcome_of(code: ErrorCode) -> Outcome:
    """Return whether an error refuses what was asked, or broke it off."""
    return Outcome.REFUSED if code in _REFUSED else Outcome.FAILED


def of_itself(action: Action, count: int | None) -> AuditEvent:
    """Return what the audit says of itself: how many events were lost, if anybody knows, or rows removed."""
    return AuditEvent(
        id=uuid4().hex,
        at_ms=time.time_ns() // 1_000_000,
        action=action.value,
        outcome=Outcome.FAILED if action is Action.EVENTS_LOST else Outcome.DONE,
        actor_kind=ActorKind.SYSTEM,
        object_kind=ObjectKind.AUDIT.value,
        details=AuditDetails(count=count),
    )


class AuditRecord:
    """One request that is written down; a transaction may take its event, and then nobody else tells it.

    Attributes:
        is_taken: The event was written with the change itself.
        has_written: A transaction wrote something that is to be told, this event or another one.
        acting: Who asks, once his claims have been checked.
    """

    def __init__(self, written: Written, asked: BaseModel, provenance: Provenance) -> None:
        self.is_taken = False
        self.has_written = False
        self.acting: Acting | None = None
        self._written = written
        self._asked = asked
        self._provenance = provenance

    def done(self, told: BaseModel | None) -> AuditEvent | None:
        """Return the event of what was done; None while the answer that names its object is not there."""
        object_id = found_in(self._written.object, self._asked, told)
        if object_id is None or self._written.only_refusals:
            return None
        return self._event(Outcome.DONE, object_id, told, self._details(told))

    def ended(self, told: BaseModel) -> AuditEvent | None:
        """Return the event of what was answered; None when nothing is to be written."""
        if self._written.only_refusals:
            return None
        object_id = found_in(self._written.object, self._asked, told) or ""
        return self._event(Outcome.DONE, object_id, told, self._details(told))

    def broken(self, error: ErrorBody) -> AuditEvent | None:
        """Return the event of what was refused or failed; None when nothing was tried."""
        outcome = outcome_of(error.code)
        if error.code in _NOT_TRIED or (self._written.only_refusals and outcome is not Outcome.REFUSED):
            return None
        object_id = found_in(self._written.object, self._asked, None) or ""
        details = self._details(None, error.code)
        return self._event(outcome, object_id, None, details)

    def beside(self, written: Written, object_id: str, *, owner_id: str) -> AuditEvent:
        """Return the event of something else that came of the request, by nobody knows whom."""
        event = AuditRecord(written, self._asked, self._provenance)._event(
            Outcome.REFUSED, object_id, None, AuditDetails()
        )
        return event.model_copy(update={"actor_id": as_id(owner_id)})

    def _details(self, told: BaseModel | None, code: ErrorCode | None = None) -> AuditDetails:
        return AuditDetails(
            changed=as_names(changed_in(self._written, self._asked)),
            of=as_id(found_in(self._written.of, self._asked, told)),
            code=code.value if code else None,
        )

    def _event(
        self, outcome: Outcome, object_id: str, told: BaseModel | None, details: AuditDetails
    ) -> AuditEvent:
        kind, actor_id = self._actor(told)
        # Another team's service says of itself whatever it likes.
        is_ours = kind is not ActorKind.SERVICE
        return AuditEvent(
            id=uuid4().hex,
            at_ms=time.time_ns() // 1_000_000,
            action=self._written.action.value,
            outcome=outcome,
            actor_kind=kind,
            actor_id=as_id(actor_id),
            object_kind=self._written.kind.value,
            object_id=as_id(object_id),
            provenance=self._provenance if is_ours else Provenance(),
            details=details,
        )

    def _actor(self, told: BaseModel | None) -> tuple[ActorKind, str]:
        if self.acting is not None:
            return ActorKind(self.acting.kind.value), self.acting.owner_id
        proven = found_in(self._written.actor, self._asked, told) if self._written.actor else None
        if proven:
            return ActorKind.USER, proven
        # Without claims, as on a bus that is open, the request itself says who asks.
        return ActorKind.UNKNOWN, str(getattr(self._asked, "owner_id", ""))


_RECORD: ContextVar[AuditRecord | None] = ContextVar("parley_audit_record", default=None)


def current_record() -> AuditRecord | None:
    """Return what the request at hand will write, or None."""
    return _RECORD.get()


@contextmanager
def recording(record: AuditRecord | None) -> Generator[None]:
    """Do the body's work for a request that is written down."""
    token = _RECORD.set(record)
    try:
        yield
    finally:
        _RECORD.reset(token)
