"""What every backend must do, run on the real one and on the fake that other tests use."""

from collections.abc import Sequence

import numpy as np
import pytest
from parley_npu.backends.embedder import Embedder, Vectors

from tests.fakes.embedding import HashEmbedder

TEXTS = [
    "A cat sleeps on the warm window sill.",
    "",
    "The stock market fell sharply on Tuesday after the central bank raised its rates.",
    "Grüße aus Köln, 你好世界 🙂",
    "x",
    "pressure distribution over a swept wing at supersonic speed " * 20,
]


@pytest.fixture(scope="module", params=["hash", pytest.param("onnx", marks=pytest.mark.model)])
def embedder(request: pytest.FixtureRequest) -> Embedder:
    if request.param == "hash":
        return HashEmbedder()
    from parley_npu.backends.onnx_minilm import OnnxMiniLm  # noqa: PLC0415 -- tests of the fake load no onnxruntime

    return OnnxMiniLm(request.getfixturevalue("model_files"))


def embed(embedder: Embedder, texts: Sequence[str]) -> Vectors:
    return embedder.infer(embedder.tokenize(texts))


def test_vectors_are_rows_of_float32_of_length_one(embedder: Embedder) -> None:
    vectors = embed(embedder, TEXTS)

    assert vectors.shape == (len(TEXTS), embedder.dimensions)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_rows_stand_in_the_order_of_the_texts(embedder: Embedder) -> None:
    forwards, backwards = embed(embedder, TEXTS), embed(embedder, TEXTS[::-1])

    np.testing.assert_allclose(forwards, backwards[::-1], atol=1e-5)
    assert not np.allclose(forwards[0], forwards[2], atol=0.1)


def test_the_same_texts_give_the_same_bytes(embedder: Embedder) -> None:
    assert embed(embedder, TEXTS).tobytes() == embed(embedder, TEXTS).tobytes()


def test_a_vector_does_not_depend_on_its_batch_mates(embedder: Embedder) -> None:
    together = embed(embedder, TEXTS)

    for text, vector in zip(TEXTS, together, strict=True):
        np.testing.assert_allclose(embed(embedder, [text])[0], vector, atol=1e-5)


def test_an_empty_text_has_tokens_and_a_vector(embedder: Embedder) -> None:
    (tokens,) = embedder.tokenize([""])

    assert len(tokens) > 0
    assert np.isfinite(embedder.infer([tokens])).all()


def test_what_stands_beyond_the_window_changes_nothing(embedder: Embedder) -> None:
    window = "word " * 256
    (short,), (long,) = embedder.tokenize([window]), embedder.tokenize([window + "tail " * 100_000])

    assert list(short) == list(long)
    assert len(long) <= 256


def test_texts_that_share_words_are_nearer(embedder: Embedder) -> None:
    cat, sleeping_cat, market = embed(
        embedder,
        ["the cat sleeps on the sofa", "on the sofa sleeps the old cat", "shares fell when rates rose"],
    )

    assert cat @ sleeping_cat > 0.7
    assert cat @ market < 0.3
