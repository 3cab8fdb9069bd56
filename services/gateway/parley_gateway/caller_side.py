"""What a caller brings himself: his tools, what came of their calls so far, and files."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from parley_contracts.tools import ToolSpec
from parley_contracts.turns import ChatMessage

from parley_gateway.inline_files import InlineFile


@dataclass(frozen=True, slots=True)
class CallerSide:
    """The caller's tools, what was said since his question (calls of them, and their results), and files."""

    tools: tuple[ToolSpec, ...] = ()
    continuation: tuple[ChatMessage, ...] = ()
    files: Mapping[str, InlineFile] = field(default_factory=dict[str, InlineFile])


CALLS_NOTHING = CallerSide()
