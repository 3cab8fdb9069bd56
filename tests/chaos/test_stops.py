"""Stop means stop: the call to the model is closed at once, from wherever and whenever the stop comes."""

import asyncio
import itertools
import json
import random
from collections.abc import Sequence
from uuid import uuid4

import pytest

from benchmarks.figures import percentile
from tests.chaos.bus_gate import open_gate
from tests.chaos.printed import print_table
from tests.chaos.scale import scaled
from tests.chaos.stopped_turn import ABORT_MS, StoppedTurn
from tests.chaos.upstream import SIGNED, SIX_SECONDS, SLOW_START, TEN_SECONDS
from tests.fakes.ollama_server import OllamaFake
from tests.integration.stack import Stack
from tests.integration.turn_view import TurnView
from tests.stack_marks import STACK

pytestmark = [pytest.mark.chaos, *STACK]

TURNS = scaled(12, 50)
CUT_TURNS = scaled(3, 12)
SEED = 20_260_501
MOMENTS = ("accepted", "first token", "middle", "end", "twice", "other gateway", "other socket", "http")
ONE_SECOND = SIGNED[20]
SETTLE_S = 20.0
SPREAD_S = scaled(1.0, 4.0)
"""Turns begin within this time: what is measured is the stop, not a rush at the start."""

LEGEND = f"""cancelled: turns that end so, all but those that are over first (`end`). calls: to the model, at
most one a turn, none when the stop is there first. aborted: calls that were cut off. p50, max:
from the stop's sending to the cut, as the model's server sees it, at most {ABORT_MS:.0f} ms.
stored: from the sending to the acknowledgement."""


def turn_to_stop(moment: str, gateway: int) -> StoppedTurn:
    turn_id = uuid4().hex
    return StoppedTurn(moment, f"Stop me, {turn_id}.", TurnView(turn_id), gateway)


async def stop_over_a_socket(
    stack: Stack, ollama: OllamaFake, moment: str, chance: random.Random
) -> StoppedTurn:
    await asyncio.sleep(chance.uniform(0, SPREAD_S))
    stopped = turn_to_stop(moment, chance.randrange(2))
    model = {"first token": SLOW_START, "end": ONE_SECOND}.get(moment, SIX_SECONDS)
    async with stack.chat(stopped.gateway) as chat, stack.chat(_canceller(stopped)) as other:
        view = await chat.start(
            stopped.question, turn_id=stopped.turn.turn_id, model=model.id, collections=[]
        )
        stopped.turn = view
        if moment == "first token":
            await ollama.until(
                lambda _: any(call.question.endswith(stopped.question) for call in ollama.calls),
                within_s=SETTLE_S,
            )
        elif moment != "accepted":
            least = model.count - chance.randrange(4) if moment == "end" else chance.randrange(1, 60)
            await chat.until(lambda: view.text.count(" ") >= least or view.is_over)
        if moment in ("other gateway", "other socket"):
            await stopped.stop(other)
        else:
            await stopped.stop(chat)
        if moment == "twice":
            await stopped.stop(other)
        await chat.until(lambda: view.is_over)
    return stopped


def _canceller(stopped: StoppedTurn) -> int:
    return 1 - stopped.gateway if stopped.moment in ("other gateway", "twice") else stopped.gateway


async def stop_an_http_stream(stack: Stack, chance: random.Random) -> StoppedTurn:
    """Stop a turn that was started over HTTP: the id of its completion names it on any socket."""
    await asyncio.sleep(chance.uniform(0, SPREAD_S))
    stopped = turn_to_stop("http", chance.randrange(2))
    body = {
        "model": SIX_SECONDS.id,
        "stream": True,
        "store": True,
        "collections": [],
        "messages": [{"role": "user", "content": stopped.question}],
    }
    least = chance.randrange(1, 60)
    text = ""
    async with (
        stack.chat(1 - stopped.gateway) as chat,
        stack.http(stopped.gateway) as client,
        client.stream("POST", "/v1/chat/completions", json=body) as reply,
    ):
        async for line in reply.aiter_lines():
            if not line.startswith("data: {"):
                continue
            chunk = json.loads(line.removeprefix("data: "))
            stopped.turn.turn_id = chunk["id"].removeprefix("chatcmpl-")
            text += chunk["choices"][0]["delta"].get("content") or ""
            if not stopped.stopped_ms and text.count(" ") >= least:
                await stopped.stop(chat)
        await chat.resume(stopped.turn)
        await chat.until(lambda: stopped.turn.is_over)
    assert stopped.turn.text == text
    return stopped


async def stop_turns(stack: Stack, ollama: OllamaFake) -> list[StoppedTurn]:
    # A source of its own for each: which of them asks first is no matter of the seed.
    plans = [
        (moment, random.Random(SEED + index))
        for index, moment in enumerate(itertools.islice(itertools.cycle(MOMENTS), TURNS))
    ]
    async with asyncio.TaskGroup() as tasks:
        running = [
            tasks.create_task(
                stop_an_http_stream(stack, chance)
                if moment == "http"
                else stop_over_a_socket(stack, ollama, moment, chance)
            )
            for moment, chance in plans
        ]
    return [one.result() for one in running]


def table(turns: Sequence[StoppedTurn]) -> str:
    """Return how long the upstream took to notice the stops, by their moment."""
    rows = [f"{'moment':<14} turns cancelled calls aborted   p50 ms   max ms   stored p50 ms"]
    for moment in (*MOMENTS, "all"):
        found = [one for one in turns if moment in (one.moment, "all")]
        took_ms = [one.abort_ms for one in found if one.abort_ms is not None]
        figures = " ".join(f"{percentile(took_ms, share):>8.1f}" for share in (50, 100))
        figures += f" {percentile([one.stored_ms - one.stopped_ms for one in found], 50):>15.1f}"
        cancelled = sum(one.is_cancelled for one in found)
        calls = sum(len(one.calls) for one in found)
        rows.append(f"{moment:<14} {len(found):>5} {cancelled:>9} {calls:>5} {len(took_ms):>7} {figures}")
    return "\n".join([*rows, LEGEND])


async def test_a_stop_closes_the_call_to_the_model_at_once_whenever_it_comes(
    stack: Stack, ollama: OllamaFake
) -> None:
    turns = await stop_turns(stack, ollama)
    # Nothing is being written any more, for anybody.
    await ollama.until(lambda stats: stats.open_streams == 0, within_s=SETTLE_S)
    for one in turns:
        one.look_upstream(ollama)
    print_table("test_stops: turns are stopped at every moment, from everywhere", table(turns))
    faults = [fault for one in turns for fault in await one.faults(stack)]
    for one in turns:
        if len(one.calls) > 1 or (one.words and not one.calls):
            faults.append(f"{one.moment}: the model was asked {len(one.calls)} times")
        if one.is_cancelled and not one.turn.ending["is_confirmed"]:
            faults.append(f"{one.moment}: nobody confirmed the stop")
        if not one.is_cancelled and one.moment != "end":
            faults.append(f"{one.moment}: ended as {one.turn.ending['type']}")
        if one.is_cancelled and one.calls and not one.aborts and one.moment != "end":
            faults.append(f"{one.moment}: the model wrote to its end")
        if one.aborts and one.aborts[0]["words"] < one.words:
            faults.append(f"{one.moment}: more words are kept than were written")
    assert not faults
    late_ms = [one.abort_ms for one in turns if one.abort_ms is not None and one.abort_ms > ABORT_MS]
    assert not late_ms


@pytest.mark.parametrize(("away_s", "is_confirmed"), [(0.5, True), (4.0, False)])
async def test_a_worker_that_was_away_from_the_bus_obeys_the_stop_when_it_is_back(
    stack: Stack, ollama: OllamaFake, away_s: float, is_confirmed: bool
) -> None:
    for name in ("llm-0", "llm-1"):
        await stack.terminate(name)
    async with open_gate(int(stack.nats_url.rpartition(":")[2])) as gate:
        worker = stack.processes["llm-0"].twin("llm-gated", NATS_URL=gate.url)
        await worker.start()
        turns = [turn_to_stop("cut", index % 2) for index in range(CUT_TURNS)]
        ready, is_shut = asyncio.Barrier(CUT_TURNS + 1), asyncio.Event()

        async def stop_behind_a_cut(one: StoppedTurn) -> None:
            async with stack.chat(one.gateway) as chat:
                one.turn = await chat.start(
                    one.question, turn_id=one.turn.turn_id, model=TEN_SECONDS.id, collections=[]
                )
                await chat.until(lambda: one.words > 2)
                await ready.wait()
                await is_shut.wait()
                await one.stop(chat)
                await chat.until(lambda: one.turn.is_over)

        async with asyncio.TaskGroup() as tasks:
            for one in turns:
                tasks.create_task(stop_behind_a_cut(one))
            await ready.wait()
            gate.shut()
            is_shut.set()
            # How long the worker is away is what the case is about.
            await asyncio.sleep(away_s)
            back_ms = asyncio.get_running_loop().time() * 1000
            gate.reopen()
            await ollama.until(lambda stats: stats.open_streams == 0, within_s=SETTLE_S)
            aborted_ms = asyncio.get_running_loop().time() * 1000 - back_ms
        for one in turns:
            one.look_upstream(ollama)
        faults = [fault for one in turns for fault in await one.faults(stack)]
        await worker.terminate()
    row = f"away {away_s} s: the last of {CUT_TURNS} calls was closed {aborted_ms:.0f} ms after the return"
    print_table("test_stops: the worker is cut off from the bus when the stop comes", row)
    assert not faults
    assert [one.turn.ending["is_confirmed"] for one in turns] == [is_confirmed] * CUT_TURNS
    assert all(len(one.calls) == 1 and one.aborts[0]["words"] < TEN_SECONDS.count for one in turns)
