"""An answer as the events of its turn make it up, for who is told of it whole."""

from typing import Any

from parley_contracts.turn_events import (
    EpochStarted,
    GenerationFinished,
    ReasoningDelta,
    Sync,
    TextDelta,
    TurnEvent,
)


class FoldedAnswer:
    """What stands: the text, what was thought before it, the likelihood of its tokens."""

    def __init__(self) -> None:
        self._text = ""
        self._reasoning = ""
        self._weighed: list[tuple[int, tuple[dict[str, Any], ...]]] = []
        self._written_chars = 0

    def take(self, event: TurnEvent | Sync | None) -> None:
        """Fold the next event in."""
        match event:
            case EpochStarted():
                self._cut(event)
            case TextDelta():
                self._written_chars += len(event.text)
                if event.logprobs:
                    self._weighed.append((self._written_chars, event.logprobs))
            case ReasoningDelta():
                self._reasoning += event.text
            case GenerationFinished() | Sync():
                self._text = event.text
            case _:
                return

    def _cut(self, started: EpochStarted) -> None:
        self._reasoning = self._reasoning[: started.keep_reasoning_chars]
        self._written_chars = min(self._written_chars, started.keep_chars)
        self._weighed = [one for one in self._weighed if one[0] <= started.keep_chars]

    @property
    def text(self) -> str:
        return self._text

    @property
    def reasoning(self) -> str:
        return self._reasoning

    @property
    def logprobs(self) -> list[dict[str, Any]]:
        """What was told of the tokens of the text, in order; empty where nothing was."""
        return [entry for _, entries in self._weighed for entry in entries]
