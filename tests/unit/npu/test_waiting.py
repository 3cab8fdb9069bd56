import asyncio

import numpy as np
import pytest
from parley_npu.backends.embedder import CutText
from parley_npu.waiting import Batch, EmbedJob, Size, WaitingTexts


def job(rows: int) -> EmbedJob:
    return EmbedJob(np.zeros((rows, 4), np.float32), asyncio.get_running_loop().create_future(), rows)


def lengths(batch: Batch | None) -> list[int]:
    assert batch is not None
    return [len(text.tokens) for text in batch]


def tokens(*counts: int) -> dict[int, CutText]:
    return {row: CutText("", [7] * count) for row, count in enumerate(counts)}


async def test_small_texts_of_like_length_share_a_batch_and_the_oldest_goes_first() -> None:
    waiting = WaitingTexts(max_batch_tokens=256)
    for count in (10, 200, 12, 16, 190):
        waiting.add(Size.SMALL, job(1), tokens(count))

    assert lengths(waiting.take_small()) == [10, 12, 16]
    assert lengths(waiting.take_small()) == [200]
    assert lengths(waiting.take_small()) == [190]
    assert waiting.take_small() is None


async def test_no_batch_with_its_padding_exceeds_the_limit() -> None:
    waiting = WaitingTexts(max_batch_tokens=128)
    counts = [1, 3, 9, 16, 17, 30, 31, 33, 60, 64, 65, 90, 128] * 5
    waiting.add(Size.BULK, job(len(counts)), tokens(*counts))
    waiting.add(Size.SMALL, job(len(counts)), tokens(*counts))

    seen: list[int] = []
    while batch := waiting.take_bulk() or waiting.take_small():
        assert len(batch) * max(lengths(batch)) <= 128
        seen += lengths(batch)

    assert sorted(seen) == sorted(counts * 2)


async def test_a_text_longer_than_a_batch_is_taken_alone() -> None:
    waiting = WaitingTexts(max_batch_tokens=100)
    waiting.add(Size.BULK, job(2), tokens(256, 256))
    waiting.add(Size.SMALL, job(1), tokens(256))

    assert lengths(waiting.take_bulk()) == [256]
    assert lengths(waiting.take_small()) == [256]


async def test_large_requests_take_turns() -> None:
    waiting = WaitingTexts(max_batch_tokens=100)
    first, second = job(3), job(2)
    waiting.add(Size.BULK, first, tokens(100, 100, 100))
    waiting.add(Size.BULK, second, tokens(100, 100))

    taken = [batch[0].job for batch in iter(waiting.take_bulk, None)]

    assert taken == [first, second, first, second, first]


@pytest.mark.parametrize("size", list(Size))
async def test_a_discarded_job_leaves_the_others_waiting(size: Size) -> None:
    waiting = WaitingTexts(max_batch_tokens=16)
    leaving, staying = job(2), job(1)
    waiting.add(size, leaving, tokens(16, 16))
    waiting.add(size, staying, tokens(16))

    waiting.discard(leaving)

    batch = waiting.take_bulk() or waiting.take_small()
    assert batch is not None
    assert [text.job for text in batch] == [staying]
    assert waiting.take_bulk() is None
    assert waiting.take_small() is None
