"""For whom the current work is done; requests made meanwhile are sent with claims that say so."""

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar

from parley_contracts.claims import Acting, PrincipalKind
from parley_contracts.policy import Role

_ACTING: ContextVar[Acting | None] = ContextVar("parley_acting", default=None)


def current_acting() -> Acting | None:
    """Return for whom the work at hand is done, or None."""
    return _ACTING.get()


def act_for(acting: Acting) -> None:
    """Do the rest of the current task's work for somebody."""
    _ACTING.set(acting)


@contextmanager
def acting_for(acting: Acting | None) -> Generator[None]:
    """Do the body's work for somebody, or for nobody."""
    token = _ACTING.set(acting)
    try:
        yield
    finally:
        _ACTING.reset(token)


def system_of(owner_id: str) -> Acting:
    """Return a service that finishes what it has promised to an owner."""
    return Acting(owner_id, Role.GUEST, kind=PrincipalKind.SYSTEM)
