"""The parts between the dots of a subject: checked before they stand in one, and read out of one."""

import re
from typing import NamedTuple

from parley_contracts import model

_PART = re.compile(model.SUBJECT_PART)


class PenSlot(NamedTuple):
    """Slot `number` (1, 2, ...) of one turn's pen."""

    turn_id: str
    number: int


class TurnEvents(NamedTuple):
    """Where one turn's events stand: the gateway process it was started on, and the turn."""

    home: str
    turn_id: str


def checked(value: str) -> str:
    """Return what may stand in a subject as one part; ValueError for anything else."""
    if not _PART.fullmatch(value):
        raise ValueError(f"not a subject part: {value!r}")
    return value


def parts_of(subject: str, stem: str, count: int) -> list[str]:
    """Return the parts behind a stem; ValueError unless there are `count`, all of them good."""
    head = f"{stem}."
    parts = subject[len(head) :].split(".") if subject.startswith(head) else []
    if len(parts) != count or not all(_PART.fullmatch(part) for part in parts):
        raise ValueError(f"not a {stem} subject: {subject!r}")
    return parts
