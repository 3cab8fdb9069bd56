"""The npu service's own engine on one thread: its tokenizer, batches and onnx backend, without the bus."""

import asyncio
import base64
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from parley_npu.backends.onnx_minilm import OnnxMiniLm
from parley_npu.model_files import DEFAULT_BATCH_TOKENS, DIMENSIONS, ModelFiles
from parley_npu.tokenizing import WordPieces
from parley_npu.waiting import EmbedJob, Size, WaitingTexts

from benchmarks.commands import serve_commands


class Engine:
    """What a lane does with a request, one after another."""

    def __init__(self, files: ModelFiles) -> None:
        self._pieces = WordPieces(files)
        self._backend = OnnxMiniLm(files)
        self._backend.open()

    async def embed(self, texts: Sequence[str]) -> dict[str, Any]:
        began_s = time.perf_counter()
        vectors = np.empty((len(texts), DIMENSIONS), np.float32)
        job = EmbedJob(vectors, asyncio.get_running_loop().create_future(), len(texts))
        waiting = WaitingTexts(DEFAULT_BATCH_TOKENS)
        waiting.add(Size.BULK, job, dict(enumerate(self._pieces.cut(texts))))
        while batch := waiting.take_bulk():
            found = self._backend.infer([text.cut for text in batch])
            for text, vector in zip(batch, found, strict=True):
                job.fill(text.row, vector, self._backend.name)
        took_s = time.perf_counter() - began_s
        return {"seconds": took_s, "vectors": base64.b64encode(vectors.astype("<f4").tobytes()).decode()}

    async def one_by_one(self, texts: Sequence[str]) -> dict[str, Any]:
        return {"ms": [(await self.embed([text]))["seconds"] * 1e3 for text in texts]}


def main() -> None:
    engine = Engine(ModelFiles(Path(sys.argv[1])))
    asyncio.run(serve_commands({"embed": engine.embed, "one_by_one": engine.one_by_one}))


if __name__ == "__main__":
    main()
