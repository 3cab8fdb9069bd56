"""What a caller brings who runs tools of his own: the tools, and what came of their calls so far."""

from dataclasses import dataclass

from parley_contracts.tools import ToolSpec
from parley_contracts.turns import ChatMessage


@dataclass(frozen=True, slots=True)
class CallerSide:
    """The caller's tools, and what was said since his question: calls of them, and their results."""

    tools: tuple[ToolSpec, ...] = ()
    continuation: tuple[ChatMessage, ...] = ()


CALLS_NOTHING = CallerSide()
