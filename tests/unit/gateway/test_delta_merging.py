"""Deltas that wait for a lagging socket become one frame, and not a character of them is lost."""

import asyncio
import json
from itertools import groupby
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parley_contracts.turn_events import EpochStarted, encode_event, reasoning_delta_frame, text_delta_frame
from parley_gateway.delta_merging import MERGED_BYTES, begin_merge, read_delta
from parley_gateway.outbox import Lane, Outbox, SlowSocketError

from tests.unit.gateway.test_outbox import HeldWriter

SEAMS = ['"', "\\", "\\\\", '\\"', '"}', '","text":"', "\n", "\x00", "é", "𝄞", "👩‍👩‍👧", "a\u0301", "{", ""]


def delta(text: str, seq: int = 1_000_001, turn_id: str = "t") -> bytes:
    return text_delta_frame(json.dumps(turn_id).encode(), seq, text)


def escaped_delta(text: str, seq: int) -> bytes:
    """A writer may escape whatever is not ASCII, characters beyond the BMP as two escapes."""
    return b'{"seq":%d,"type":"text_delta","turn_id":"t","text":%b}' % (seq, json.dumps(text).encode())


def merged(frames: list[bytes]) -> Any:
    first = read_delta(frames[0])
    assert first
    merge = begin_merge(first)
    for frame in frames[1:]:
        found = read_delta(frame)
        assert found
        assert merge.take(found) is not None
    return json.loads(merge.frame())


@given(st.lists(st.text(), min_size=1, max_size=20), st.booleans())
def test_the_contents_of_joined_frames_are_their_texts_joined(texts: list[str], is_escaped: bool) -> None:
    write = escaped_delta if is_escaped else delta
    found = merged([write(text, 1_000_001 + index) for index, text in enumerate(texts)])
    assert found["text"] == "".join(texts)
    assert found["seq"] == 1_000_000 + len(texts)


def test_thoughts_are_joined_with_thoughts_and_not_with_the_answer() -> None:
    thoughts = [reasoning_delta_frame(b'"t"', seq, "so ") for seq in (1_000_001, 1_000_002)]
    assert merged(thoughts)["text"] == "so so "
    first, answer = read_delta(thoughts[0]), read_delta(delta("An answer", 1_000_003))
    assert first
    assert answer
    assert begin_merge(first).take(answer) is None


@pytest.mark.parametrize("left", SEAMS)
@pytest.mark.parametrize("right", SEAMS)
def test_a_seam_may_fall_beside_any_character(left: str, right: str) -> None:
    for write in (delta, escaped_delta):
        assert merged([write("x" + left, 1_000_001), write(right + "y", 1_000_002)]) == {
            "seq": 1_000_002,
            "type": "text_delta",
            "turn_id": "t",
            "text": "x" + left + right + "y",
        }


@pytest.mark.parametrize(
    "frame",
    [
        encode_event(EpochStarted(seq=2_000_000, follows=1_000_001, turn_id="t", keep_chars=0)),
        b'{"seq":1000001,"type":"text_delta","turn_id":"t","text":"x","tone":"dry"}',
        b'{"seq":1000001,"type":"text_delta","turn_id":"t","text":"x","tone":1}',
        b'{"type":"turn_accepted","turn_id":"t","text":"x"}',
        b'{"seq":1000001,"type":"text_delta","turn_id":"t","text":"x\\"}',
        b"",
    ],
)
def test_what_is_more_or_less_than_a_delta_stays_as_it_is(frame: bytes) -> None:
    assert read_delta(frame) is None


class Lagging:
    """An outbox whose client has stopped reading."""

    def __init__(self, max_bytes: int = 1_000_000) -> None:
        self.writer = HeldWriter()
        self.outbox = Outbox(self.writer, max_bytes)

    async def __aenter__(self) -> "Lagging":
        self.writer.can_write = False
        self.outbox.put(b'{"type":"pong"}')
        await asyncio.sleep(0)
        return self

    async def __aexit__(self, *_: object) -> None: ...

    def read_all(self) -> list[Any]:
        self.writer.read_on()
        return [json.loads(frame) for frame in self.writer.frames][1:]


async def test_deltas_that_wait_leave_as_one_frame_with_the_last_seq() -> None:
    async with Lagging() as lagging:
        lane = Lane()
        for index, text in enumerate(["a", "slow", "reader"]):
            lagging.outbox.relay(delta(text, 1_000_001 + index), lane)
        assert lagging.read_all() == [
            {"seq": 1_000_003, "type": "text_delta", "turn_id": "t", "text": "aslowreader"}
        ]
        assert lagging.outbox.is_empty


async def test_a_socket_that_keeps_up_gets_every_frame_as_it_came() -> None:
    writer = HeldWriter()
    outbox, lane = Outbox(writer, 1000), Lane()
    frames = [delta("a"), delta("b", 1_000_002)]
    for frame in frames:
        outbox.relay(frame, lane)
    await writer.until_written()
    assert writer.writes == [frames]
    writer.written.clear()
    outbox.relay(delta("c", 1_000_003), lane)
    await writer.until_written()
    assert writer.writes[1:] == [[delta("c", 1_000_003)]]


async def test_another_event_of_the_turn_parts_its_deltas() -> None:
    opening = EpochStarted(seq=2_000_000, follows=1_000_002, turn_id="t", keep_chars=1)
    async with Lagging() as lagging:
        lane = Lane()
        frames = [delta("a"), delta("b", 1_000_002), encode_event(opening), delta("c", 2_000_001)]
        for frame in frames:
            lagging.outbox.relay(frame, lane)
        assert [(found["seq"], found.get("text")) for found in lagging.read_all()] == [
            (1_000_002, "ab"),
            (2_000_000, None),
            (2_000_001, "c"),
        ]


async def test_turns_of_one_socket_merge_each_with_its_own() -> None:
    async with Lagging() as lagging:
        lanes = {"one": Lane(), "two": Lane()}
        for index in range(6):
            turn_id = ("one", "two")[index % 2]
            lagging.outbox.relay(delta(f"{index} ", 1_000_001 + index // 2, turn_id), lanes[turn_id])
        assert [(found["turn_id"], found["text"]) for found in lagging.read_all()] == [
            ("one", "0 2 4 "),
            ("two", "1 3 5 "),
        ]


async def test_what_has_been_written_is_added_to_no_more() -> None:
    async with Lagging() as lagging:
        lane = Lane()
        lagging.outbox.relay(delta("a"), lane)
        lagging.read_all()
        lagging.writer.can_write = False
        lagging.outbox.put(b'{"type":"pong"}')
        await asyncio.sleep(0)
        lagging.outbox.relay(delta("b", 1_000_002), lane)
        assert [found.get("text") for found in lagging.read_all()] == ["a", None, "b"]


async def test_a_merged_frame_has_a_largest_size_and_one_delta_may_be_larger() -> None:
    texts = ["x" * 1000] * 200 + ["y" * (2 * MERGED_BYTES), "z"]
    async with Lagging() as lagging:
        lane = Lane()
        for index, text in enumerate(texts):
            lagging.outbox.relay(delta(text, 1_000_001 + index), lane)
        found = lagging.read_all()
    assert "".join(one["text"] for one in found) == "".join(texts)
    assert len(found) == 6
    assert max(len(one["text"]) for one in found if not one["text"].startswith("y")) <= MERGED_BYTES


async def test_merged_text_counts_towards_the_cap() -> None:
    async with Lagging(max_bytes=10_000) as lagging:
        lane = Lane()
        for index in range(2000):
            lagging.outbox.relay(delta("0123456789", 1_000_001 + index), lane)
        async with asyncio.timeout(5):
            with pytest.raises(SlowSocketError):
                await lagging.outbox.overflow()
        assert not lagging.read_all()


async def test_a_lagging_socket_has_room_for_its_cap_of_text_however_small_the_deltas() -> None:
    async with Lagging(max_bytes=100_000) as lagging:
        lane = Lane()
        for index in range(20_000):
            lagging.outbox.relay(delta("abcd", 1_000_001 + index), lane)
        assert "".join(one["text"] for one in lagging.read_all()) == "abcd" * 20_000


@given(
    st.lists(
        st.one_of(
            st.tuples(st.sampled_from("abc"), st.text(max_size=5)),
            st.tuples(st.sampled_from("abc"), st.none()),
            st.booleans(),
        ),
        max_size=60,
    )
)
async def test_every_turn_keeps_its_text_and_its_order_whenever_the_client_reads(
    steps: list[tuple[str, str | None] | bool],
) -> None:
    writer = HeldWriter()
    outbox, lanes = Outbox(writer, 1_000_000), {name: Lane() for name in "abc"}
    sent: dict[str, list[tuple[str, str]]] = {name: [] for name in "abc"}
    seq = 1_000_000
    for step in steps:
        seq += 1
        if isinstance(step, bool):
            await asyncio.sleep(0)
            writer.can_write = step
            if step:
                writer.on_writable()
        elif step[1] is None:
            opening = EpochStarted(seq=seq, follows=0, turn_id=step[0], keep_chars=seq)
            outbox.relay(encode_event(opening), lanes[step[0]])
            sent[step[0]].append(("epoch_started", str(seq)))
        else:
            outbox.relay(delta(step[1], seq, step[0]), lanes[step[0]])
            sent[step[0]].append(("text_delta", step[1]))
    writer.read_on()
    await asyncio.sleep(0)
    assert outbox.is_empty
    heard = [json.loads(frame) for frame in writer.frames]
    for name in "abc":
        mine = [frame for frame in heard if frame["turn_id"] == name]
        assert [frame["seq"] for frame in mine] == sorted({frame["seq"] for frame in mine})
        got = [(frame["type"], frame.get("text") or str(frame.get("keep_chars", ""))) for frame in mine]
        assert _joined(got) == _joined(sent[name])


def _joined(events: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return events with neighbouring deltas as one; those without a text leave no trace."""
    found: list[tuple[str, str]] = []
    for kind, group in groupby(events, key=lambda event: event[0]):
        values = [value for _, value in group]
        found += [(kind, "".join(values))] if kind == "text_delta" else [(kind, value) for value in values]
    return [event for event in found if event != ("text_delta", "")]
