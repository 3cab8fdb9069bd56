"""What may meet one operation of a process on its bus."""

from dataclasses import dataclass

LET_RUN_S = 0.01


@dataclass(frozen=True)
class Kill:
    """The process dies, before or after the operation has its effect."""

    is_after: bool = False


@dataclass(frozen=True)
class Freeze:
    """The process stops and goes on later, or when another one's `Thaw` says so."""

    for_s: float | None = 8.0
    is_after: bool = False


@dataclass(frozen=True)
class Thaw:
    """Just before the operation, another process goes on and has a moment to run."""

    process: str
    let_run_s: float = LET_RUN_S


@dataclass(frozen=True)
class Lose:
    """A store, a request or a fetch has its effect and its answer is lost; else nothing has an effect.

    It meets `times` operations in a row, of those that begin with `only`.
    """

    times: int = 1
    only: str = ""


@dataclass(frozen=True)
class Delay:
    """The operation takes effect later, and so does what comes after it on its subscription."""

    for_s: float = 1.5


@dataclass(frozen=True)
class Refuse:
    """The operation has no effect and fails as an operation on a server that is away does."""


Fault = Kill | Freeze | Thaw | Lose | Delay | Refuse
