"""The writer of a relay benchmark: claims turns as runners and workers do, then writes at a given pace.

It publishes as a worker does, each event with a reply subject, but keeps no window: nothing dies here.
"""

import argparse
import asyncio
from contextlib import AsyncExitStack
from typing import Any

import uvloop
from parley_contracts import subjects
from parley_contracts.llm import GenerateJob, ListModels, ModelInfo, ModelList
from parley_contracts.memory import Stored, StoreTurn, StoreUserMessage
from parley_contracts.turn_events import GenerationFinished, encode_event
from parley_contracts.turns import EPOCH_SPAN, PenClaim, PenRole, TokenUsage
from parley_messaging.bus import JobOutcome, QueuedJob
from parley_messaging.nats_bus import NatsBus
from parley_messaging.pen import Pen, new_nonce
from parley_messaging.queues import llm_jobs
from parley_messaging.turn_writer import TurnWriters
from parley_messaging.work_loop import WorkLoop

from benchmarks.commands import serve_commands
from benchmarks.load import Load, delta_frames, opening_frame

POOL = "bench"
MODEL = "bench/relay"
JOBS_S = 30.0
TICK_S = 0.001
_ACKNOWLEDGEMENTS = "_INBOX.bench.1.1"
"""Nobody hears them; the server writes them to nobody, as it would to a writer."""


class Stream:
    """One turn as its writer sees it."""

    def __init__(self, turn_id: str, subject: str, epoch: int, follows: int) -> None:
        self.turn_id = turn_id
        self.subject = subject
        self.epoch = epoch
        self.follows = follows
        self.is_over = asyncio.Event()

    def frames(self, deltas: int) -> list[bytes]:
        opening = opening_frame(self.turn_id, self.epoch, self.follows)
        return [opening, *delta_frames(self.turn_id, self.epoch, deltas)]


class Publisher:
    """Streams by the client's turn id, and how to get and write them."""

    def __init__(self, bus: NatsBus, writers: TurnWriters) -> None:
        self._bus = bus
        self._pen = Pen(bus)
        self._writers = writers
        self._streams: dict[str, Stream] = {}
        self._changed = asyncio.Condition()
        self._deltas = 0
        self._jobs = 0

    async def prepare(self, home: str, turns: dict[str, str], claims: bool) -> dict[str, Any]:
        """Open streams by client turn id and bus turn id; `claims` makes them turns that can be resumed."""
        for client_turn_id, turn_id in turns.items():
            if claims:
                claim = PenClaim(nonce=new_nonce(), role=PenRole.RUNNER, holder=POOL, home=home)
                await self._pen.claim(turn_id, 1, claim)
            subject = subjects.turn_events(home, turn_id)
            stream = self._streams[client_turn_id] = Stream(client_turn_id, subject, 1, 0)
            if claims:
                # A turn under way has a log; the frame comes again with the load, and is dropped as a repeat.
                opening = opening_frame(stream.turn_id, stream.epoch, stream.follows)
                await self._bus.connection.publish(subject, opening, _ACKNOWLEDGEMENTS)
        return {"streams": len(self._streams)}

    async def work(self, delivery: QueuedJob) -> JobOutcome:
        """Take a turn's generate job as a worker does, and hold it until `finish`."""
        job = GenerateJob.model_validate_json(delivery.data)
        turn, epoch = job.turn, job.base_slot + 1
        claim = PenClaim(nonce=new_nonce(), role=PenRole.WORKER, holder=POOL, home=turn.home)
        if (await self._pen.claim(turn.turn_id, epoch, claim)).nonce != claim.nonce:
            return JobOutcome.DONE
        subject = subjects.turn_events(turn.home, turn.turn_id)
        stream = Stream(turn.client_turn_id, subject, epoch, job.last_seq)
        await self._count_job(1, stream)
        await stream.is_over.wait()
        try:
            await self._end(stream)
        finally:
            await self._count_job(-1)
        return JobOutcome.DONE

    async def _count_job(self, change: int, stream: Stream | None = None) -> None:
        async with self._changed:
            self._jobs += change
            if stream is not None:
                self._streams[stream.turn_id] = stream
            self._changed.notify_all()

    async def _end(self, stream: Stream) -> None:
        async with self._writers.open(stream.subject, stream.epoch) as writer:
            writer.seq = stream.epoch * EPOCH_SPAN + 1 + self._deltas
            await writer.append_settled(
                lambda seq: encode_event(
                    GenerationFinished(
                        seq=seq,
                        turn_id=stream.turn_id,
                        text="",
                        model=MODEL,
                        usage=TokenUsage(),
                        finish_reason="stop",
                    )
                ),
                timeout_s=JOBS_S,
            )

    async def await_jobs(self, count: int) -> dict[str, Any]:
        """Wait until `count` turns have reached this worker."""
        async with asyncio.timeout(JOBS_S), self._changed:
            await self._changed.wait_for(lambda: len(self._streams) >= count)
        return {"streams": len(self._streams), "epoch": min(s.epoch for s in self._streams.values())}

    async def publish(self, **shape: Any) -> dict[str, Any]:
        """Write all streams at the pace of a load."""
        load = Load(**shape)
        self._deltas = load.deltas
        lanes = [(stream.subject, stream.frames(load.deltas)) for stream in self._streams.values()]
        began_s = asyncio.get_running_loop().time()
        await (self._paced(lanes, load) if load.gap_ms else self._burst(lanes, load))
        await self._bus.connection.flush()
        return {"took_s": asyncio.get_running_loop().time() - began_s}

    async def _burst(self, lanes: list[tuple[str, list[bytes]]], load: Load) -> None:
        publish, flush = self._bus.connection.publish, self._bus.connection.flush
        for first in range(0, load.deltas + 1, load.batch):
            for subject, frames in lanes:
                for frame in frames[first : first + load.batch]:
                    await publish(subject, frame, _ACKNOWLEDGEMENTS)
            await flush()

    async def _paced(self, lanes: list[tuple[str, list[bytes]]], load: Load) -> None:
        """Publish frame `i` of lane `l` at (i + l / lanes) gaps: streams are spread over a gap."""
        publish, loop = self._bus.connection.publish, asyncio.get_running_loop()
        due = [(subject, frames[index]) for index in range(load.deltas + 1) for subject, frames in lanes]
        step_s = load.gap_ms / 1000 / len(lanes)
        began_s, sent = loop.time(), 0
        while sent < len(due):
            until = min(len(due), int((loop.time() - began_s) / step_s) + 1)
            for subject, frame in due[sent:until]:
                await publish(subject, frame, _ACKNOWLEDGEMENTS)
            sent = until
            await asyncio.sleep(max(TICK_S, began_s + sent * step_s - loop.time()))

    async def finish(self) -> dict[str, Any]:
        """End the turns that came as jobs, and forget all."""
        for stream in self._streams.values():
            stream.is_over.set()
        self._streams.clear()
        async with asyncio.timeout(JOBS_S), self._changed:
            await self._changed.wait_for(lambda: not self._jobs)
        return {}


def _answer(bus: NatsBus) -> None:
    """Answer for the services that a started turn asks."""
    model = ModelInfo(id=MODEL, pool=POOL, context_tokens=8192, owned_by="bench")

    async def list_models(_: ListModels) -> ModelList:
        return ModelList(models=(model,))

    async def store(_: StoreTurn | StoreUserMessage) -> Stored:
        return Stored(is_new=True)

    bus.answer(subjects.LLM_MODELS, ListModels, list_models)
    bus.answer(subjects.MEMORY_STORE_TURN, StoreTurn, store)
    bus.answer(subjects.MEMORY_STORE_USER_MESSAGE, StoreUserMessage, store)


async def serve(nats_url: str) -> None:
    bus = NatsBus(nats_url, name="bench-publisher")
    async with AsyncExitStack() as stack:
        stack.push_async_callback(bus.close)
        await bus.connect()
        _answer(bus)
        await bus.start()
        writers = TurnWriters(bus)
        await writers.start()
        publisher = Publisher(bus, writers)
        jobs = WorkLoop(bus, llm_jobs(POOL), publisher.work, slots=2000)
        async with asyncio.TaskGroup() as tasks:
            background = [tasks.create_task(writers.run()), tasks.create_task(jobs.run())]
            await serve_commands(
                {
                    "prepare": publisher.prepare,
                    "await_jobs": publisher.await_jobs,
                    "publish": publisher.publish,
                    "finish": publisher.finish,
                }
            )
            for task in background:
                task.cancel()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nats-url", required=True)
    uvloop.run(serve(parser.parse_args().nats_url))


if __name__ == "__main__":
    main()
