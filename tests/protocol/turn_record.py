"""What stands on the bus of a turn at the end, and what must be so whatever has happened."""

# What a stream holds is no part of the bus's protocol, and what a part holds none of the part's.
# pyright: reportPrivateUsage=false

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from parley_contracts import subjects
from parley_contracts.turn_events import TERMINAL_TYPES
from parley_contracts.turns import EPOCH_SPAN, PEN_RECORD, PenClaim, Seal, TurnOutcome
from parley_messaging.memory_bus import MemoryBus
from parley_messaging.streams import TURN_EVENTS, TURN_PEN, matches

if TYPE_CHECKING:
    from tests.protocol.cluster import Cluster

JOB_STREAMS = ("TURNS", "LLM_JOBS")


def jobs_left(bus: MemoryBus) -> list[str]:
    """Return the subjects of the jobs that stand in their queues."""
    return [stored.subject for name in JOB_STREAMS for stored in bus._stream(name).messages]


def pen_records(bus: MemoryBus, turn_id: str) -> list[PenClaim | Seal]:
    """Return the records of a turn's slots in the order of their numbers."""
    found: dict[int, PenClaim | Seal] = {}
    for stored in bus._stream(TURN_PEN).messages:
        if matches(subjects.pen_slots_of(turn_id), stored.subject):
            found[subjects.parse_pen_slot(stored.subject).number] = PEN_RECORD.validate_json(stored.data)
    return [found[number] for number in sorted(found)]


def frames(bus: MemoryBus, turn_id: str) -> list[tuple[str, bytes]]:
    """Return home and bytes of every frame that stands in any log of a turn, in their order."""
    return [
        (subjects.parse_turn_events(stored.subject).home, stored.data)
        for stored in bus._stream(TURN_EVENTS).messages
        if subjects.parse_turn_events(stored.subject).turn_id == turn_id
    ]


def standing(events: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield the events that a reader of a log takes: what is ahead of its place, or behind, is not."""
    last_seq = 0
    for event in events:
        seq, is_opening = event["seq"], event["seq"] % EPOCH_SPAN == 0
        if seq > last_seq >= event["follows"] if is_opening else seq == last_seq + 1:
            last_seq = seq
            yield event


def _knew_it_was_finished(bus: MemoryBus, turn_id: str, epoch: int, rounds: int) -> bool:
    """Return whether a whole answer, or the next round, stood in what the writer of an epoch follows."""
    events = [json.loads(frame) for _, frame in frames(bus, turn_id)]
    opening = next((one for one in events if one["seq"] == epoch * EPOCH_SPAN), None)
    follows = 0 if opening is None else opening["follows"]
    finished = [
        one for one in standing(events) if one["type"] == "generation_finished" and one["seq"] <= follows
    ]
    return len({json.dumps([one["text"], one["tool_calls"]]) for one in finished}) > rounds


def violations(cluster: "Cluster") -> list[str]:
    """Return what is not as the protocol promises, when everything has come to rest."""
    found = [*cluster.faults]
    # A worker asks the model before it opens its epoch, so only now can be said what it knew.
    found += [
        f"model asked again for {turn.client_turn_id}, whose answer is finished"
        for turn, epoch, rounds in cluster.model_calls
        if _knew_it_was_finished(cluster.network.bus, turn.turn_id, epoch, rounds)
    ]
    found += [] if cluster.has_frozen else cluster.shop.repeated
    for client_turn_id in cluster.asked:
        found += _turn_faults(cluster, client_turn_id)
    for viewer in cluster.viewers:
        found += viewer.faults
        seal = cluster.store.answers.get(cluster.bus_turn_id(viewer.turn))
        if not viewer.terminal:
            found.append(f"{viewer.name}: never saw the end")
        elif seal is not None and viewer.text != seal.text:
            found.append(f"{viewer.name}: reads {viewer.text!r}, kept is {seal.text!r} ({seal.outcome})")
    found += [f"a job is left: {subject}" for subject in jobs_left(cluster.network.bus)]
    return found + left(cluster)


def _turn_faults(cluster: "Cluster", client_turn_id: str) -> list[str]:
    bus, turn_id = cluster.network.bus, cluster.bus_turn_id(client_turn_id)
    found: list[str] = []
    records = pen_records(bus, turn_id)
    seals = [record for record in records if isinstance(record, Seal)]
    if len(seals) != 1 or records[-1] is not seals[0]:
        return [f"{client_turn_id}: pen ends with {len(seals)} seals of {len(records)} records"]
    kept = cluster.store.answers.get(turn_id)
    if kept is None or kept.nonce != seals[0].nonce:
        found.append(f"{client_turn_id}: kept is not what is sealed")
    is_whole = seals[0].outcome is TurnOutcome.COMPLETED
    if fault := cluster.model.fault_of(seals[0].text, is_whole=is_whole):
        found.append(f"{client_turn_id}: sealed {seals[0].text!r}: {fault}")
    if cluster.store.questions.get(turn_id) != cluster.asked[client_turn_id]:
        found.append(f"{client_turn_id}: the question is not kept")
    events: list[tuple[str, dict[str, Any]]] = [
        (home, json.loads(frame)) for home, frame in frames(bus, turn_id)
    ]
    ends = {(home, event["seq"], event["type"]) for home, event in events if event["type"] in TERMINAL_TYPES}
    if len(ends) != 1:
        found.append(f"{client_turn_id}: {len(ends)} ends: {sorted(ends)}")
    bodies: dict[int, set[str]] = {}
    for _, event in events:
        if event["type"] not in TERMINAL_TYPES:
            bodies.setdefault(event["seq"], set()).add(json.dumps(event))
    found += [f"{client_turn_id}: two events are {seq}" for seq, same in bodies.items() if len(same) > 1]
    return found


def left(cluster: "Cluster") -> list[str]:
    """Return what the parts of the processes still hold."""
    found: Counter[str] = Counter()
    for running in cluster.running.values():
        name, parts = running.bus.process.name, running.parts
        if running.writers is not None:
            found[f"{name} writers"] += running.writers.open_writers
        if running.loop is not None:
            found[f"{name} jobs"] += running.loop.jobs_running
        if parts is not None:
            found[f"{name} watches"] += parts.watches.open_watches + len(parts.watches._foreign)
        for holds in (running.holds, parts._holds if parts else None):
            found[f"{name} holds"] += len(holds._held) if holds else 0
        for stops in (running.stops, parts._stops if parts else None):
            if stops is not None:
                found[f"{name} stops"] += len(stops._followed) + len(stops._stopped) + len(stops._clocks)
    return [f"left in {what}: {count}" for what, count in found.items() if count]
