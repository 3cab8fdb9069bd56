"""The memory service's part in a turn: a store keyed by turn and role that outlives its process."""

from dataclasses import dataclass, field

from parley_contracts import subjects
from parley_contracts.memory import History, ReadHistory, Stored, StoreTurn, StoreUserMessage
from parley_contracts.turns import Seal
from parley_messaging.bus import Bus


@dataclass
class MemoryStore:
    """What is on disk. The first of a key stands, as a primary key has it."""

    questions: dict[str, str] = field(default_factory=dict[str, str])
    answers: dict[str, Seal] = field(default_factory=dict[str, Seal])

    async def store_question(self, request: StoreUserMessage) -> Stored:
        turn_id = request.turn.turn_id
        is_new = turn_id not in self.questions
        self.questions.setdefault(turn_id, request.text)
        return Stored(is_new=is_new)

    async def store_turn(self, request: StoreTurn) -> Stored:
        seal = request.seal
        is_new = seal.turn.turn_id not in self.answers
        self.questions.setdefault(seal.turn.turn_id, seal.user_text)
        self.answers.setdefault(seal.turn.turn_id, seal)
        return Stored(is_new=is_new)

    async def read_history(self, _: ReadHistory) -> History:
        return History(messages=())

    def bind(self, bus: Bus) -> None:
        bus.answer(subjects.MEMORY_STORE_TURN, StoreTurn, self.store_turn)
        bus.answer(subjects.MEMORY_STORE_USER_MESSAGE, StoreUserMessage, self.store_question)
        bus.answer(subjects.MEMORY_READ_HISTORY, ReadHistory, self.read_history)
