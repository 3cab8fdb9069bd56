"""What the answers to the questions cite, as counts and as a table."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tests.integration.manuals.question_set import Question
from tests.integration.turn_view import TurnView

_MARK = re.compile(r"\[(\d+)\]")
Place = tuple[str, int | None]


@dataclass(frozen=True)
class Outcome:
    """A question with the places that its turn was given (best first) and those that its answer cites."""

    question: Question
    given: tuple[Place, ...]
    cited: tuple[Place, ...]
    cited_first: Place | None

    @property
    def is_right(self) -> bool:
        return any(self.question.is_answered_by(*place) for place in self.cited)

    @property
    def is_right_first(self) -> bool:
        return self.cited_first is not None and self.question.is_answered_by(*self.cited_first)

    @property
    def rank_given(self) -> int | None:
        """The rank from 1 of the first right passage among those the turn was given."""
        ranks = (rank for rank, place in enumerate(self.given, 1) if self.question.is_answered_by(*place))
        return next(ranks, None)


def outcome_of(question: Question, turn: TurnView) -> Outcome:
    """Read a finished turn."""
    cited = turn.ending["citations"]
    by_number = {citation["n"]: _place(citation) for citation in cited}
    first = next((int(number) for number in _MARK.findall(turn.text) if int(number) in by_number), None)
    return Outcome(
        question=question,
        given=tuple(_place(citation) for citation in turn.event("context_ready")["citations"]),
        cited=tuple(by_number.values()),
        cited_first=None if first is None else by_number[first],
    )


def table(outcomes: Sequence[Outcome]) -> str:
    """Return one line a question and the counts."""
    lines = [f"{'':7} {'given':>5}  {'question':<72}  cited"]
    for outcome in outcomes:
        mark = "first" if outcome.is_right_first else "right" if outcome.is_right else "WRONG"
        cited = ", ".join(f"{file}:{page}" if page else file for file, page in outcome.cited) or "nothing"
        rank = outcome.rank_given or "-"
        lines.append(f"{mark:7} {rank:>5}  {outcome.question.text[:72]:<72}  {cited}")
    lines.append(
        f"{sum(one.is_right for one in outcomes)} of {len(outcomes)} cite the right place, "
        f"{sum(one.is_right_first for one in outcomes)} cite it first, "
        f"{sum(one.rank_given is not None for one in outcomes)} were given it"
    )
    return "\n".join(lines)


def _place(citation: dict[str, Any]) -> Place:
    return citation["document"]["name"], citation["page"]
