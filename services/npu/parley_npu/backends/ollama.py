"""all-MiniLM-L6-v2 as an Ollama server computes it: https://docs.ollama.com/api/embed."""

import http.client
import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from parley_npu.backends.embedder import BackendError, CutText, Vectors

TIMEOUT_S = 10.0
DEFAULT_PORT = 11_434
MAX_ANSWER_BYTES = 16 << 20


class OllamaMiniLm:
    """Sends texts already cut at the window, for servers differ in whether they cut or refuse."""

    name = "ollama"

    def __init__(self, host: str, model: str) -> None:
        self._address = urlsplit(host if "://" in host else f"http://{host}")
        self._has_scheme = "://" in host
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
            headers = {"Content-Type": "application/json"}
            connection.request(
                "POST", f"{self._address.path.rstrip('/')}/api/embed", json.dumps(body), headers
            )
            response = connection.getresponse()
            content = response.read(MAX_ANSWER_BYTES)
        finally:
            connection.close()
        if response.status != http.client.OK:
            raise BackendError(f"Ollama answers {response.status}: {content[:200].decode(errors='replace')}")
        return json.loads(content)

    def _connection(self) -> http.client.HTTPConnection:
        name = self._address.hostname or "127.0.0.1"
        if self._address.scheme == "https":
            return http.client.HTTPSConnection(name, self._address.port, timeout=TIMEOUT_S)
        port = self._address.port or (80 if self._has_scheme else DEFAULT_PORT)
        return http.client.HTTPConnection(name, port, timeout=TIMEOUT_S)
