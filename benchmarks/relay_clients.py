"""The receivers of a relay benchmark: many WebSockets in one process, at the least cost.

While frames come they are only appended; they are taken apart and compared when the run is over.
"""

import asyncio
import json
from collections import Counter
from itertools import pairwise
from typing import Any

import uvloop

from benchmarks.chat_dialects import ParleyDialect, client_frame, pong_for, server_frames
from benchmarks.commands import serve_commands
from benchmarks.kept_connection import KeptConnection, all_ended
from benchmarks.load import END, delta_frames

_END = f'"{END}"}}'.encode()
OPEN_S = 60.0
OPEN_AT_ONCE = 16


class Receiver(KeptConnection):
    """One socket, which watches one turn."""

    def __init__(self, turn_id: str) -> None:
        super().__init__()
        self.turn_id = turn_id

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.raw.endswith(_END):
            self.ended.set()
        if pong := pong_for(data):
            self.write(pong)

    def send(self, frame: dict[str, Any]) -> None:
        """Send a text frame, masked with zeros."""
        self.write(client_frame(json.dumps(frame).encode()))

    def fate(self) -> str:
        """Say how the connection stands, for a complaint."""
        if not self.is_lost:
            return "the connection is open"
        return f"closed by the server, last bytes {bytes(self.raw[-60:])!r}"


def judge(frames: list[bytes], turn_id: str, epoch: int, deltas: int) -> str:
    """Say how a turn's deltas came: `exact`, frame by frame; `merged`, the exact text in fewer frames
    because the reader lagged; else what is wrong.
    """
    kept = [frame for frame in frames if b'"type":"text_delta"' in frame]
    wanted = delta_frames(turn_id, epoch, deltas)
    if kept == wanted:
        return "exact"
    found, sent = [json.loads(frame) for frame in kept], [json.loads(frame) for frame in wanted]
    seqs = [frame["seq"] for frame in found]
    is_ordered = all(earlier < later for earlier, later in pairwise(seqs))
    if is_ordered and _text(found) == _text(sent) and set(seqs) <= {frame["seq"] for frame in sent}:
        return "merged"
    missing = sorted({frame["seq"] for frame in sent} - set(seqs))
    where = f"from {missing[0]} to {missing[-1]}" if missing else "none"
    order = "in order" if is_ordered else "out of order"
    return f"{len(kept)} of {deltas} deltas, {order}, {len(missing)} seqs missing: {where}"


def _text(frames: list[dict[str, Any]]) -> str:
    return "".join(frame["text"] for frame in frames)


class Receivers:
    """All sockets of a run."""

    def __init__(self) -> None:
        self._open: list[Receiver] = []

    async def open(self, port: int, key: str, turns: list[str], frame: dict[str, Any]) -> dict[str, Any]:
        """Open a socket for each turn, send `frame` with its turn id, and wait until it is served."""
        places = asyncio.Semaphore(OPEN_AT_ONCE)

        async def open_next(turn_id: str) -> None:
            async with places:
                await self._open_one(port, key, turn_id, frame)

        async with asyncio.timeout(OPEN_S), asyncio.TaskGroup() as tasks:
            for turn_id in turns:
                tasks.create_task(open_next(turn_id))
        return {"open": len(self._open)}

    async def _open_one(self, port: int, key: str, turn_id: str, frame: dict[str, Any]) -> None:
        loop = asyncio.get_running_loop()
        _, receiver = await loop.create_connection(lambda: Receiver(turn_id), "127.0.0.1", port)
        await ParleyDialect().open(receiver, port, key)
        receiver.raw.clear()
        receiver.send({**frame, "turn_id": turn_id})
        # Frames of a socket are handled in order.
        receiver.send({"type": "ping"})
        await receiver.until(b'"pong"')
        self._open.append(receiver)

    async def expect(self, timeout_s: float) -> dict[str, Any]:
        """Wait until every stream has ended."""
        return await all_ended(self._open, timeout_s)

    async def close(self, epoch: int, deltas: int) -> dict[str, Any]:
        """Compare what came with what was sent, close, and return how many streams were as they should."""
        found, complaints = Counter[str](), list[str]()
        for receiver in self._open:
            frames = [payload for _, payload in server_frames(bytes(receiver.raw))]
            found["frames"] += len(frames)
            verdict = judge(frames, receiver.turn_id, epoch, deltas)
            found[verdict if verdict in ("exact", "merged") else "wrong"] += 1
            if verdict not in ("exact", "merged"):
                complaints.append(f"{verdict}; {receiver.fate()}")
            receiver.close()
        self._open.clear()
        kinds = ("frames", "exact", "merged", "wrong")
        return {**{kind: found[kind] for kind in kinds}, "complaints": complaints[:3]}


def main() -> None:
    receivers = Receivers()
    uvloop.run(serve_commands({"open": receivers.open, "expect": receivers.expect, "close": receivers.close}))


if __name__ == "__main__":
    main()
