"""A stream opens whole, or from any place on, and never when anything about it is not as it was sealed."""

import io
import os
from dataclasses import replace
from typing import BinaryIO, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from parley_envelope import DataKey, SealError, SealingReader, new_data_key
from parley_envelope.sealed_stream import Opening
from parley_envelope.segments import (
    HEADER_BYTES,
    SEALED_SEGMENT_BYTES,
    SEGMENT_BYTES,
    TAG_BYTES,
    Header,
    Layout,
    Name,
    SegmentCipher,
    sealed_size,
)

KEY = new_data_key()
NAME: Name = ("original", "ada", "d1", "v1")
SIZES = {
    "nothing": 0,
    "one-byte": 1,
    "one-segment": SEGMENT_BYTES,
    "one-segment-and-a-byte": SEGMENT_BYTES + 1,
    "three-segments": 3 * SEGMENT_BYTES,
    "three-and-a-half": 3 * SEGMENT_BYTES + 777,
}
sizes = pytest.mark.parametrize("size", SIZES.values(), ids=SIZES.keys())
HALF = os.urandom(3 * SEGMENT_BYTES + 777)


def sealed(plain: bytes, key: DataKey = KEY, name: Name = NAME) -> bytes:
    return SealingReader(io.BytesIO(plain), key, name).readall()


def opened(
    stored: bytes, *, key: DataKey = KEY, name: Name = NAME, start: int = 0, stop: int | None = None
) -> bytes:
    layout = Layout(len(stored))
    cipher = SegmentCipher(Header.read(stored), key, name)
    opening = Opening(cipher, layout, start, layout.plain_bytes if stop is None else stop)
    found = b"".join(opening.feed(stored[opening.offset :]))
    opening.finish()
    return found


def segments_of(stored: bytes) -> list[bytes]:
    body = stored[HEADER_BYTES:]
    return [body[at : at + SEALED_SEGMENT_BYTES] for at in range(0, len(body), SEALED_SEGMENT_BYTES)]


def joined(stored: bytes, segments: list[bytes]) -> bytes:
    return stored[:HEADER_BYTES] + b"".join(segments)


@sizes
def test_what_is_sealed_is_opened_and_its_size_is_known_before(size: int) -> None:
    plain = os.urandom(size)
    stored = sealed(plain)
    assert len(stored) == sealed_size(size)
    assert Layout(len(stored)).plain_bytes == size
    assert opened(stored) == plain
    assert size < 64 or plain[:64] not in stored


class Trickle(io.RawIOBase):
    """A source that gives a few bytes a read, as a pipe does."""

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self._content = io.BytesIO(content)
        self.largest_read = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        self.largest_read = max(self.largest_read, size)
        return self._content.read(min(size, 5000))


@sizes
def test_a_source_that_gives_little_at_a_time_is_sealed_the_same_and_never_read_whole(size: int) -> None:
    plain = os.urandom(size)
    source = Trickle(plain)
    reader = SealingReader(cast("BinaryIO", source), KEY, NAME)
    found = b""
    while piece := reader.read(999):
        found += piece
    assert opened(found) == plain
    assert source.largest_read <= SEGMENT_BYTES


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_span_is_opened_from_its_own_segments_alone(data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(HALF)))
    stop = data.draw(st.integers(start, len(HALF)))
    stored = sealed(HALF)
    first, end = start // SEGMENT_BYTES, max(start // SEGMENT_BYTES + 1, -(-stop // SEGMENT_BYTES))
    others = [
        piece if first <= number < end else bytes(len(piece))
        for number, piece in enumerate(segments_of(stored))
    ]
    assert opened(joined(stored, others), start=start, stop=stop) == HALF[start:stop]


@pytest.mark.parametrize(("start", "stop"), [(-1, 1), (2, 1), (0, 9)], ids=["before", "backwards", "behind"])
def test_a_span_outside_of_the_content_is_refused(start: int, stop: int) -> None:
    with pytest.raises(ValueError, match="outside"):
        opened(sealed(b"12345678"), start=start, stop=stop)


@settings(max_examples=150, deadline=None)
@given(place=st.integers(0, sealed_size(len(HALF)) - 1), bit=st.integers(0, 7))
def test_one_flipped_bit_anywhere_is_noticed(place: int, bit: int) -> None:
    stored = bytearray(sealed(HALF))
    stored[place] ^= 1 << bit
    with pytest.raises(SealError):
        opened(bytes(stored))


@settings(max_examples=150, deadline=None)
@given(st.integers(0, sealed_size(len(HALF)) - 1))
def test_a_stream_that_was_cut_anywhere_is_noticed(length: int) -> None:
    with pytest.raises(SealError):
        opened(sealed(HALF)[:length])


def manipulated(kind: str) -> bytes:
    """Return a stream whose every segment was sealed by the right key, but not as it stands now."""
    stored, other = sealed(HALF), sealed(bytes(len(HALF)))
    own, others = segments_of(stored), segments_of(other)
    whole = segments_of(sealed(HALF[: 3 * SEGMENT_BYTES]))
    changed = {
        "swapped": [own[1], own[0], *own[2:]],
        "left-out": [own[0], *own[2:]],
        "doubled": [own[0], own[0], *own[2:]],
        "cut-between": own[:3],
        "cut-to-one": own[:1],
        "last-first": [own[3]],
        "joined": [*own, *others],
        "joined-to-itself": [*own, *own],
        "of-another-stream": [own[0], others[1], *own[2:]],
        "of-a-shorter-one": [*whole, own[3]],
        "extended": [*own[:3], own[3] + bytes(40)],
        "a-tag-more": [*own[:3], own[3] + bytes(TAG_BYTES)],
        "emptied": [],
        "an-empty-one": [bytes(TAG_BYTES)],
    }
    return joined(stored, changed[kind])


@pytest.mark.parametrize(
    "kind",
    [
        "swapped",
        "left-out",
        "doubled",
        "cut-between",
        "cut-to-one",
        "last-first",
        "joined",
        "joined-to-itself",
        "of-another-stream",
        "of-a-shorter-one",
        "extended",
        "a-tag-more",
        "emptied",
        "an-empty-one",
    ],
)
def test_segments_that_are_moved_left_out_or_added_do_not_open(kind: str) -> None:
    with pytest.raises(SealError):
        opened(manipulated(kind))


def test_a_header_of_another_stream_opens_nothing() -> None:
    stored, other = sealed(HALF), sealed(HALF)
    with pytest.raises(SealError):
        opened(other[:HEADER_BYTES] + stored[HEADER_BYTES:])


@pytest.mark.parametrize(
    "name",
    [
        ("original", "ada", "d2", "v1"),
        ("original", "eva", "d1", "v1"),
        ("backup", "ada", "d1", "v1"),
        ("original", "ada", "d1", "v2"),
        ("original", "ada", "d1v1"),
        ("original", "adad1", "", "v1"),
        ("original", "ada", "d1", "v1", ""),
    ],
    ids=["other-id", "other-owner", "other-purpose", "older-version", "joined", "shifted", "longer"],
)
def test_under_another_name_a_stream_does_not_open(name: Name) -> None:
    with pytest.raises(SealError):
        opened(sealed(HALF), name=name)


def test_a_wrong_key_opens_nothing_whatever_its_id() -> None:
    stored = sealed(HALF)
    with pytest.raises(SealError, match="another data key"):
        opened(stored, key=new_data_key())
    with pytest.raises(SealError):
        opened(stored, key=replace(KEY, secret=bytes(32)))


def test_the_same_content_is_never_sealed_the_same() -> None:
    one, other = segments_of(sealed(bytes(2 * SEGMENT_BYTES))), segments_of(sealed(bytes(2 * SEGMENT_BYTES)))
    assert len({*one, *other}) == 4


@pytest.mark.parametrize("text", ["", "PLYS", "%PDF-1.7" + " " * 200], ids=["empty", "short", "plain"])
def test_what_was_never_sealed_is_said_to_be_no_stream(text: str) -> None:
    with pytest.raises(SealError, match="no sealed stream"):
        Header.read(text.encode())


def test_a_key_is_not_shown_and_must_be_one() -> None:
    assert KEY.secret.hex() not in repr(KEY)
    assert repr(KEY.secret) not in repr(KEY)
    for key_id, secret in (("zz", bytes(32)), ("00" * 8, bytes(31)), ("", bytes(32))):
        with pytest.raises(ValueError, match="data key"):
            DataKey(key_id, secret)
