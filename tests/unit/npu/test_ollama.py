"""Vectors from an Ollama server: its format, its errors, and whether they are the right ones."""

import socket
import threading
from collections.abc import Generator, Sequence
from contextlib import suppress

import numpy as np
import pytest
from parley_npu.backends import ollama
from parley_npu.backends.embedder import BackendError
from parley_npu.backends.ollama import OllamaMiniLm
from parley_npu.model_files import ModelFiles
from parley_npu.parity import read_parity
from parley_npu.tokenizing import WordPieces

from tests.conftest import free_port
from tests.fakes.embedding import HashEmbedder
from tests.fakes.ollama_server import OllamaFake
from tests.unit.npu.opened_backends import ollama_with_model

pytestmark = pytest.mark.model


@pytest.fixture(scope="module")
def server(model_files: ModelFiles) -> Generator[OllamaFake]:
    with ollama_with_model(model_files) as fake:
        yield fake


@pytest.fixture(scope="module")
def pieces(model_files: ModelFiles) -> WordPieces:
    return WordPieces(model_files)


def test_it_passes_the_proof_for_long_texts_are_cut_before_they_are_sent(
    server: OllamaFake, pieces: WordPieces
) -> None:
    assert read_parity(pieces).cosine(OllamaMiniLm(server.url, "all-minilm")) > 0.99999
    assert set(server.requests[-1]) == {"model", "input"}


def test_lengths_are_made_one(
    server: OllamaFake, pieces: WordPieces, monkeypatch: pytest.MonkeyPatch
) -> None:
    def tripled(texts: Sequence[str]) -> list[list[float]]:
        return (3 * HashEmbedder().embed(texts)).tolist()

    monkeypatch.setattr(server, "embed", tripled)
    vectors = OllamaMiniLm(server.url, "all-minilm").infer(pieces.cut(["one", "two"]))
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


def test_another_model_under_that_name_fails_the_proof(
    server: OllamaFake, pieces: WordPieces, monkeypatch: pytest.MonkeyPatch
) -> None:
    def foreign(texts: Sequence[str]) -> list[list[float]]:
        return HashEmbedder().embed(texts).tolist()

    monkeypatch.setattr(server, "embed", foreign)
    with pytest.raises(BackendError, match="not those of the space"):
        read_parity(pieces).cosine(OllamaMiniLm(server.url, "all-minilm"))


@pytest.mark.parametrize(
    ("fault", "said"),
    [((500, "llama runner process has terminated"), "500.*terminated"), ((503, "server busy"), "503")],
)
def test_a_servers_error_is_a_failure(
    server: OllamaFake,
    pieces: WordPieces,
    monkeypatch: pytest.MonkeyPatch,
    fault: tuple[int, str],
    said: str,
) -> None:
    monkeypatch.setattr(server, "embed_fault", fault)
    with pytest.raises(BackendError, match=said):
        OllamaMiniLm(server.url, "all-minilm").infer(pieces.cut(["one"]))


def test_a_model_that_was_not_pulled_is_named(server: OllamaFake, pieces: WordPieces) -> None:
    with pytest.raises(BackendError, match=r"404.*'mini' not found, try pulling it first"):
        OllamaMiniLm(server.url, "mini").infer(pieces.cut(["one"]))


def test_too_few_vectors_are_a_failure(
    server: OllamaFake, pieces: WordPieces, monkeypatch: pytest.MonkeyPatch
) -> None:
    def one_only(texts: Sequence[str]) -> list[list[float]]:
        return HashEmbedder().embed(texts[:1]).tolist()

    monkeypatch.setattr(server, "embed", one_only)
    with pytest.raises(BackendError, match="2 texts were sent"):
        OllamaMiniLm(server.url, "all-minilm").infer(pieces.cut(["one", "two"]))


@pytest.mark.parametrize("at_once", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"])
def test_a_server_that_answers_by_and_by_is_given_up(
    pieces: WordPieces, monkeypatch: pytest.MonkeyPatch, at_once: bytes
) -> None:
    monkeypatch.setattr(ollama, "TIMEOUT_S", 0.4)
    is_over = threading.Event()

    def drip(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection, suppress(ConnectionError):
            connection.sendall(at_once)
            for _ in range(30):
                if is_over.wait(0.1):
                    break
                connection.send(b" ")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=drip, args=(listener,))
        thread.start()
        backend = OllamaMiniLm(f"http://127.0.0.1:{listener.getsockname()[1]}", "all-minilm")
        try:
            with pytest.raises(BackendError, match="has not answered within"):
                backend.infer(pieces.cut(["one"]))
        finally:
            is_over.set()
            thread.join()


def test_a_server_that_is_away_is_a_failure(pieces: WordPieces) -> None:
    with pytest.raises(ConnectionRefusedError):
        OllamaMiniLm(f"http://127.0.0.1:{free_port()}", "all-minilm").infer(pieces.cut(["one"]))
