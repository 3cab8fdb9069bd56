"""From where the current work was asked for; requests made meanwhile carry it on."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

from parley_contracts import headers
from parley_contracts.audit import Provenance
from pydantic import ValidationError

NOWHERE = Provenance()
MAX_CHARS = 512

_PROVENANCE: ContextVar[Provenance] = ContextVar("parley_provenance", default=NOWHERE)


def current_provenance() -> Provenance:
    """Return from where the work at hand was asked for."""
    return _PROVENANCE.get()


def came_from(provenance: Provenance) -> None:
    """Do the rest of the current task's work as asked for from there."""
    _PROVENANCE.set(provenance)


@contextmanager
def coming_from(provenance: Provenance) -> Generator[None]:
    """Do the body's work as asked for from there."""
    token = _PROVENANCE.set(provenance)
    try:
        yield
    finally:
        _PROVENANCE.reset(token)


def provenance_header() -> dict[str, str]:
    """Return the header for a request that is made now."""
    found = _PROVENANCE.get()
    return {} if found is NOWHERE else {headers.PROVENANCE: found.model_dump_json(exclude_defaults=True)}


def read_provenance(found: Mapping[str, str]) -> Provenance:
    """Return what the headers of a request say; nothing when it cannot be read."""
    text = found.get(headers.PROVENANCE)
    if not text or len(text) > MAX_CHARS:
        return NOWHERE
    try:
        return Provenance.model_validate_json(text)
    except ValidationError:
        return NOWHERE
