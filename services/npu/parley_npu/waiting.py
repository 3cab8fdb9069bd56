"""The order in which waiting texts are computed, as batches of similar length.

Small requests are served oldest first and share batches. Large ones are cut into batches and take turns, a
batch each, so that none sits behind another.
"""

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from parley_npu.backends.embedder import CutText, TokenIds, Vectors

SHORTEST_BUCKET_TOKENS = 16


class Size(StrEnum):
    """The two classes of requests; neither can fill the other's queue or hold all its lanes."""

    SMALL = "small"
    BULK = "bulk"


@dataclass(eq=False)
class EmbedJob:
    """A request being served: rows of `vectors` are filled in as their batches end."""

    vectors: Vectors
    done: asyncio.Future[None]
    rows_left: int
    backends: set[str] = field(default_factory=set[str])

    def fill(self, row: int, vector: Vectors, backend: str) -> None:
        self.vectors[row] = vector
        self.backends.add(backend)
        self.rows_left -= 1
        if self.rows_left == 0 and not self.done.done():
            self.done.set_result(None)

    def fail(self, error: Exception) -> None:
        if not self.done.done():
            self.done.set_exception(error)


@dataclass(frozen=True)
class WaitingText:
    """A text of a job, and where its vector goes."""

    job: EmbedJob
    row: int
    cut: CutText

    @property
    def tokens(self) -> TokenIds:
        return self.cut.tokens


Batch = Sequence[WaitingText]


class WaitingTexts:
    """Texts not yet computed. Not bounded itself: what enters is bounded at the door."""

    def __init__(self, max_batch_tokens: int) -> None:
        self._max_batch_tokens = max_batch_tokens
        self._small: deque[WaitingText] = deque()
        self._bulk: deque[tuple[EmbedJob, deque[Batch]]] = deque()

    def add(self, size: Size, job: EmbedJob, rows: Mapping[int, CutText]) -> None:
        texts = [WaitingText(job, row, cut) for row, cut in rows.items()]
        if size is Size.SMALL:
            self._small.extend(texts)
        else:
            self._bulk.append((job, deque(self._cut(texts))))

    def take_small(self) -> Batch | None:
        """Take the oldest small text with as many others of about its length as a batch may hold."""
        if not self._small:
            return None
        bucket = bucket_tokens(self._small[0])
        room = max(1, self._max_batch_tokens // bucket)
        batch: list[WaitingText] = []
        others: deque[WaitingText] = deque()
        for text in self._small:
            fits = len(batch) < room and bucket_tokens(text) == bucket
            (batch if fits else others).append(text)
        self._small = others
        return batch

    def take_bulk(self) -> Batch | None:
        """Take the next batch of the large request whose turn it is."""
        if not self._bulk:
            return None
        job, batches = self._bulk.popleft()
        batch = batches.popleft()
        if batches:
            self._bulk.append((job, batches))
        return batch

    def discard(self, job: EmbedJob) -> None:
        """Forget what of the job is still waiting; what is being computed goes on for its batch-mates."""
        self._small = deque(text for text in self._small if text.job is not job)
        self._bulk = deque(entry for entry in self._bulk if entry[0] is not job)

    def _cut(self, texts: list[WaitingText]) -> list[Batch]:
        """Cut into batches of neighbours in length, so that little is padded."""
        batches: list[list[WaitingText]] = []
        for text in sorted(texts, key=lambda text: len(text.tokens), reverse=True):
            # Longest first: the first text of a batch is what the others are padded to.
            if batches and (len(batches[-1]) + 1) * len(batches[-1][0].tokens) <= self._max_batch_tokens:
                batches[-1].append(text)
            else:
                batches.append([text])
        return [tuple(batch) for batch in batches]


def bucket_tokens(text: WaitingText) -> int:
    """The next power of two: texts of one bucket are padded to less than twice their length."""
    return max(SHORTEST_BUCKET_TOKENS, 1 << (len(text.tokens) - 1).bit_length())
