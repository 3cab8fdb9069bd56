# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
# Reason: onnxruntime publishes no types.
"""all-MiniLM-L6-v2 in fp32 on the CPU by onnxruntime."""

from collections.abc import Sequence
from typing import cast

import numpy as np

from parley_npu.backends.embedder import BackendError, CutText, Vectors
from parley_npu.backends.onnx_session import open_session
from parley_npu.model_files import ModelFiles


class OnnxMiniLm:
    """One session for all threads: a run takes the calling thread only, and releases the GIL."""

    name = "onnx"
    may_change = False

    def __init__(self, files: ModelFiles) -> None:
        self._files = files
        self._session = None

    def open(self) -> None:
        if self._session is None:
            self._session = open_session(self._files.graph)

    def takes(self, text: CutText) -> bool:
        del text
        return True

    def infer(self, batch: Sequence[CutText]) -> Vectors:
        if self._session is None:
            raise BackendError("the session is not open")
        longest = max(len(text.tokens) for text in batch)
        ids = np.zeros((len(batch), longest), np.int64)
        mask = np.zeros_like(ids)
        for row, text in enumerate(batch):
            ids[row, : len(text.tokens)] = text.tokens
            mask[row, : len(text.tokens)] = 1
        outputs = self._session.run(None, {"input_ids": ids, "attention_mask": mask})
        return cast(Vectors, outputs[0])

    def close(self) -> None:
        """Keep the session: a batch may be in it, and it goes with the last reference."""
