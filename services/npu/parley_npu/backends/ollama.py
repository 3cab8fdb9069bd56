"""all-MiniLM-L6-v2 as an Ollama server computes it: https://docs.ollama.com/api/embed."""

import http.client
import json
import socket
import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from parley_npu.backends.embedder import BackendError, CutText, Vectors

TIMEOUT_S = 10.0
MAX_ANSWER_BYTES = 16 << 20


class OllamaMiniLm:
    """Sends texts already cut at the window, for servers differ in whether they cut or refuse."""

    name = "ollama"
    may_change = True  # by a server of many behind one address, or a model that is pulled anew

    def __init__(self, url: str, model: str) -> None:
        self._address = urlsplit(url)
        self._model = model

    def open(self) -> None:
        """Hold nothing: each batch has a connection of its own, and the server loads the model when asked."""

    def takes(self, text: CutText) -> bool:
        del text
        return True

    def infer(self, batch: Sequence[CutText]) -> Vectors:
        answer = self._post({"model": self._model, "input": [text.text for text in batch]})
        vectors = np.asarray(answer["embeddings"], np.float32)
        if vectors.ndim != 2 or len(vectors) != len(batch):
            raise BackendError(f"{len(batch)} texts were sent, and the answer has the shape {vectors.shape}")
        return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)

    def close(self) -> None:
        """Hold nothing."""

    def _post(self, body: dict[str, Any]) -> dict[str, Any]:
        connection = self._connection()
        try:
            connection.connect()
            with _cut_when_late(connection.sock):
                headers = {"Content-Type": "application/json"}
                connection.request("POST", f"{self._address.path}/api/embed", json.dumps(body), headers)
                response = connection.getresponse()
                content = response.read(MAX_ANSWER_BYTES)
        finally:
            connection.close()
        if response.status != http.client.OK:
            raise BackendError(f"Ollama answers {response.status}: {content[:200].decode(errors='replace')}")
        return json.loads(content)

    def _connection(self) -> http.client.HTTPConnection:
        is_safe = self._address.scheme == "https"
        kind = http.client.HTTPSConnection if is_safe else http.client.HTTPConnection
        return kind(self._address.hostname or "", self._address.port, timeout=TIMEOUT_S)


@contextmanager
def _cut_when_late(connected: socket.socket) -> Generator[None]:
    """End the body by the socket after `TIMEOUT_S`: the socket's own timeout begins anew with each byte."""
    is_late = threading.Event()

    def cut() -> None:
        is_late.set()
        with suppress(OSError):  # it has just been closed
            connected.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(TIMEOUT_S, cut)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        if is_late.is_set():
            raise BackendError(f"Ollama has not answered within {TIMEOUT_S:g} s")
