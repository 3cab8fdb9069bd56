"""Holds what viewers saw against what the bus, the memory service and the upstream have of the same turns."""

import asyncio
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import httpx
from parley_contracts.accounts import LOCAL_OWNER
from parley_contracts.turn_events import GenerationFinished
from parley_gateway.ids import OwnedIds

from tests.chaos.turn_record import TurnRecord
from tests.chaos.upstream import signed_fault
from tests.chaos.viewed import Viewed
from tests.fakes.ollama_server import Call
from tests.integration.waiting import eventually
from tests.plain_http import NO_CERTIFICATES

ROLES = ("user", "assistant")
STORED_S = 60.0
HTTP_S = 10.0


@dataclass
class Entry:
    """One turn: as it was seen, logged, asked for upstream, and stored."""

    viewed: Viewed
    words: int
    record: TurnRecord
    calls: Sequence[Call]
    stored: Counter[str]
    stored_text: str
    killed: Collection[str]

    @property
    def broken_off(self) -> int:
        """How many generations of it died with their worker."""
        return self.record.broken_off(self.killed)

    @property
    def missing(self) -> int:
        """How many events of the log the viewer was never sent."""
        sent = {event.seq for event in self.record.standing if not isinstance(event, GenerationFinished)}
        return len(sent - set(self.viewed.seqs))

    def faults(self) -> list[str]:
        """Return every breach of the protocol's promises, in words."""
        seen = self.viewed
        found = [*seen.faults, *self.record.faults]
        found += [f"{count} {name}" for name, count in self._breaches().items() if count]
        endings = [ending["type"] for ending in seen.endings]
        if endings != ["turn_completed"]:
            found.append(f"ends with {seen.endings}")
        if self.record.seals != 1:
            found.append(f"{self.record.seals} seals")
        if seen.text.encode() != self.stored_text.encode():
            found.append(f"seen {seen.text[-40:]!r}, stored {self.stored_text[-40:]!r}")
        if fault := signed_fault(seen.text, self.words, self.calls):
            found.append(fault)
        if len(self.calls) > 1 + self.broken_off + self.record.asked_early(self.killed):
            found.append(f"{len(self.calls)} calls, {self.broken_off} generations broken off")
        finished_s = self.record.finished_at_s
        if any(finished_s is not None and call.at_s > finished_s for call in self.calls):
            found.append("asked for again after it stood finished")
        return [f"{seen.turn_id}: {fault}" for fault in found]

    def _breaches(self) -> dict[str, int]:
        return {
            "gaps": self.viewed.gaps,
            "repeats": self.viewed.repeats,
            "events never sent": self.missing,
            "user messages too few or many": abs(self.stored["user"] - 1),
            "assistant messages too few or many": abs(self.stored["assistant"] - 1),
        }


class Shelf:
    """What the memory service has of some conversations."""

    def __init__(self, url: str, headers: dict[str, str]) -> None:
        self._url = url
        self._headers = headers
        self.messages: list[dict[str, Any]] = []

    async def read(self, turns: Sequence[Viewed]) -> None:
        """Read until both messages of every turn are there, or the time for it is over."""
        try:
            await eventually(lambda: self._holds(turns), within_s=STORED_S)
        except TimeoutError:
            return

    async def _holds(self, turns: Sequence[Viewed]) -> bool:
        conversations = sorted({turn.conversation_id for turn in turns if turn.is_accepted})
        async with httpx.AsyncClient(
            verify=NO_CERTIFICATES, base_url=self._url, headers=self._headers, timeout=HTTP_S, trust_env=False
        ) as client:
            try:
                pages = await asyncio.gather(*(self._page(client, one) for one in conversations))
            except httpx.HTTPError:
                return False
        self.messages = [message for page in pages for message in page]
        stored = {(message["turn_id"], message["role"]) for message in self.messages}
        return all((turn.turn_id, role) in stored for turn in turns for role in ROLES)

    async def _page(self, client: httpx.AsyncClient, conversation_id: str) -> list[dict[str, Any]]:
        response = await client.get(f"/api/conversations/{conversation_id}", params={"limit": 1000})
        return response.json()["messages"] if response.status_code == 200 else []

    def count(self, turn_id: str) -> Counter[str]:
        """Return how many messages of each role a turn has."""
        return Counter(message["role"] for message in self.messages if message["turn_id"] == turn_id)

    def answer(self, turn_id: str) -> str:
        """Return the stored answer of a turn."""
        of_turn = (message for message in self.messages if message["turn_id"] == turn_id)
        return next((message["text"] for message in of_turn if message["role"] == "assistant"), "")


def entries(
    turns: dict[str, tuple[Viewed, int]],
    records: dict[str, TurnRecord],
    calls: Sequence[Call],
    shelf: Shelf,
    *,
    killed: Collection[str],
    ids: OwnedIds,
) -> list[Entry]:
    """Bring together what there is of each turn; `turns` gives each one's view and length in words."""
    return [
        Entry(
            viewed=viewed,
            words=words,
            record=records.get(ids.turn_id(LOCAL_OWNER, turn_id), TurnRecord()),
            calls=[call for call in calls if call.question.endswith(viewed.start["text"])],
            stored=shelf.count(turn_id),
            stored_text=shelf.answer(turn_id),
            killed=killed,
        )
        for turn_id, (viewed, words) in turns.items()
    ]
