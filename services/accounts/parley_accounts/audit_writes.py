"""What accounts itself changes is told to the audit by the transaction that changes it."""

from collections.abc import Callable
from typing import TypeVar

from parley_contracts.audit import Action, AuditEvent, ObjectKind
from parley_contracts.audit_policy import Written
from parley_messaging.audit_record import AuditRecord, current_record, recording
from pydantic import BaseModel
from sqlalchemy import Connection

from parley_accounts.outbox import add_event

Result = TypeVar("Result")
Work = Callable[[Connection], Result]

_REUSED = Written(Action.REFRESH_TOKEN_REUSED, ObjectKind.SESSION)


def audited(work: Work[Result]) -> Work[Result]:
    """Return work that also writes the event of the request it is done for into the outbox.

    The first transaction of a request that knows the object writes it; what is refused commits nothing and
    is told by whoever answers. Called where the request is known, as transactions are done in threads.
    """
    record = current_record()
    if record is None or record.is_taken:
        return work

    def recorded(connection: Connection) -> Result:
        with recording(record):
            result = work(connection)
        _take(connection, record, result)
        return result

    return recorded


def _take(connection: Connection, record: AuditRecord, result: object) -> None:
    event = record.done(result if isinstance(result, BaseModel) else None)
    if event is not None:
        _write(connection, record, event)
        record.is_taken = True


def note_reuse(connection: Connection, session_id: str, user_id: str) -> None:
    """Write that a refresh token was shown a second time, which ends its session: somebody has stolen it."""
    record = current_record()
    if record is not None:
        _write(connection, record, record.beside(_REUSED, session_id, owner_id=user_id))


def _write(connection: Connection, record: AuditRecord, event: AuditEvent) -> None:
    add_event(connection, event, event.at_ms)
    record.has_written = True
