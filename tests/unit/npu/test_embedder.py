"""What every backend must do, run on each of them and on the fake that other tests use."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from parley_npu.backends.embedder import Backend, Tokenizer, Vectors
from parley_npu.model_files import ModelFiles
from parley_npu.tokenizing import WordPieces

from tests.fakes.embedding import HashEmbedder
from tests.unit.npu.opened_backends import REAL, opened

TEXTS = [
    "A cat sleeps on the warm window sill.",
    "",
    "The stock market fell sharply on Tuesday after the central bank raised its rates.",
    "Grüße aus Köln, 你好世界 🙂",
    "x",
    "pressure distribution over a swept wing at supersonic speed " * 10,
]


@dataclass(frozen=True)
class Candidate:
    """A backend under the common suite, with the tokenizer of its model."""

    backend: Backend
    tokenizer: Tokenizer

    def embed(self, texts: Sequence[str]) -> Vectors:
        return self.backend.infer(self.tokenizer.cut(texts))


@pytest.fixture(
    scope="module", params=["hash", *(pytest.param(name, marks=pytest.mark.model) for name in REAL)]
)
def candidate(request: pytest.FixtureRequest) -> Generator[Candidate]:
    if request.param == "hash":
        yield Candidate(HashEmbedder(), HashEmbedder())
        return
    files: ModelFiles = request.getfixturevalue("model_files")
    with opened(request.param, files) as backend:
        yield Candidate(backend, WordPieces(files))


def test_vectors_are_rows_of_float32_of_length_one(candidate: Candidate) -> None:
    vectors = candidate.embed(TEXTS)

    assert vectors.shape == (len(TEXTS), 384)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_rows_stand_in_the_order_of_the_texts(candidate: Candidate) -> None:
    forwards, backwards = candidate.embed(TEXTS), candidate.embed(TEXTS[::-1])

    np.testing.assert_allclose(forwards, backwards[::-1], atol=1e-5)
    assert not np.allclose(forwards[0], forwards[2], atol=0.1)


def test_the_same_texts_give_the_same_bytes(candidate: Candidate) -> None:
    assert candidate.embed(TEXTS).tobytes() == candidate.embed(TEXTS).tobytes()


def test_a_vector_does_not_depend_on_its_batch_mates(candidate: Candidate) -> None:
    together = candidate.embed(TEXTS)

    for text, vector in zip(TEXTS, together, strict=True):
        np.testing.assert_allclose(candidate.embed([text])[0], vector, atol=1e-5)


def test_an_empty_text_has_tokens_and_a_vector(candidate: Candidate) -> None:
    (text,) = candidate.tokenizer.cut([""])

    assert len(text.tokens) > 0
    assert np.isfinite(candidate.backend.infer([text])).all()


def test_what_stands_beyond_the_window_changes_nothing(candidate: Candidate) -> None:
    window = "word " * 256
    (short,), (long,) = (
        candidate.tokenizer.cut([window]),
        candidate.tokenizer.cut([window + "tail " * 100_000]),
    )

    assert list(short.tokens) == list(long.tokens)
    assert len(long.tokens) <= 256


def test_texts_that_share_words_are_nearer(candidate: Candidate) -> None:
    cat, sleeping_cat, market = candidate.embed(
        ["the cat sleeps on the sofa", "on the sofa sleeps the old cat", "shares fell when rates rose"],
    )

    assert cat @ sleeping_cat > 0.7
    assert cat @ market < 0.3
