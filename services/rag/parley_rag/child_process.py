"""What a process does that lives for its parent alone."""

import ctypes
import signal
from contextlib import suppress

_PR_SET_PDEATHSIG = 1


def leave_signals_to_parent() -> None:
    """Ignore what ends services: it may come to all processes at once, and the parent has work to finish."""
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, signal.SIG_IGN)


def end_with_parent() -> None:
    """Have the system end this process with its parent, where it can."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
