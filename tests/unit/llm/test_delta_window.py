"""Deltas that come close together travel as one, in order, and none is lost."""

import asyncio
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from parley_llm.delta_window import DeltaWindow
from parley_llm.language_model import ReasoningChunk, TextChunk
from parley_llm.written_answer import Strand, WrittenAnswer

WAIT_S = 5.0
LONG_MS = 60_000.0
ANSWER = WrittenAnswer(b'"t"')
STRAND, _ = ANSWER.strand_of(TextChunk("text"))
OTHER, _ = ANSWER.strand_of(ReasoningChunk("thought"))


class Sent:
    """What went out, and a gate that holds it up."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.strands: list[Strand] = []
        self.may_go_on = asyncio.Event()
        self.may_go_on.set()
        self._changed = asyncio.Event()

    async def send(self, strand: Strand, text: str) -> None:
        await self.may_go_on.wait()
        self.texts.append(text)
        self.strands.append(strand)
        self._changed.set()

    async def until(self, is_so: Callable[[list[str]], bool]) -> None:
        async with asyncio.timeout(WAIT_S):
            while not is_so(self.texts):
                self._changed.clear()
                await self._changed.wait()


async def test_the_first_delta_goes_out_at_once() -> None:
    sent = Sent()
    async with asyncio.TaskGroup() as tasks:
        window = DeltaWindow(sent.send, LONG_MS, tasks)
        await window.add(STRAND, "first")
    assert sent.texts == ["first"]


async def test_deltas_within_the_window_travel_as_one_when_it_ends() -> None:
    sent = Sent()
    async with asyncio.TaskGroup() as tasks:
        window = DeltaWindow(sent.send, 30, tasks)
        for text in ("a", "b", "c", "d"):
            await window.add(STRAND, text)
        assert sent.texts == ["a"]
        await sent.until(lambda texts: len(texts) == 2)
    assert sent.texts == ["a", "bcd"]


async def test_what_is_held_of_one_strand_goes_out_before_another_begins() -> None:
    sent = Sent()
    async with asyncio.TaskGroup() as tasks:
        window = DeltaWindow(sent.send, LONG_MS, tasks)
        for strand, texts in ((OTHER, "abc"), (STRAND, "de"), (OTHER, "f")):
            for text in texts:
                await window.add(strand, text)
        assert sent.texts == ["a", "bc", "de"]
        await window.flush()
    assert sent.texts == ["a", "bc", "de", "f"]
    assert sent.strands == [OTHER, OTHER, STRAND, OTHER]


async def test_the_end_of_an_answer_waits_for_no_window() -> None:
    sent = Sent()
    async with asyncio.TaskGroup() as tasks:
        window = DeltaWindow(sent.send, LONG_MS, tasks)
        for text in ("a", "b", "c"):
            await window.add(STRAND, text)
        await window.flush()
        await window.flush()
    assert sent.texts == ["a", "bc"]


async def test_without_a_window_every_delta_goes_out_alone() -> None:
    sent = Sent()
    async with asyncio.TaskGroup() as tasks:
        window = DeltaWindow(sent.send, 0, tasks)
        for text in ("a", "b", "c"):
            await window.add(STRAND, text)
    assert sent.texts == ["a", "b", "c"]


async def test_while_nothing_can_be_sent_the_model_is_read_no_further() -> None:
    sent = Sent()
    sent.may_go_on.clear()
    async with asyncio.TaskGroup() as tasks:
        window = DeltaWindow(sent.send, 0, tasks)
        first = tasks.create_task(window.add(STRAND, "a"))
        await asyncio.sleep(0)
        second = tasks.create_task(window.add(STRAND, "b"))
        await asyncio.wait([first, second], timeout=0.05)
        assert not first.done()
        assert not second.done()
        sent.may_go_on.set()
    assert sent.texts == ["a", "b"]


async def test_what_could_not_be_sent_is_sent_by_the_last_flush() -> None:
    sent = Sent()
    sent.may_go_on.clear()
    async with asyncio.TaskGroup() as tasks:
        window = DeltaWindow(sent.send, 0, tasks)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await window.add(STRAND, "a")
        sent.may_go_on.set()
        await window.flush()
    assert sent.texts == ["a"]


Step = tuple[str, int]
STEPS = st.lists(st.tuples(st.sampled_from(["add", "yield", "pause", "hold", "let go"]), st.integers(1, 3)))


@given(steps=STEPS, window_ms=st.sampled_from([0.0, 1.0, 3.0]))
@settings(max_examples=60, deadline=None)
def test_no_text_is_lost_or_out_of_order_whatever_the_schedule(steps: list[Step], window_ms: float) -> None:
    sent, written = asyncio.run(_follow(steps, window_ms))
    assert "".join(sent) == written
    assert all(sent)


async def _follow(steps: list[Step], window_ms: float) -> tuple[list[str], str]:
    """Write by a schedule of deltas, yields, pauses and times in which nothing can be sent."""
    sent, written = Sent(), ""
    async with asyncio.TaskGroup() as tasks:
        window = DeltaWindow(sent.send, window_ms, tasks)
        for number, (step, count) in enumerate(steps):
            match step:
                case "add":
                    text = f"<{number}>" * count
                    written += text
                    # A model is read by one task; that it waits here is what holds the model up.
                    adding = tasks.create_task(window.add(STRAND, text))
                    await asyncio.wait([adding], timeout=0.002)
                    sent.may_go_on.set()
                    await adding
                case "yield":
                    for _ in range(count):
                        await asyncio.sleep(0)
                case "pause":
                    await asyncio.sleep(count / 1000)
                case "hold":
                    sent.may_go_on.clear()
                case _:
                    sent.may_go_on.set()
        sent.may_go_on.set()
        await window.flush()
    return sent.texts, written
