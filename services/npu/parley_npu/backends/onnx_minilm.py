# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
# Reason: onnxruntime publishes no types; it is used nowhere else.
"""all-MiniLM-L6-v2 in fp32 on the CPU by onnxruntime."""

from collections.abc import Sequence
from typing import cast

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

from parley_npu.backends.embedder import TokenIds, Vectors
from parley_npu.model_files import DIMENSIONS, MAX_TOKENS, MODEL, ModelFiles

# Far more than 256 tokens of any writing; the tokenizer would read the rest only to drop it.
MAX_CHARS = 32_768


class OnnxMiniLm:
    """One session for all threads: a run takes the calling thread only, and releases the GIL."""

    def __init__(self, files: ModelFiles) -> None:
        self._tokenizer = open_tokenizer(files)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            str(files.graph), options, providers=["CPUExecutionProvider"]
        )

    @property
    def model(self) -> str:
        return MODEL

    @property
    def engine(self) -> str:
        return "onnx-fp32"

    @property
    def dimensions(self) -> int:
        return DIMENSIONS

    def tokenize(self, texts: Sequence[str]) -> list[TokenIds]:
        return [
            encoding.ids for encoding in self._tokenizer.encode_batch([text[:MAX_CHARS] for text in texts])
        ]

    def infer(self, batch: Sequence[TokenIds]) -> Vectors:
        longest = max(map(len, batch))
        ids = np.zeros((len(batch), longest), np.int64)
        mask = np.zeros_like(ids)
        for row, tokens in enumerate(batch):
            ids[row, : len(tokens)] = tokens
            mask[row, : len(tokens)] = 1
        outputs = self._session.run(None, {"input_ids": ids, "attention_mask": mask})
        return cast(Vectors, outputs[0])


def open_tokenizer(files: ModelFiles) -> Tokenizer:
    """Open the tokenizer without its file's cut and padding to 128; `infer` pads to its own batch."""
    tokenizer = Tokenizer.from_file(str(files.tokenizer))
    tokenizer.enable_truncation(MAX_TOKENS)
    tokenizer.no_padding()
    return tokenizer
