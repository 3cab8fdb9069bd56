"""The backends of the real model, opened for a test: the NPU's and Ollama's over their fakes."""

import asyncio
import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from parley_npu.backends.embedder import Backend
from parley_npu.backends.ollama import OllamaMiniLm
from parley_npu.backends.onnx_minilm import OnnxMiniLm
from parley_npu.backends.rknn_minilm import RknnMiniLm
from parley_npu.model_files import ModelFiles
from parley_npu.tokenizing import WordPieces

from tests.fakes.ollama_server import OllamaFake, open_ollama_fake

REAL = ("onnx", "rknn", "ollama")
OLLAMA_START_S = 10.0


@contextmanager
def opened(name: str, files: ModelFiles) -> Generator[Backend]:
    """Open a backend, and close it after the body. For rknn, `fake_rknnlite` must be on the path."""
    if name == "ollama":
        with ollama_with_model(files) as fake:
            yield OllamaMiniLm(fake.url, "all-minilm")
        return
    with TemporaryDirectory() as folder:
        backend = OnnxMiniLm(files) if name == "onnx" else RknnMiniLm(rknn_file(Path(folder), files))
        backend.open()
        yield backend
        backend.close()


def rknn_file(folder: Path, files: ModelFiles) -> Path:
    """Write what the fake rknnlite loads: the path of the graph that it computes by."""
    path = folder / "rk3588-1.rknn"
    path.write_text(str(files.graph), encoding="utf-8")
    return path


@contextmanager
def ollama_with_model(files: ModelFiles) -> Generator[OllamaFake]:
    """Serve the fake Ollama with the real model from a thread: the backend's client blocks."""
    backend, tokenizer = OnnxMiniLm(files), WordPieces(files)
    backend.open()

    def embed(texts: Sequence[str]) -> list[list[float]]:
        return backend.infer(tokenizer.cut(texts)).tolist()

    found: list[OllamaFake] = []
    is_up, is_over = threading.Event(), threading.Event()

    async def serve() -> None:
        async with open_ollama_fake() as fake:
            fake.embed = embed
            found.append(fake)
            is_up.set()
            await asyncio.to_thread(is_over.wait)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        assert is_up.wait(OLLAMA_START_S)
        yield found[0]
    finally:
        is_over.set()
        thread.join()
