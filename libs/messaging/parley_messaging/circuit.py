"""Circuit breakers: a part that keeps callers waiting is skipped at once until it answers again."""

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from enum import StrEnum

from parley_contracts.errors import ErrorCode, ParleyError

FAILURES = 5
"""So many calls in a row have to wait in vain before the part is skipped: one slow moment is no outage."""

COOL_DOWN_S = 2.0
MAX_COOL_DOWN_S = 10.0
WAITED = 0.9
"""A call that failed sooner than after this share of its budget cost nobody time, and does not count."""

_COUNTED = frozenset({ErrorCode.TIMEOUT, ErrorCode.UNAVAILABLE})

IsFault = Callable[[ParleyError], bool]


def is_absence(error: ParleyError) -> bool:
    """Return whether an error is what is said of a part that does not answer."""
    return error.code in _COUNTED


class CircuitState(StrEnum):
    """Closed lets every call pass, open none; a probing one waits for the verdict of a single call."""

    CLOSED = "closed"
    OPEN = "open"
    PROBING = "probing"


class Circuit:
    """Counts the calls to one part that waited in vain.

    After `failures` in a row it opens: calls are refused at once with `unavailable`. After a cool-down one
    call is let through; when it waits in vain too the cool-down doubles, any other end closes the circuit.
    What is known at once to be away (nobody subscribes, a connection refused) costs no waiting and never
    opens it, so that such a part is used again from its first moment. `is_fault` says which errors count.
    """

    def __init__(
        self,
        name: str,
        *,
        failures: int = FAILURES,
        cool_down_s: float = COOL_DOWN_S,
        is_fault: IsFault = is_absence,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.skipped = 0
        self._failures = failures
        self._first_cool_down_s = self._cool_down_s = cool_down_s
        self._is_fault = is_fault
        self._clock = clock
        self._in_a_row = 0
        self._opened_s: float | None = None
        self._is_probed = False

    @property
    def state(self) -> CircuitState:
        """What would become of a call now."""
        if self._opened_s is None:
            return CircuitState.CLOSED
        return CircuitState.PROBING if self._is_probed else CircuitState.OPEN

    @contextmanager
    def passing(self, budget_s: float) -> Generator[None]:
        """Let the call in the body through, which waits `budget_s` at most, and judge the part by it.

        Raises:
            ParleyError: `unavailable` at once while the circuit is open, or what the body raises.
        """
        is_probe = self._admit()
        began_s = self._clock()
        try:
            yield
        except ParleyError as error:
            has_waited = self._clock() - began_s >= budget_s * WAITED
            self._judge(is_alive=not (has_waited and self._is_fault(error)), is_probe=is_probe)
            raise
        else:
            self._judge(is_alive=True, is_probe=is_probe)
        finally:
            if is_probe:
                # A probe that was cancelled says nothing: the next call is one.
                self._is_probed = False

    def note_answering(self) -> None:
        """Close an open circuit: a call in hand is answered, though its answer may take long."""
        if self._opened_s is not None:
            self._opened_s, self._in_a_row, self._is_probed = None, 0, False

    def _admit(self) -> bool:
        """Return whether the call is the probe of an open circuit."""
        if self._opened_s is None:
            return False
        if self._is_probed or self._clock() - self._opened_s < self._cool_down_s:
            self.skipped += 1
            raise ParleyError(ErrorCode.UNAVAILABLE, "That part of Parley does not answer and is not asked.")
        self._is_probed = True
        return True

    def _judge(self, *, is_alive: bool, is_probe: bool) -> None:
        if is_alive:
            self._in_a_row, self._opened_s, self._cool_down_s = 0, None, self._first_cool_down_s
            return
        self._in_a_row += 1
        if is_probe:
            self._cool_down_s = min(MAX_COOL_DOWN_S, self._cool_down_s * 2)
            self._opened_s = self._clock()
        elif self._opened_s is None and self._in_a_row >= self._failures:
            self._opened_s = self._clock()


class Circuits:
    """The circuits of a process, by the name of the part they stand before."""

    def __init__(self) -> None:
        self._by_name: dict[str, Circuit] = {}

    def to(self, name: str, *, is_fault: IsFault = is_absence) -> Circuit:
        """Return the circuit to a part, the same for everybody in the process: who is first makes it."""
        return self._by_name.setdefault(name, Circuit(name, is_fault=is_fault))

    @property
    def states(self) -> dict[str, str]:
        """The state of each circuit."""
        return {name: circuit.state.value for name, circuit in self._by_name.items()}

    @property
    def skipped(self) -> dict[str, float]:
        """How many calls each circuit has refused."""
        return {name: float(circuit.skipped) for name, circuit in self._by_name.items()}
